"""Bad input through ingest: each is named, and nothing is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import SPLITS, image_dataset, save_model, table, text_dataset

from superact.datasets import open_dataset
from superact.errors import (
    BadInput,
    LayerOutOfRange,
    MissingFile,
    NotEnoughDisk,
    SuperactError,
    UnreadableFile,
    WordMismatch,
)
from superact.ingest.extract import extract, missing_bytes
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.ingest.score import score
from superact.metrics.evaluate import evaluate
from superact.models import load_model
from superact.store import Warehouse


def run(
    tmp_path: Path, name: str, model: str, layers: tuple[int, ...] = (1,), units: tuple[str, ...] = ("token", "cls")
) -> Warehouse:
    warehouse = Warehouse(tmp_path / "wh")
    folder = tmp_path / model.lower()
    if not folder.exists():
        save_model(folder, model)
    dataset = open_dataset(str(tmp_path / name), tmp_path)
    ingest(warehouse, Job(dataset, load_model(folder, device="cpu"), list(layers), units), Recipe())
    return warehouse


def refused(tmp_path: Path, kind: type[SuperactError], match: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=match):
        call()
    assert Warehouse(tmp_path / "wh").state().sequence == 0


def test_a_text_of_one_token(tmp_path: Path) -> None:
    root = text_dataset(tmp_path / "Tiny-Text", words=False)
    (root / "paragraphs/4.txt").write_text("fox")
    warehouse = run(tmp_path, "Tiny-Text", "BertModel")
    rows = table(warehouse, "embeddings", unit="token")
    assert rows.filter(rows["sample"] == 4)["token"].to_list() == [1]
    evaluate(warehouse)


def test_an_empty_text(tmp_path: Path) -> None:
    root = text_dataset(tmp_path / "Tiny-Text", words=False)
    (root / "paragraphs/4.txt").write_text(" \n")
    refused(
        tmp_path, UnreadableFile, r"4\.txt \(row 4 .*empty or blank", lambda: run(tmp_path, "Tiny-Text", "BertModel")
    )


def test_a_text_longer_than_the_model(tmp_path: Path) -> None:
    root = text_dataset(tmp_path / "Tiny-Text", words=False)
    (root / "paragraphs/4.txt").write_text("fox " * 70)
    match = r"paragraphs/4\.txt, row 4 \(line 6\): A text has 72 tokens, and .* takes at most 64"
    refused(tmp_path, BadInput, match, lambda: run(tmp_path, "Tiny-Text", "BertModel"))


def test_a_word_list_that_does_not_match(tmp_path: Path) -> None:
    root = text_dataset(tmp_path / "Tiny-Text")
    (root / "paragraphs/4.txt").write_text("something else")
    match = r"paragraph 5 .*word 1 is .* in the list and 'something' in the text"
    refused(tmp_path, WordMismatch, match, lambda: run(tmp_path, "Tiny-Text", "BertModel"))


@pytest.mark.parametrize("when", ["before", "between"])
def test_an_image_that_is_missing(tmp_path: Path, when: str) -> None:
    """Before the dataset is opened, or after."""
    root = image_dataset(tmp_path / "Tiny-Image")
    model = load_model(save_model(tmp_path / "model", "Dinov2Model"), device="cpu")
    if when == "before":
        (root / "images/7.png").unlink()
        refused(
            tmp_path,
            MissingFile,
            r"7\.png does not exist; it is named in row 7 ",
            lambda: open_dataset(str(root), tmp_path),
        )
        return
    job = Job(open_dataset(str(root), tmp_path), model, [1])
    (root / "images/7.png").unlink()
    refused(tmp_path, BadInput, r"7\.png", lambda: ingest(Warehouse(tmp_path / "wh"), job, Recipe()))


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    root = image_dataset(tmp_path / "Tiny-Image")
    path = root / "images/7.png"
    path.write_bytes(path.read_bytes()[:200])
    refused(tmp_path, UnreadableFile, r"7\.png \(row 7 ", lambda: run(tmp_path, "Tiny-Image", "Dinov2Model"))


def test_a_model_without_enough_layers(tmp_path: Path) -> None:
    text_dataset(tmp_path / "Tiny-Text")
    match = r"layers 0 to 3 \(3 blocks\); layer 4 does not exist"
    refused(tmp_path, LayerOutOfRange, match, lambda: run(tmp_path, "Tiny-Text", "BertModel", layers=(1, 4)))


def test_a_model_of_the_other_kind(tmp_path: Path) -> None:
    text_dataset(tmp_path / "Tiny-Text")
    image_dataset(tmp_path / "Tiny-Image")
    refused(
        tmp_path, BadInput, "dataset of texts and .* reads images", lambda: run(tmp_path, "Tiny-Text", "Dinov2Model")
    )
    refused(
        tmp_path, BadInput, "dataset of images and .* reads texts", lambda: run(tmp_path, "Tiny-Image", "BertModel")
    )


def test_no_train_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noticed before the model has run over anything."""
    text_dataset(tmp_path / "Tiny-Text", splits=("cal", "test"))
    monkeypatch.setattr("superact.ingest.extract.run_forward", lambda *_: pytest.fail("the model ran"))
    match = "tiny-text has no train sample|Tiny-Text has no train sample"
    refused(tmp_path, BadInput, match, lambda: run(tmp_path, "Tiny-Text", "BertModel"))


