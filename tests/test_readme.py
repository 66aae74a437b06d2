"""Every snippet of the README's tour runs, in order, as a reader would run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import fenced

ROOT = Path(__file__).parents[1]


def snippets() -> list[tuple[str, str]]:
    """(language, text) of the tour's fenced blocks that a reader would run."""
    tour = (ROOT / "README.md").read_text(encoding="utf-8").partition("## A tour")[2]
    return fenced(tour, "bash", "python")


def test_the_tour_has_snippets_of_both_kinds() -> None:
    assert {language for language, _ in snippets()} == {"bash", "python"}
    assert len(snippets()) >= 7


@pytest.mark.model
def test_the_tour_runs(tmp_path: Path) -> None:
    from superact.models.local import local_models

    if not next(model for model in local_models() if model.name == "minilm").prepared:
        pytest.skip("minilm is not prepared: run `superact models prepare minilm`")
    shutil.copytree(ROOT / "Data" / "Sarcasm-Mini", tmp_path / "Data" / "Sarcasm-Mini")
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": "error"}
    for language, text in snippets():
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        if language == "bash":
            assert done.stdout or done.stderr, f"nothing was said by\n{text}"
    assert (tmp_path / "selection.csv").stat().st_size > 0
    assert (tmp_path / "activations.parquet").stat().st_size > 0


def test_the_readme_shows_the_demo_and_links_to_pages_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    demo = readme.partition("<!-- demo -->")[2].partition("<!-- /demo -->")[0]
    assert "SuperAct" in demo and "always positive" in demo
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", readme):
        assert (ROOT / target).exists(), f"README links to {target}"
