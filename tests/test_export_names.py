"""Filters of an export: a value that nothing in the warehouse has is an error that suggests names; a known one is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import write_folder
from typer.testing import CliRunner, Result

import superact
from superact.cli.main import app
from superact.errors import BadInput
from superact.query import Session
from superact.query.export import select_rows
from superact.store import Warehouse


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Imported and scored, not evaluated: the metric tables have no row."""
    folder = tmp_path_factory.mktemp("names")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        write_folder(folder / "source", layers=(1, 2), sets=("avg", "linsep.two"))
        assert run("import", folder / "source", "--warehouse", folder / "warehouse").exit_code == 0
        yield folder / "warehouse"


@pytest.fixture(scope="module")
def session(root: Path) -> Iterator[Session]:
    session = superact.open(root)
    yield session
    session.connection.close()


@pytest.mark.parametrize(
    ("table", "filters", "said"),
    [
        ("concepts", {"dataset": "toy"}, "There is no dataset 'toy'. The nearest: toys."),
        ("concepts", {"model": "tinny"}, "There is no model 'tinny'. The nearest: tiny."),
        ("concepts", {"layer": 12}, "There is no layer 12. The nearest: 1, 2."),
        ("concepts", {"layer": [1, 3]}, "There is no layer 3. The nearest: 1, 2."),
        ("concepts", {"concept_set": "linsep"}, "There is no concept set 'linsep'. The nearest: linsep.two."),
        ("concepts", {"unit": "tokens"}, "There is no unit 'tokens'. The nearest: token."),
        ("concepts", {"method": "linsp"}, "There is no method 'linsp'. The nearest: linsep."),
        ("labels", {"label": "Blues"}, "There is no label 'Blues'. The nearest: blue."),
        ("labels", {"label": "xyz"}, "There is no label 'xyz'. The nearest: blue, red."),
        ("samples", {"split": "tset"}, "There is no split 'tset'. The nearest: test."),
        ("summary", {"detector": "cls_token"}, "There is no detector 'cls_token'. The nearest: last_token, "),
        ("summary", {"detector": "maxtoken"}, "There is no detector 'maxtoken'. The nearest: max_token, "),
        ("superactivators", {"label": "bleu"}, "There is no label 'bleu'. The nearest: blue."),
    ],
)
def test_unknown_values_suggest_the_nearest(session: Session, table: str, filters: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as raised:
        select_rows(session, table, **filters)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--dataset", "toy"),
        ("--model", "tinny"),
        ("--layers", "12"),
        ("--concept-set", "linsep"),
        ("--unit", "tokens"),
        ("--method", "linsp"),
        ("--detector", "maxtoken"),
        ("--label", "bleu"),
    ],
)
def test_the_command_exits_with_3(root: Path, option: str, value: str) -> None:
    done = run("export", "selection", option, value, "--warehouse", root)
    kind = {"--layers": "layer"}.get(option, option[2:].replace("-", " "))
    shown = value if option == "--layers" else f"'{value}'"
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: There is no {kind} {shown}. The nearest: ")


@pytest.mark.parametrize(
    ("table", "filters"),
    [
        ("summary", {"detector": "max_token", "method": "avg", "unit": "cls", "dataset": "toys"}),
        ("selection", {"label": "red", "layer": [1, 2], "concept_set": "linsep.two", "method": "linsep"}),
        ("detection", {"split": "train", "detector": ["cls", "superactivator"]}),
        ("labels", {"label": []}),
    ],
)
def test_known_values_without_a_row_are_no_rows(session: Session, table: str, filters: dict[str, Any]) -> None:
    with select_rows(session, table, **filters) as rows:
        assert list(rows) == []


def test_known_values_have_their_rows(session: Session) -> None:
    with select_rows(session, "concepts", ["concept", "unit"], layer=2, concept_set="avg", unit="cls") as rows:
        assert [row for batch in rows for row in batch.to_pylist()] == [
            {"concept": "blue", "unit": "cls"},
            {"concept": "red", "unit": "cls"},
        ]


def test_names_are_those_of_what_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A session that was opened before the first run: what the warehouse has no name of is not checked.
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    with Warehouse(tmp_path / "wh").lock():
        pass
    session = superact.open(tmp_path / "wh")
    filters = {"dataset": "a", "model": "b", "layer": 1, "concept_set": "c", "method": "d", "label": "e"}
    with select_rows(session, "selection", **filters) as rows:
        assert list(rows) == []
    with pytest.raises(BadInput, match="There is no unit 'patch'"):
        select_rows(session, "selection", unit="patch")
    session.connection.close()


def test_columns_come_before_values(session: Session) -> None:
    with pytest.raises(BadInput, match="Table labels has no column 'layer'"):
        select_rows(session, "labels", layer=77)


def test_sql_is_left_alone(root: Path) -> None:
    done = run("sql", "SELECT label FROM labels WHERE label = 'bleu'", "--warehouse", root, "--format", "csv")
    assert (done.exit_code, done.stdout) == (0, "label\n")


@pytest.mark.parametrize("delta", [0, 1, -0.05, 1.5])
def test_a_delta_outside_0_and_1_is_refused(session: Session, delta: float) -> None:
    with pytest.raises(BadInput, match=r"is no delta: .*between 0 and 1"):
        select_rows(session, "detection", delta=delta)


def test_a_delta_off_the_grid_names_the_nearest(session: Session, root: Path) -> None:
    with pytest.raises(BadInput, match=r"no delta 0\.06\. The nearest: 0\.02, 0\.05, 0\.1, 0\.2, 0\.3\."):
        select_rows(session, "detection", delta=0.06)
    done = run("export", "detection", "--delta", "0.05", "--warehouse", root)
    assert done.exit_code == 0, done.stderr
