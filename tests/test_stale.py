"""What was made from inputs that have changed is named, and never judged by the new ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import sae_oracle
import torch
from folders import write_folder
from tiny import save_model, text_dataset
from typer.testing import CliRunner

import superact
from superact.cli.main import app
from superact.concepts.sae import Sae
from superact.concepts.sae.base import build
from superact.datasets import open_dataset
from superact.errors import StaleInput
from superact.ingest.encode import encode
from superact.ingest.extract import extract
from superact.ingest.import_folder import import_folder
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.ingest.score import score
from superact.metrics.evaluate import evaluate
from superact.models import load_model
from superact.store import Warehouse
from superact.store.stale import stale

SWAPPED = pl.col("split").replace({"train": "test", "test": "train"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "folder")


def changed_vectors(folder: Path) -> None:
    """Other concept vectors under the same names."""
    frame = pl.read_csv(folder / "concepts.csv")
    frame.with_columns(v0=pl.col("v0") + 1.5).write_csv(folder / "concepts.csv")


def test_nothing_is_stale_after_eval(tmp_path: Path, folder: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, folder)
    score(warehouse)
    evaluate(warehouse)
    assert stale(warehouse.state()) == []


def test_scores_of_other_vectors_are_refused_and_metrics_named(tmp_path: Path, folder: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, folder)
    score(warehouse)
    evaluate(warehouse)
    changed_vectors(folder)
    import_folder(warehouse, folder, replace=True)
    state = warehouse.state()
    assert stale(state) == sorted((p for p in state.partitions.values() if p.derived), key=lambda p: p.partition)
    assert len({published.partition.table for published in stale(state)}) == 11
    with pytest.raises(StaleInput, match=r"superact score .*--replace"):
        evaluate(warehouse)
    shown = CliRunner().invoke(app, ["export", "summary", "--warehouse", str(warehouse.root), "--format", "json"])
    assert shown.exit_code == 0 and "stale:" in shown.stderr and json.loads(shown.stdout)
    listed = CliRunner().invoke(app, ["info", "--warehouse", str(warehouse.root), "--format", "json"])
    counts = {row["table"]: row["stale"] for row in json.loads(listed.stdout)}
    assert counts["summary"] > 0 and counts["samples"] == 0
    score(warehouse, replace=True)
    evaluate(warehouse)
    assert stale(warehouse.state()) == []
    fresh = CliRunner().invoke(app, ["sql", "FROM summary", "--warehouse", str(warehouse.root), "--format", "csv"])
    assert fresh.exit_code == 0 and fresh.stderr == ""


def test_connections_spill_into_folders_of_their_own() -> None:
    from superact.query import connect

    folders = {connect().execute("SELECT current_setting('temp_directory')").fetchall()[0][0] for _ in range(3)}
    assert len(folders) == 3


def test_a_cache_that_cannot_be_written_to_does_not_stop_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from superact.query import connect

    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "file"))
    assert connect().execute("SELECT 1").fetchall() == [(1,)]


def test_replaced_splits_leave_no_layer_of_the_old_ones(tmp_path: Path) -> None:
    """A layer that was learned on what is now the test split must not be reported."""
    folder = save_model(tmp_path / "tiny", "BertModel")
    data = text_dataset(tmp_path / "Toys")

    def job(*layers: int) -> Job:
        return Job(open_dataset(str(data), tmp_path), load_model(folder, device="cpu"), list(layers), ("token", "cls"))

    warehouse = Warehouse(tmp_path / "wh")
    ingest(warehouse, job(1, 3), Recipe())
    evaluate(warehouse)
    swap = {"train": "test", "test": "train"}
    metadata = pl.read_csv(data / "metadata.csv")
    metadata.with_columns(pl.col("split").replace(swap)).write_csv(data / "metadata.csv")
    ingest(warehouse, job(1), Recipe(), replace=True)
    assert {dict(p.partition.keys)["layer"] for p in warehouse.state().select("activations")} == {1}
    evaluate(warehouse)
    layers = "SELECT layer FROM summary WHERE layer_choice = 'fixed'"
    assert set(superact.open(warehouse.root).sql(layers)["layer"]) == {1}
    ingest(warehouse, job(1, 3), Recipe())
    evaluate(warehouse)
    assert set(superact.open(warehouse.root).sql(layers)["layer"]) == {1, 3}


# Sparse autoencoders


def an_sae(width: int) -> Sae:
    weights = sae_oracle.random_weights("topk", width, 20)
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    return build("topk", tensors, name="a", source="somewhere", k=3)


def republish(warehouse: Warehouse, *names: str, meta: bool = True, **changes: Any) -> None:
    """The same rows of some tables, with other fields in their identity, or without what is noted beside it."""
    with warehouse.run("test", replace=True) as run:
        for published in [p for name in names for p in run.state.select(name)]:
            keys = dict(published.partition.keys)
            part = run.partition(published.partition.table, {**published.identity, **changes}, **keys)
            part.meta.update(published.meta if meta else {})
            part.write(0, [pq.read_table(warehouse.root / file.path, partitioning=None) for file in published.files])
        run.publish()


@pytest.fixture
def encoded(tmp_path: Path) -> tuple[Warehouse, Job]:
    """A tiny model's layer 1 encoded, beside a supervised set, and all of it evaluated."""
    data, model = text_dataset(tmp_path / "Toys"), save_model(tmp_path / "tiny", "BertModel")
    opened, loaded = open_dataset(str(data), tmp_path), load_model(model, device="cpu")
    warehouse, job = Warehouse(tmp_path / "wh"), Job(opened, loaded, [1], ("token", "cls"))
    ingest(warehouse, job, Recipe(("avg",)))
    encode(warehouse, an_sae(32), **job.keys, layer=1)
    evaluate(warehouse)
    assert stale(warehouse.state()) == []
    return warehouse, job


