"""`superact plot`: the files it writes, the options of a figure, what it refuses, and the page of examples."""

from __future__ import annotations

import ast
import csv
import inspect
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from figure_worlds import charted
from folders import tree
from snippets import fenced
from typer.testing import CliRunner, Result

from superact import figures
from superact.cli.main import app
from superact.figures import FIGURES
from superact.figures.catalogue import OPTIONS
from superact.store import Warehouse

PAGE = (Path(__file__).parents[1] / "docs" / "figures.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    root = tmp_path_factory.mktemp("plot")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        yield charted(root)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPERACT_WAREHOUSE", str(warehouse.root))
    monkeypatch.setenv("NO_COLOR", "1")


def plot(*words: str) -> Result:
    return CliRunner().invoke(app, ["plot", *words])


def test_the_list_has_every_figure_in_every_format(tmp_path: Path) -> None:
    table = plot("list")
    assert table.exit_code == 0
    assert [line.split()[0] for line in table.stdout.splitlines()[2:]] == list(FIGURES)
    found = json.loads(plot("list", "--format", "json").stdout)
    assert [one["name"] for one in found] == list(FIGURES)
    assert found[0] == {
        "name": "activation_distributions",
        "description": FIGURES["activation_distributions"].description,
        "options": "--dataset --model --layer --concept-set --label",
    }
    assert plot("list", "--out", "list.csv").stdout == ""
    rows = list(csv.DictReader(io.StringIO((tmp_path / "list.csv").read_text(encoding="utf-8"))))
    assert [row["name"] for row in rows] == list(FIGURES)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "html"])
def test_a_figure_becomes_a_file_and_says_so_on_stderr(tmp_path: Path, kind: str) -> None:
    result = plot("delta_histogram", "--out", f"x.{kind}")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"x.{kind}: {FIGURES['delta_histogram'].description}\n"
    assert [path.name for path in tmp_path.iterdir()] == [f"x.{kind}"]
    assert plot("delta_histogram", "--out", f"x.{kind}", "--quiet").stderr == ""


def test_options_reach_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    real = figures.activation_distributions

    def drawn(source: Any, **given: Any) -> Any:
        asked.append(given)
        return real(source, **given)

    monkeypatch.setattr("superact.figures.distributions.activation_distributions", drawn)
    words = "--dataset d --model m --layer 1,4 --concept-set avg --label red --label ball"
    assert plot("activation_distributions", *words.split(), "--out", "x.svg").exit_code == 0
    assert plot("activation_distributions", "--layers", "2", "--label", "red", "--out", "x.svg").exit_code == 0
    assert asked == [
        {"dataset": "d", "model": "m", "layer": [1, 4], "concept_set": "avg", "label": ["red", "ball"]},
        {"layer": 2, "label": "red"},
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("f1_by_moon --out x.png", "There is no figure 'f1_by_moon'. The nearest: f1_by_"),
        ("f1_bars", "A figure needs a file to go to. Name it: superact plot f1_bars --out f1_bars.png."),
        (
            "f1_bars --out x.gif",
            "x.gif ends in '.gif', which is no format of a figure. End it in .png, .svg, .pdf, .html.",
        ),
        ("f1_bars --out no/x.png", "there is no folder no"),
        (
            "f1_bars --out x.png --sample 3 --delta 0.1",
            "--delta, --sample do not apply to figure f1_bars. It takes --dataset",
        ),
        ("f1_bars --out x.png --label red", "--label does not apply to figure f1_bars."),
        ("f1_bars --out x.png --format csv", "--format does not apply to `superact plot f1_bars`."),
        ("f1_bars --out x.png --layer 1,2", "Figure f1_bars takes one --layer, not 2."),
        ("f1_bars --out x.png --scale 0", "A scale of 0.0 cannot be drawn."),
        ("f1_bars --out x.png --dataset e", "There is no dataset 'e'"),
        (
            "f1_by_delta --out x.png --detector superactivater",
            "There is no detector 'superactivater'. The nearest: superactivator",
        ),
        ("f1_bars --out x.png --unit tokens", "There is no unit 'tokens'"),
        ("list --dataset d", "--dataset does not apply to `superact plot list`."),
        ("image_concepts --out x.png --detector cls", "--detector does not apply to figure image_concepts."),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, words: str, message: str) -> None:
    result = plot(*words.split())
    assert result.exit_code == 3
    assert message in result.stderr
    assert tree(tmp_path) == {}


def test_a_figure_is_not_put_among_published_files(warehouse: Warehouse) -> None:
    result = plot("f1_bars", "--out", str(warehouse.root / "metrics" / "x.png"))
    assert result.exit_code == 3 and "whose files are published" in result.stderr
    assert not (warehouse.root / "metrics" / "x.png").exists()


def test_a_data_root_of_the_environment_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_DATA_ROOT", "somewhere")
    assert plot("delta_histogram", "--out", "x.svg").exit_code == 0
    assert plot("delta_histogram", "--out", "x.svg", "--data-root", "somewhere").exit_code == 3


def test_stale_tables_that_the_figure_reads_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compare_worlds import make_worlds
    from metrics_tables import publish_world

    from superact.metrics.evaluate import evaluate

    world = make_worlds()["whole", "cls"]
    found = publish_world(tmp_path / "wh", world[1], concept_set="whole")
    evaluate(found)
    with found.run("test", replace=True) as run:
        from metrics_tables import KEYS, records, write_table

        rows = records(world[2])["activations"]
        write_table(run, "activations", rows, 2, **{**KEYS, "concept_set": "whole", "unit": "cls"})
        run.publish()
    result = plot("f1_bars", "--warehouse", str(tmp_path / "wh"), "--out", "x.svg")
    assert result.exit_code == 0 and "of summary older than its inputs" in result.stderr
    assert "of selection" not in result.stderr


# --- the page ---------------------------------------------------------------------------------------------------------


def test_every_figure_has_a_section_in_the_order_of_the_list() -> None:
    assert [name for name in SECTIONS if name in FIGURES] == list(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_the_examples_of_a_section_are_of_the_figure(tmp_path: Path, name: str) -> None:
    command: Any = typer.main.get_command(app)
    section = SECTIONS[name]
    lines = [line for _, block in fenced(section, "sh") for line in block.splitlines()]
    assert lines
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["superact", "plot", name]
        context = command.commands["plot"].make_context("plot", words[2:])
        given = {key for key in OPTIONS if context.get_parameter_source(key).name == "COMMANDLINE"}
        assert given <= set(FIGURES[name].options)
        assert context.params["out"].suffix in (".png", ".svg", ".pdf", ".html")
    (block,) = (block for _, block in fenced(section, "python"))
    (call,) = (one.value for one in ast.parse(block).body if isinstance(one, ast.Expr))
    assert isinstance(call, ast.Call) and ast.unparse(call.func) == f"figures.{name}"
    known = inspect.signature(FIGURES[name].function()).parameters
    assert {keyword.arg for keyword in call.keywords} <= set(known)


def test_every_option_of_the_catalogue_is_one_of_the_command() -> None:
    command: Any = typer.main.get_command(app)
    assert set(OPTIONS) <= {parameter.name for parameter in command.commands["plot"].params}
