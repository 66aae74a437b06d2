"""`prompt_results` of the published layout: file names, columns, and that they are the answers and tables of the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from metrics_tables import publish_world, random_world, write_table
from prompt_tables import answer_rows, publish_answers
from typer.testing import CliRunner

from superact.cli.main import app
from superact.metrics.evaluate import Protocol, evaluate
from superact.metrics.prompts import evaluate_prompts
from superact.store import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A set at two layers, and four answers about each of two labels, one sample having none about the second."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world = random_world(5, samples=8, labels=1, unit="cls")
    world.samples = {0: "train", **dict.fromkeys((1, 2, 3), "cal"), **dict.fromkeys((4, 5, 6, 7), "test")}
    world.labels = {"b,a": True, "c": True}
    world.sample_labels = {(s, label) for s in (1, 2, 4, 5) for label in world.labels}
    found = publish_world(tmp_path / "wh", world)
    publish_world(tmp_path / "wh", world, layer=2)
    evaluate(found, protocol=Protocol(replicates=2))
    return found


ANSWERS = {
    (4, "b,a"): "yes", (5, "b,a"): "no", (6, "b,a"): "yes", (7, "b,a"): "unparsed",
    (4, "c"): "no", (5, "c"): "no", (6, "c"): "no",
    (1, "c"): "yes",
}  # fmt: skip


def exported(warehouse: Warehouse, out: Path) -> dict[str, str]:
    """The files of prompt_results by name."""
    place = ["--warehouse", str(warehouse.root), "--out", str(out)]
    result = CliRunner().invoke(app, ["export", "--layout", "published", *place])
    assert result.exit_code == 0, result.output
    return {
        str(path.relative_to(out)): path.read_text(encoding="utf-8")
        for path in sorted(out.rglob("prompt_results/**/*"))
        if path.is_file()
    }


def test_answers_and_their_confusion(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_answers(warehouse, ANSWERS, model="llama", name="meta-llama/Llama-3.2-11B-Vision-Instruct")
    publish_answers(warehouse, dict.fromkeys(ANSWERS, "no"), model="unnamed")
    evaluate_prompts(warehouse)
    found = exported(warehouse, tmp_path / "out")
    stem = "prompt_results/d/d_Llama-3.2-11B-Vision-Instruct"
    assert list(found) == [
        *(f"{stem}_{name}" for name in ("concepts.txt", "f1_scores.csv")),
        *(f"prompt_results/d/d_unnamed_{name}" for name in ("concepts.txt", "f1_scores.csv")),
    ]
    assert found[f"{stem}_concepts.txt"] == 'Image Index,"b,a",c\n4,1,0\n5,0,0\n6,1,0\n7,0,\n'
    assert found[f"{stem}_f1_scores.csv"].splitlines() == [
        "concept,fp,fn,tp,tn,fpr,tpr,fnr,tnr,f1,accuracy",
        '"b,a",1,1,1,1,0.5,0.5,0.5,0.5,0.5,0.5',
        f"c,0,2,0,1,0.0,0.0,1.0,1.0,0.0,{1 / 3}",
    ]
    readme = (tmp_path / "out" / "README.txt").read_text(encoding="utf-8")
    assert "* prompt_results: an answer is yes" in readme
    assert warehouse.state().documents[-1]["run"] in readme  # what computed the counts


def test_replies_to_where(warehouse: Warehouse, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = answer_rows({key: answer for key, answer in ANSWERS.items() if key[1] == "b,a"})
    rows[0]["localization_reply"] = "[1, 2,\n3, 4]"
    with warehouse.run("test") as run:
        write_table(run, "prompt_answers", rows, dataset="d", model="llama")
        run.publish()
    evaluate_prompts(warehouse)
    found = exported(warehouse, tmp_path / "out")["prompt_results/d/d_llama_inversion.txt"]
    assert found == 'Image Index,"b,a"\n4,"[1, 2,\n3, 4]"\n5,No inversion\n6,No inversion\n7,No inversion\n'


def test_without_prompted_models_there_is_no_folder(warehouse: Warehouse, tmp_path: Path) -> None:
    assert exported(warehouse, tmp_path / "out") == {}