COMMAND = r"superact sae encode toys tiny SAE --layer 1 --replace"


@pytest.mark.parametrize("unit", ["token", "cls"])
@pytest.mark.parametrize("field", ["sources", "model:revision", "token_budget"])
def test_features_of_embeddings_that_were_replaced_are_refused(
    encoded: tuple[Warehouse, Job], unit: str, field: str
) -> None:
    """The new embeddings are there, or have been dropped: the activations say which ones they were made from."""
    warehouse, _ = encoded
    where = {"concept_set": "sae", "unit": unit}
    described = {"sources": ("samples", "tokens"), "model:revision": ("tokens",)}
    republish(warehouse, "embeddings", "layer_stats", *described.get(field, ()), **{field: "other"})
    known = [field] if field != "token_budget" and (unit, field) != ("cls", "model:revision") else []
    named = ", ".join(sorted(["embeddings", *known]))
    with pytest.raises(StaleInput, match=rf"sae_activations .*unit={unit} .*{named}.*{COMMAND}"):
        evaluate(warehouse, **where)
    warehouse.remove([p.partition for p in warehouse.state().select("embeddings")], "test")
    with pytest.raises(StaleInput, match=rf"sae_activations .*unit={unit} .*{field}.*{COMMAND}"):
        evaluate(warehouse, **where)


def test_features_of_a_layer_that_was_extracted_otherwise_are_refused(encoded: tuple[Warehouse, Job]) -> None:
    warehouse, job = encoded
    job = Job(job.dataset, job.model, [1], ("token", "cls"), 1024)
    extract(warehouse, job, keep_embeddings=False, replace=True)
    assert not warehouse.state().select("embeddings") and len(warehouse.state().select("sae_activations")) == 2
    with pytest.raises(StaleInput, match=rf"sae_activations .*token_budget.*{COMMAND}"):
        evaluate(warehouse, concept_set="sae")
    extract(warehouse, job)
    encode(warehouse, an_sae(32), **job.keys, layer=1, replace=True)
    evaluate(warehouse, concept_set="sae")
    warehouse.remove([p.partition for p in warehouse.state().select("embeddings")], "test")
    evaluate(warehouse, concept_set="sae")


def test_features_that_do_not_say_what_they_are_made_from_are_taken_as_they_are(encoded: tuple[Warehouse, Job]) -> None:
    warehouse, job = encoded
    republish(warehouse, "sae_activations", "sae_stats", meta=False)
    assert encode(warehouse, an_sae(32), **job.keys, layer=1) == 0
    warehouse.remove([p.partition for p in warehouse.state().select("embeddings")], "test")
    republish(warehouse, "layer_stats", token_budget=1)
    evaluate(warehouse, concept_set="sae")


def test_statistics_of_other_splits_are_refused(encoded: tuple[Warehouse, Job]) -> None:
    warehouse, job = encoded
    republish(warehouse, "sae_stats", meta=False)  # as it was written before eval looked at splits
    change_splits(warehouse)
    with pytest.raises(StaleInput, match=rf"sae_stats .*\(splits\).*{COMMAND}"):
        evaluate(warehouse, concept_set="sae")
    encode(warehouse, an_sae(32), **job.keys, layer=1, replace=True)
    evaluate(warehouse, concept_set="sae")


def change_splits(warehouse: Warehouse) -> None:
    """Publish the samples with train and test exchanged, as another model's import does."""
    samples = warehouse.state().get("samples", dataset="toys")
    rows = pl.read_parquet([warehouse.root / file.path for file in samples.files], hive_partitioning=False)
    swapped = rows.with_columns(SWAPPED)
    with warehouse.run("test", replace=True) as run:
        run.partition("samples", {**samples.identity, "changed": 1}, dataset="toys").write(0, [swapped.to_arrow()])
        run.publish()


