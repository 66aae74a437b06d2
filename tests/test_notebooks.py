"""The notebooks as they are checked in: run from top to bottom, without an error, and readable where nothing can be run."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from superact.figures import FIGURES

FOLDER = Path(__file__).parent.parent / "notebooks"
MOST_BYTES = 1_500_000
PAPER = "https://arxiv.org/abs/2512.05038"
SHOWN = {
    "Activation-Distributions": {"activation_distributions", "separation_by_layer", "superactivator_coverage"},
    "Compare-Methods": {
        "f1_bars",
        "f1_by_delta",
        "f1_by_delta_per_label",
        "delta_histogram",
        "detection_heatmap",
        "f1_by_layer",
        "layer_histogram",
        "precision_recall",
        "localization_table",
    },
    "Image-Concept-Evals": {"image_concepts", "outcome_gallery", "top_patches"},
    "Text-Concepts": {"text_concepts", "top_tokens"},
}
PLACE = re.compile(r"(?<![\w.$>/-])/(?:home|root|tmp|var|opt|usr|mnt|work|Users|private)/|\b[A-Z]:\\")
CALL = re.compile(r"\bfigures\.(\w+)\(")

NAMES = sorted(SHOWN)


def notebook(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return content


def joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def code(name: str) -> list[dict[str, Any]]:
    return [cell for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]


def drawn(cell: dict[str, Any]) -> set[str]:
    return set(CALL.findall(joined(cell["source"]))) & set(FIGURES)


def texts(name: str) -> list[str]:
    """Everything a reader is shown that is text: sources, and outputs but pictures."""
    content = notebook(name)
    found = [joined(cell["source"]) for cell in content["cells"]]
    for cell in code(name):
        for output in cell["outputs"]:
            found += [joined(text) for kind, text in output.get("data", {}).items() if kind != "image/png"]
            found += [joined(output["text"])] if "text" in output else []
            found.append(json.dumps(output.get("metadata", {})))
    return found


def test_there_are_four_and_the_readme_says_what_each_is() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"[{name}]({name}.ipynb)" not in readme] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_was_run_in_order_without_an_error(name: str) -> None:
    cells = code(name)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds <= {"execute_result", "display_data"}, "an error, or something printed"


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_stored_as_a_picture_or_html(name: str) -> None:
    found: set[str] = set()
    for cell in code(name):
        kinds = {kind for output in cell["outputs"] for kind in output["data"]}
        if drawn(cell):
            assert kinds & {"image/png", "text/html"}, joined(cell["source"])
        assert kinds <= {"image/png", "text/html", "text/plain"}, "a script, or a widget"
        found |= drawn(cell)
    assert found == SHOWN[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_can_be_decoded_and_shows_something(name: str) -> None:
    pictures = [
        joined(output["data"]["image/png"])
        for cell in code(name)
        for output in cell["outputs"]
        if "image/png" in output["data"]
    ]
    assert len(pictures) >= len(SHOWN[name])
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture, validate=False)))
        image.load()
        colours = image.convert("RGB").getcolors(maxcolors=image.width * image.height)
        assert image.width >= 500 and colours is not None and len(colours) >= 20
        assert max(colours)[1] != (0, 0, 0), "light letters on a dark ground, or nothing drawn"


@pytest.mark.parametrize("name", NAMES)
def test_text_figures_come_with_words_for_who_does_not_see_them(name: str) -> None:
    for cell in code(name):
        for output in cell["outputs"] if drawn(cell) & {"text_concepts", "top_tokens"} else []:
            html = joined(output["data"].get("text/html", ""))
            words = html if html else output["metadata"]["image/png"]["alt"]
            assert "sarcasm" in words
            assert "<script" not in html
            assert not html or 'title="token ' in html


@pytest.mark.parametrize("name", NAMES)
def test_sizes_places_addresses_and_metadata(name: str) -> None:
    assert (FOLDER / f"{name}.ipynb").stat().st_size < MOST_BYTES
    for text in texts(name):
        assert not PLACE.search(text), PLACE.search(text)
        assert re.findall(r"https?://[^\s)\"']+", text) in ([], [PAPER])
    content = notebook(name)
    assert content["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell["id"] for cell in content["cells"] if cell["metadata"]] == []
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_chosen_by_questions_and_questions_are_shown(name: str) -> None:
    sources = [joined(cell["source"]) for cell in code(name)]
    assert [source for source in sources if re.search(r"\bsample\w*\s*(=|\bIN)\s*[\[(]?\d", source)] == []
    assert sum("SELECT" in source or "warehouse.scan(" in source for source in sources) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_says_what_to_do_without_a_warehouse(name: str, tmp_path: Path) -> None:
    first = joined(code(name)[0]["source"])
    environment = {**os.environ, "SUPERACT_WAREHOUSE": str(tmp_path / "none")}
    ran = subprocess.run([sys.executable, "-c", first], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("FileNotFoundError: No evaluated warehouse at ")
    assert ran.stderr.splitlines()[-1].endswith("run `make demo` first.")


def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_smaller_picture_has_the_same_pixels() -> None:
    image = Image.effect_mandelbrot((90, 60), (-2, -1, 1, 1), 40).convert("RGBA")
    sink = io.BytesIO()
    image.save(sink, "PNG", compress_level=0)
    large = base64.b64encode(sink.getvalue()).decode()
    small = runner().smaller(large)
    assert len(small) < len(large)
    kept = Image.open(io.BytesIO(base64.b64decode(small)))
    assert kept.mode == "RGB"
    assert kept.tobytes() == image.convert("RGB").tobytes()


def written(path: Path, *sources: str) -> Path:
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for i, source in enumerate(sources)
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return path


def test_a_check_writes_nothing_and_a_cell_that_raises_fails_it(tmp_path: Path) -> None:
    good = written(tmp_path / "good.ipynb", "open('left.txt', 'w').close()", "1 + 1")
    bad = written(tmp_path / "bad.ipynb", "1 / 0")
    before = good.read_bytes()

    def run(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(FOLDER / "run.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    checked = run("--check", good, bad)
    assert checked.returncode == 1
    assert "bad.ipynb" in checked.stderr and "ZeroDivisionError" in checked.stderr
    assert checked.stdout == "good.ipynb: 2 cells\n"
    assert good.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.ipynb", "good.ipynb"]

    assert run(good).returncode == 0
    cells = json.loads(good.read_text(encoding="utf-8"))["cells"]
    assert [cell["execution_count"] for cell in cells] == [1, 2]
    assert joined(cells[1]["outputs"][0]["data"]["text/plain"]) == "2"
    assert [cell["metadata"] for cell in cells] == [{}, {}]
