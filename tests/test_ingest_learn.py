"""Learn: vectors against numpy and the learner itself, and what becomes of labels that cannot be learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny import assert_same_rows, matrix, save_model, table, text_dataset

from superact.concepts import fit
from superact.datasets import open_dataset
from superact.errors import BadInput, MissingTable
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe, labels_without_vector, learn
from superact.ingest.pipeline import ingest
from superact.ingest.score import score
from superact.metrics.evaluate import evaluate
from superact.models import load_model
from superact.store import Warehouse

WHERE = {"dataset": "tiny-text", "model": "model"}


def make_job(tmp_path: Path, *, words: bool = True, layers: tuple[int, ...] = (1, 3)) -> Job:
    root = text_dataset(tmp_path / "Tiny-Text", words=words)
    model = load_model(save_model(tmp_path / "model", "BertModel"), device="cpu")
    return Job(open_dataset(str(root), tmp_path), model, list(layers), ("token", "cls"), 64)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    tmp_path = tmp_path_factory.mktemp("learned")
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, make_job(tmp_path))
    learn(warehouse, Recipe(), **WHERE)
    return warehouse


def train_rows(warehouse: Warehouse, layer: int, unit: str) -> tuple[pl.DataFrame, np.ndarray]:
    """Keys of the train rows, and xhat by the formula of the contract, in float64."""
    rows = table(warehouse, "embeddings", layer=layer, unit=unit).filter(pl.col("sample") % 3 == 0)
    stats = table(warehouse, "layer_stats", layer=layer, unit=unit)
    mean, rms = np.array(stats["mean"][0], dtype=np.float64), stats["rms"][0]
    return rows.select("sample", "token"), (matrix(rows).astype(np.float64) - mean) / rms


def positives_of(warehouse: Warehouse, keys: pl.DataFrame, label: str, unit: str) -> np.ndarray:
    """Numbers of the rows that carry a label: by token label where it has any, else by sample."""
    tokens = {
        (s, t)
        for s, t, name in table(warehouse, "token_labels").select("sample", "token", "label").rows()
        if name == label
    }
    samples = {s for s, name in table(warehouse, "sample_labels").select("sample", "label").rows() if name == label}
    if unit == "token" and tokens:
        return np.array([i for i, key in enumerate(keys.rows()) if key in tokens], dtype=np.int64)
    return np.array([i for i, (sample, _) in enumerate(keys.rows()) if sample in samples], dtype=np.int64)


@pytest.mark.parametrize("unit", ["token", "cls"])
@pytest.mark.parametrize("layer", [1, 3])
def test_vectors(learned: Warehouse, layer: int, unit: str) -> None:
    keys, xhat = train_rows(learned, layer, unit)
    for label in ("animal", "mood"):
        where = {"layer": layer, "unit": unit}
        row = table(learned, "concepts", concept_set="avg", **where).row(
            by_predicate=pl.col("concept") == label, named=True
        )
        positives = positives_of(learned, keys, label, unit)
        assert 0 < len(positives) < len(keys)
        mean = xhat[positives].mean(axis=0)
        assert np.abs(np.array(row["vector"]) - mean).max() <= 1e-5 * np.abs(mean).max()
        assert (row["n_positive"], row["n_negative"], row["status"], row["seed"]) == (len(positives), 0, "ok", None)
        found = table(learned, "concepts", concept_set="linsep", **where).row(
            by_predicate=pl.col("concept") == label, named=True
        )
        rows = table(learned, "embeddings", **where).filter(pl.col("sample") % 3 == 0)
        stats = table(learned, "layer_stats", **where)
        exact = (matrix(rows) - np.array(stats["mean"][0], np.float32)) / np.float32(stats["rms"][0])
        expected = fit(exact, positives, concept=label, seed=0)
        assert np.array_equal(np.array(found["vector"], np.float32), expected.vector)
        for name in ("bias", "norm", "n_positive", "n_negative", "epochs", "train_f1", "seed", "status"):
            assert found[name] == getattr(expected, name), name


def test_a_label_without_token_labels_takes_every_content_token_of_its_samples(learned: Warehouse) -> None:
    keys, _ = train_rows(learned, 1, "token")
    weak = sum(sample % 2 == 0 for sample, _ in keys.rows())
    concepts = table(learned, "concepts", layer=1, unit="token", concept_set="avg")
    assert concepts.filter(pl.col("concept") == "mood")["n_positive"].item() == weak > 0


def test_a_label_without_train_positives(learned: Warehouse) -> None:
    concepts = table(learned, "concepts").filter(pl.col("concept") == "rare")
    assert concepts.height == 8  # two layers, units and methods
    assert concepts["status"].unique().to_list() == ["no_train_positives"]
    assert concepts["vector"].null_count() == concepts["norm"].null_count() == 8
    assert labels_without_vector(learned, Recipe(), **WHERE) == {"avg": (1, 3), "linsep": (1, 3)}
    assert labels_without_vector(learned, Recipe(("avg",)), **WHERE, layer=[1]) == {"avg": (1, 3)}
    assert labels_without_vector(learned, Recipe(("kmeans",)), **WHERE) == {}
    score(learned, **WHERE)
    assert sorted(table(learned, "activations")["concept"].unique()) == ["animal", "mood"]
    evaluate(learned)
    assert "rare" in table(learned, "labels")["label"].to_list()
    assert table(learned, "detection").filter(pl.col("label") == "rare").height == 0 or (
        table(learned, "selection").filter(pl.col("label") == "rare")["concept"].null_count() > 0
    )


def test_no_concept_at_all(tmp_path: Path) -> None:
    """Every label lacks train positives: zero-row activations, and eval goes on."""
    job = make_job(tmp_path)
    path = job.dataset.root / "paragraph_level_x.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(["paragraph_id,sentence_id,sentence,rare", *(f"{i + 1},1,x,{i % 3 // 2}" for i in range(24))])
    )
    assert len(lines) == 25
    (job.dataset.root / "word_level_x.csv").unlink()
    job = Job(open_dataset(str(job.dataset.root), tmp_path), job.model, [1], ("token", "cls"))
    warehouse = Warehouse(tmp_path / "wh")
    ingest(warehouse, job, Recipe())
    published = warehouse.state().select("activations")
    assert [p.rows for p in published] == [0] * 4
    assert all(p.files for p in published)
    evaluate(warehouse)
    assert table(warehouse, "concepts")["status"].unique().to_list() == ["no_train_positives"]


def test_second_sets_and_caps(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, make_job(tmp_path, layers=(1,)))
    learn(warehouse, Recipe(), **WHERE)
    before = table(warehouse, "concepts", concept_set="linsep")
    assert learn(warehouse, Recipe(), **WHERE) == 0
    learn(warehouse, Recipe(("linsep",), seed=1, suffix="seed1"), **WHERE)
    learn(warehouse, Recipe(("linsep",), max_rows=6, suffix="small"), **WHERE)
    sets = table(warehouse, "concept_sets", unit="token")
    by_name = {row["concept_set"]: row for row in sets.iter_rows(named=True)}
    assert sorted(by_name) == ["avg", "linsep", "linsep-seed1", "linsep-small"]
    assert [by_name[name]["seed"] for name in sorted(by_name)] == [None, 0, 1, 0]
    assert {row["score"] for row in by_name.values() if row["method"] == "linsep"} == {"signed_distance"}
    assert by_name["avg"]["score"] == "cosine"
    assert json.loads(by_name["linsep-small"]["hyperparameters"])["max_rows"] == 6
    assert json.loads(by_name["linsep"]["hyperparameters"])["max_rows"] is None
    small = table(warehouse, "concepts", concept_set="linsep-small").filter(pl.col("status") == "ok")
    drawn = dict(small.filter(pl.col("unit") == "token").select("concept", "n_positive").rows())
    whole = dict(before.filter(pl.col("unit") == "token").select("concept", "n_positive").rows())
    assert drawn == {"animal": min(3, whole["animal"]), "mood": 3}
    assert whole["mood"] > 3
    assert table(warehouse, "concepts", concept_set="linsep").equals(before)
    other = table(warehouse, "concepts", concept_set="linsep-seed1").filter(pl.col("status") == "ok")
    assert not np.array_equal(matrix(other, "vector"), matrix(before.filter(pl.col("status") == "ok"), "vector"))
    score(warehouse, **WHERE)
    assert sorted(table(warehouse, "activations")["concept_set"].unique()) == sorted(by_name)


def test_rows_that_do_not_fit_into_memory_go_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path)
    warehouses = [Warehouse(tmp_path / name) for name in ("memory", "disk")]
    for warehouse, limit in zip(warehouses, (1 << 30, 100), strict=True):
        monkeypatch.setattr("superact.store.scratch.IN_MEMORY", limit)
        for mode in ("keep", "none"):
            ingest(warehouse, job, Recipe(suffix="m-" + mode), embeddings=mode)
        assert [path.name for path in (warehouse.root / "staging").iterdir() if path.name != "lock"] == []
    assert_same_rows(*warehouses, "concepts", "activations")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    with pytest.raises(MissingTable, match=r"learn needs layer_stats of tiny-text model .* `superact extract`"):
        learn(warehouse, Recipe(), **WHERE)
    with pytest.raises(MissingTable, match=r"score needs concepts .* `superact learn`"):
        score(warehouse, **WHERE)
    with pytest.raises(BadInput, match="'svm' is not a method"):
        Recipe(("svm",))
    with pytest.raises(BadInput, match="concept set 'avg-A' cannot be a path key"):
        Recipe(suffix="A").concept_set("avg")
    extract(warehouse, make_job(tmp_path), keep_embeddings=False)
    with pytest.raises(MissingTable, match="learn needs embeddings"):
        learn(warehouse, Recipe(), **WHERE)
