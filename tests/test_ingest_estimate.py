"""The estimate of an ingest against what the ingest then writes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tiny import image_dataset, save_model, text_dataset

from superact.datasets import open_dataset
from superact.ingest.estimate import PROBE_LAYERS, _subset, estimate, measure, prices
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.models import load_model
from superact.store import Warehouse

GUESSED = ("token_labels",)  # rows by the probe's share; everywhere else they are counted


def make_job(tmp_path: Path, kind: str, layers: tuple[int, ...] = (0, 1, 2, 3)) -> Job:
    if kind == "text":
        root, class_name, settings = text_dataset(tmp_path / "Tiny", 600), "BertModel", {}
    else:
        root, class_name, settings = image_dataset(tmp_path / "Tiny", 240), "Dinov2Model", {"geometry": "letterbox"}
    model = load_model(save_model(tmp_path / "model", class_name), device="cpu", **settings)
    return Job(open_dataset(str(root), tmp_path), model, list(layers), ("token", "cls"))


def written(warehouse: Warehouse) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for published in warehouse.state().partitions.values():
        before = found.get(published.partition.table, (0, 0, 0))
        added = (published.rows, published.bytes, len(published.files))
        found[published.partition.table] = tuple(map(sum, zip(before, added, strict=True)))  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("kind", ["text", "image"])
def test_an_estimate(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("superact.ingest.estimate.PROBE_TOKENS", 500)
    job, recipe = make_job(tmp_path, kind), Recipe()
    probe = measure(job, recipe)
    assert list((tmp_path / "cache/probe").iterdir()) == []
    for mode in ("keep", "none"):
        warehouse = Warehouse(tmp_path / mode)
        ingest(warehouse, job, recipe, embeddings=mode)
        found = {name: tuple(rest) for name, *rest in estimate(job, recipe, mode, probe).iter_rows()}
        real = written(warehouse)
        assert sorted(found) == sorted(real)
        for name, (rows, size, files) in real.items():
            assert found[name][2] == files, name
            if name in GUESSED:
                assert found[name][0] == pytest.approx(rows, rel=0.5)
            else:
                assert found[name][0] == rows, name
            if size > 200_000:  # the larger ones here; tables over 10 MB come within 10 %
                assert found[name][1] == pytest.approx(size, rel=0.25), name
    assert {name for name, (_, size, _) in written(Warehouse(tmp_path / "keep")).items() if size > 200_000} >= {
        "embeddings",
    }


def test_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    job, recipe = make_job(tmp_path, "text", (1,)), Recipe(("avg",))
    probe = measure(job, recipe)
    rows = {row["embeddings"]: row for row in prices(job, recipe, probe).iter_rows(named=True)}
    kept = {mode: estimate(job, recipe, mode, probe)["bytes"].sum() for mode in ("keep", "none")}
    assert list(rows) == ["keep", "drop", "none"]
    assert rows["keep"]["kept_bytes"] == rows["keep"]["peak_bytes"] == rows["drop"]["peak_bytes"] == kept["keep"]
    assert rows["drop"]["kept_bytes"] == rows["none"]["kept_bytes"] == rows["none"]["peak_bytes"] == kept["none"]
    assert kept["none"] < kept["keep"]
    assert [row["passes"] for row in rows.values()] == [1, 1, 3]
    assert 0 < rows["keep"]["seconds"] == rows["drop"]["seconds"] < rows["none"]["seconds"]
    monkeypatch.setattr("superact.ingest.estimate.IN_MEMORY", 100)
    assert prices(job, recipe, probe).row(2)[2] > kept["none"]


def test_the_probe_is_small_and_has_train_samples(tmp_path: Path) -> None:
    job = make_job(tmp_path, "text")
    whole = job.counts
    small = _subset(job)
    assert 16 <= small.counts.samples <= 128 < whole.samples
    assert (small.samples[0], small.samples[-1]) == (0, 599)
    assert len([sample for sample in small.samples if sample % 3 == 0]) >= small.counts.samples // 2
    assert small.layers == [0, 1, 2, 3][:PROBE_LAYERS]
    assert job.counts is whole
    assert job.subset is None


def test_labels_without_train_positives_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    job = make_job(tmp_path, "text", (1,))
    rows = dict(estimate(job, Recipe(("linsep",))).select("table", "rows").iter_rows())
    assert rows["concepts"] == 2 * 3
    assert rows["activations"] == 2 * (job.counts.content + job.counts.samples)  # `rare` has none in train
    assert isinstance(estimate(job, Recipe(("avg",))), pl.DataFrame)