def test_unit_cls_of_a_model_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_dataset(tmp_path / "Tiny-Image")
    model = load_model(save_model(tmp_path / "model", "Dinov2Model"), device="cpu")
    monkeypatch.setattr(model, "cls_index", None)
    dataset = open_dataset(str(tmp_path / "Tiny-Image"), tmp_path)
    with pytest.raises(BadInput, match=r"has no CLS token\. Leave out unit cls"):
        Job(dataset, model, [1], ("token", "cls"))
    assert Job(dataset, model, [1], ("token",)).units == ("token",)


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    text_dataset(tmp_path / "Tiny-Text")
    dataset = open_dataset(str(tmp_path / "Tiny-Text"), tmp_path)
    model = load_model(save_model(tmp_path / "model", "BertModel"), device="cpu")
    with pytest.raises(BadInput, match="'word' is not a unit"):
        Job(dataset, model, [1], ("word",))
    with pytest.raises(BadInput, match="token budget of 0"):
        Job(dataset, model, [1], token_budget=0)
    with pytest.raises(BadInput, match="--embeddings 'some' is unknown"):
        ingest(Warehouse(tmp_path / "wh"), Job(dataset, model, [1]), Recipe(), embeddings="some")


def test_a_budget_smaller_than_a_text_runs_it_alone(tmp_path: Path) -> None:
    text_dataset(tmp_path / "Tiny-Text")
    dataset = open_dataset(str(tmp_path / "Tiny-Text"), tmp_path)
    model = load_model(save_model(tmp_path / "model", "BertModel"), device="cpu")
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, Job(dataset, model, [1], token_budget=1))
    assert warehouse.state().documents[-1]["provenance"]["largest_batch"] == 1
    assert SPLITS == ("train", "cal", "test")


def test_the_disk_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract asks for what is missing, not for what is there; score asks for its rows."""
    text_dataset(tmp_path / "Tiny-Text")
    dataset = open_dataset(str(tmp_path / "Tiny-Text"), tmp_path)
    model = load_model(save_model(tmp_path / "model", "BertModel"), device="cpu")
    asked: list[int] = []
    for name in ("extract", "score"):
        monkeypatch.setattr(f"superact.ingest.{name}.check_free", lambda path, needed: asked.append(needed))
    warehouse = Warehouse(tmp_path / "wh")
    job = Job(dataset, model, [1, 2])
    ingest(warehouse, job, Recipe())
    content = job.counts.content
    assert asked == [int(2 * content * 32 * 4), int(content * 2 * 2 * 2 * 7.5)]  # layers, sets, concepts
    asked.clear()
    ingest(warehouse, Job(dataset, model, [1, 2, 3]), Recipe())
    assert asked == [int(content * 32 * 4), int(content * 2 * 2 * 7.5)]
    monkeypatch.undo()
    monkeypatch.setattr("superact.store.files.shutil.disk_usage", lambda path: type("U", (), {"free": 10})())
    for call in (lambda: extract(Warehouse(tmp_path / "full"), job), lambda: score(warehouse, replace=True)):
        with pytest.raises(NotEnoughDisk, match="has 10 B free"):
            call()
    assert missing_bytes(job, {}) == 0