def test_statistics_of_the_same_splits_stand_whatever_else_of_the_samples_changed(
    encoded: tuple[Warehouse, Job],
) -> None:
    warehouse, _ = encoded
    republish(warehouse, "samples", changed=1)
    evaluate(warehouse, concept_set="sae")


@pytest.mark.parametrize(
    ("cut", "options"),
    [
        ({"token": 2}, "--unit token --top-k 2"),
        ({"cls": None}, "--unit cls"),
        ({"token": 2, "cls": 2}, "--top-k 2"),
        ({"token": 2, "cls": 1}, "--unit cls --top-k 1"),
    ],
    ids=["one unit, cut", "one unit", "both units, cut", "each unit cut otherwise"],
)
def test_the_remedy_encodes_as_it_was_encoded(tmp_path: Path, cut: dict[str, int | None], options: str) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, write_folder(tmp_path / "folder", samples=24, sets=()))
    for unit, top_k in cut.items():
        encode(warehouse, an_sae(4), dataset="toys", model="tiny", layer=1, units=(unit,), top_k=top_k)
    evaluate(warehouse)
    change_splits(warehouse)
    with pytest.raises(StaleInput) as caught:
        evaluate(warehouse)
    assert caught.value.fields["command"] == f"superact sae encode toys tiny SAE --layer 1 {options} --replace"


def test_splits_that_another_model_brought_are_noticed(tmp_path: Path) -> None:
    """An import of another model replaces the samples of both."""
    warehouse, folder = Warehouse(tmp_path / "wh"), write_folder(tmp_path / "folder", samples=24, sets=())
    where = {"dataset": "toys", "model": "tiny", "layer": 1, "concept_set": "sae.b"}
    import_folder(warehouse, folder)
    encode(warehouse, an_sae(4), **where)
    evaluate(warehouse)
    import_as("other", warehouse, folder, SWAPPED)
    command = "superact sae encode toys tiny SAE --layer 1 --concept-set sae.b --replace"
    with pytest.raises(StaleInput, match=rf"sae_stats .*\(splits\).*{command}"):
        evaluate(warehouse)
    encode(warehouse, an_sae(4), **where, replace=True)
    evaluate(warehouse)


def import_as(model: str, warehouse: Warehouse, folder: Path, *changes: pl.Expr) -> None:
    """Import the folder as a model's, with changed samples: they become those of every model."""
    protocol = json.loads((folder / "protocol.json").read_text())
    (folder / "protocol.json").write_text(json.dumps({**protocol, "model": model}))
    pl.read_csv(folder / "samples.csv").with_columns(*changes).write_csv(folder / "samples.csv")
    import_folder(warehouse, folder, replace=True)


@pytest.mark.parametrize("evaluated", [False, True], ids=["never evaluated", "evaluated before"])
def test_an_imported_model_is_not_judged_by_splits_that_another_brought(
    tmp_path: Path, folder: Path, evaluated: bool
) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, folder)
    score(warehouse)
    if evaluated:
        evaluate(warehouse)
    before = {p for p in warehouse.state().partitions if dict(p.keys).get("model") == "tiny"}
    import_as("other", warehouse, folder, SWAPPED)
    with pytest.raises(
        StaleInput, match=r"layer_stats .*model=tiny.*the splits of toys.*superact import FOLDER --replace"
    ):
        evaluate(warehouse)
    assert {p for p in warehouse.state().partitions if dict(p.keys).get("model") == "tiny"} == before
    score(warehouse, model="other")
    evaluate(warehouse, model="other")  # the remedy's second way, and its first:
    import_as("tiny", warehouse, folder)
    score(warehouse)
    evaluate(warehouse)
    assert stale(warehouse.state()) == []


def test_another_model_may_bring_the_same_splits_with_other_paths(tmp_path: Path, folder: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, folder)
    score(warehouse)
    import_as("other", warehouse, folder, pl.format("elsewhere/{}", "sample").alias("path"))
    score(warehouse)
    evaluate(warehouse)


def test_an_imported_and_an_extracted_model_of_the_same_samples_are_both_evaluated(tmp_path: Path) -> None:
    data, model = text_dataset(tmp_path / "Toys"), save_model(tmp_path / "bert", "BertModel")
    opened = open_dataset(str(data), tmp_path)
    warehouse, folder = Warehouse(tmp_path / "wh"), write_folder(tmp_path / "folder", samples=opened.samples.height)
    samples = pl.read_csv(folder / "samples.csv").with_columns(opened.samples["split"])
    samples.write_csv(folder / "samples.csv")
    import_folder(warehouse, folder)
    score(warehouse)
    ingest(warehouse, Job(opened, load_model(model, device="cpu"), [1], ("token",)), Recipe(("avg",)), replace=True)
    evaluate(warehouse)
    assert {row[0] for row in superact.open(warehouse.root).sql("SELECT DISTINCT model FROM summary").rows()} == {
        "tiny",
        "bert",
    }
