"""Layers as they are typed and printed."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from superact.cli.main import app
from superact.cli.options import numbers, spans


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("6", [6]),
        ("1,6,12", [1, 6, 12]),
        ("0-3", [0, 1, 2, 3]),
        ("12, 1-3", [12, 1, 2, 3]),
        ("7-7", [7]),
    ],
)
def test_layers_are_numbers_and_spans(text: str, layers: list[int]) -> None:
    assert numbers(text) == layers


@pytest.mark.parametrize("text", ["", "a", "1,", "1-", "-1", "1--2", "1-2-3", "3-1", "1.5", "0-99999999", "²"])
def test_what_is_no_layer_is_named(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"such as .*0-12"):
        numbers(text)
    shown = CliRunner().invoke(app, ["export", "summary", f"--layers={text}"])
    assert shown.exit_code == 2 and "0-12" in shown.output


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([3, 6, 9, 12], "3,6,9,12"),
        ([2, 1, 0], "0,1,2"),
        ([0, 1, 2, 3], "0-3"),
        ([1, 2, 3, 4, 6, 8, 9, 10, 11], "1-4,6,8-11"),
        (range(43), "0-42"),
    ],
)
def test_many_layers_are_printed_as_spans(layers: list[int], text: str) -> None:
    assert spans(layers) == text


@given(st.sets(st.integers(0, 200), min_size=1))
def test_what_is_printed_can_be_typed(layers: set[int]) -> None:
    assert numbers(spans(sorted(layers))) == numbers(spans(sorted(layers), ", ")) == sorted(layers)
