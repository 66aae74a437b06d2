"""The worked examples of the pages on metrics: every console block is run, in order, and says exactly what the page shows."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from folders import tree
from snippets import Step, steps
from typer.testing import CliRunner

from superact.cli.main import app
from superact.metrics.bootstrap import draws
from superact.metrics.null import permuted

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "metrics.md", *sorted((DOCS / "metrics").glob("*.md"))]


def said(command: str) -> str:
    """What a command of the pages prints in this process, and its exit code where that is not 0."""
    words = shlex.split(command)
    assert words[0] == "superact", command
    result = CliRunner().invoke(app, words[1:])
    return result.output + (f"exit code {result.exit_code}\n" if result.exit_code else "")


def test_steps_are_read_as_a_shell_would() -> None:
    page = "text\n```console\n$ one\nout\n\n$ two 'a\n> b'\n```\n```console\n$ three\n```\n"
    assert steps(page) == [Step("one", "out\n\n"), Step("two 'a\nb'", ""), Step("three", "")]


def test_the_example_is_what_its_script_writes(tmp_path: Path) -> None:
    path = DOCS / "example" / "make.py"
    spec = importlib.util.spec_from_file_location("make_example", path)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path)
    written = tree(tmp_path)
    assert len(written) == 10
    committed = {name: content for name, content in tree(path.parent).items() if name in written}
    assert committed == written, "run `python docs/example/make.py`"


def test_every_page_of_a_metric_has_an_example() -> None:
    assert [page.name for page in PAGES if not steps(page.read_text(encoding="utf-8"))] == []


def test_the_examples_say_what_the_pages_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SUPERACT_WAREHOUSE", str(tmp_path / "wh"))
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    for page in PAGES:
        for step in steps(page.read_text(encoding="utf-8")):
            assert said(step.command) == step.output, f"{page.name}: {step.command}"


def test_the_draws_that_the_pages_spell_out() -> None:
    first = next(draws(4, 0))[0]
    assert first.tolist() == [0, 1, 2, 1]  # summary.md: samples 9, 8, 8, 7 of 6 to 9
    samples = pa.table({"sample": range(10), "split": ["train"] * 2 + ["cal"] * 4 + ["test"] * 4})
    assert permuted(samples, 0, 0)["target"].to_pylist() == [0, 1, 4, 2, 3, 5, 9, 8, 7, 6]  # null-summary.md
