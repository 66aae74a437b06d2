"""What was made from inputs that have changed is named, and never judged by the new ones."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from folders import write_folder
from tiny import save_model, text_dataset
from typer.testing import CliRunner

import superact
from superact.cli.main import app
from superact.datasets import open_dataset
from superact.errors import StaleInput
from superact.ingest.import_folder import import_folder
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.ingest.score import score
from superact.metrics.evaluate import evaluate
from superact.models import load_model
from superact.store import Warehouse
from superact.store.stale import stale


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
