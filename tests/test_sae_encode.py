"""Stage encode: the tables against a dense oracle, what is refused, two sets side by side, and runs that are interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sae_oracle
import torch
from folders import write_folder
from polars.testing import assert_frame_equal
from tiny import assert_same_rows, content, table

import superact.ingest.encode as encode_module
from superact.concepts.sae import Sae, load_sae, save_saelens
from superact.concepts.sae.base import build
from superact.concepts.sae.blocks import in_order
from superact.errors import BadInput, IdentityMismatch, MissingTable, NonFinite, NotEnoughDisk
from superact.ingest.encode import activation_groups, encode
from superact.ingest.import_folder import import_folder
from superact.ingest.pipeline import drop_embeddings
from superact.ingest.sae_stats import Sums, stats_rows
from superact.ingest.score import score
from superact.ingest.targets import left_to_eval, waiting_for_eval
from superact.schemas import tables
from superact.store import Warehouse
from superact.store.rows import embedding_rows

WIDTH, FEATURES, K = 6, 20, 3
WHERE = {"dataset": "toys", "model": "tiny", "layer": 1}
TABLES = ("concept_sets", "concepts", "sae_activations", "sae_stats")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Twenty-four samples of seven content tokens, two layers, both units."""
    made = Warehouse(tmp_path / "wh")
    import_folder(made, write_folder(tmp_path / "folder", samples=24, tokens=8, width=WIDTH, sets=("avg",)))
    return made


def made(kind: str = "topk", seed: int = 0, **changes: Any) -> Sae:
    weights = {**sae_oracle.random_weights(kind, WIDTH, FEATURES, seed), **changes}
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    return build(kind, tensors, name="a", source="somewhere", k=K if kind == "topk" else None)


def stored_rows(warehouse: Warehouse, unit: str = "token", layer: int = 1) -> tuple[pl.DataFrame, np.ndarray]:
    frame = table(warehouse, "embeddings", layer=layer, unit=unit).sort("sample", "token")
    return frame.select("sample", "token"), np.array(frame["embedding"].to_list(), dtype=np.float32)


def expected_activations(acts: np.ndarray, keys: pl.DataFrame) -> pl.DataFrame:
    """The rows of table sae_activations in the order of one file, from a dense matrix."""
    row, feature = np.nonzero(acts)
    frame = keys[row.tolist()].with_columns(
        feature=pl.Series(feature.astype(np.int32)), activation=pl.Series(acts[row, feature].astype(np.float32))
    )
    return frame.sort("feature", "sample", "token")


COLUMNS = ["sample", "token", "feature", "activation"]


@pytest.mark.parametrize("kind", ["standard", "topk", "jumprelu", "gated"])
def test_the_tables_are_those_of_a_dense_oracle(warehouse: Warehouse, kind: str) -> None:
    sae, weights = made(kind), sae_oracle.random_weights(kind, WIDTH, FEATURES)
    rows = encode(warehouse, sae, **WHERE)
    assert rows == sum(p.rows for p in warehouse.state().select("sae_activations"))
    split = dict(content(warehouse, "samples")["samples"].select("sample", "split").iter_rows())
    for unit in ("token", "cls"):
        keys, x = stored_rows(warehouse, unit)
        acts = sae_oracle.encode(kind, weights, x, k=K)
        found = table(warehouse, "sae_activations", unit=unit)
        expected = expected_activations(acts, keys)
        assert found.select(COLUMNS[:3]).equals(expected.select(COLUMNS[:3])) and found.height > 20
        np.testing.assert_allclose(found["activation"], expected["activation"], rtol=1e-5, atol=1e-5)
        assert found["concept_set"].unique().to_list() == ["sae"]
        restored = sae_oracle.decode(weights, acts, x)
        splits = np.array([split[sample] for sample in keys["sample"]])
        stats = {row["split"]: row for row in table(warehouse, "sae_stats", unit=unit).to_dicts()}
        assert list(stats) == ["train", "cal", "test", "all"]
        for name, row in stats.items():
            check_stats(row, x, restored, acts, splits == name if name != "all" else np.full(len(x), True))


def check_stats(row: dict[str, Any], x: np.ndarray, restored: np.ndarray, acts: np.ndarray, chosen: np.ndarray) -> None:
    x, restored, acts = x[chosen].astype(np.float64), restored[chosen], acts[chosen]
    error, dead = ((x - restored) ** 2).sum(), int((acts == 0).all(axis=0).sum())
    assert (row["n"], row["n_features"], row["n_dead"]) == (len(x), FEATURES, dead)
    assert row["explained_variance"] == pytest.approx(1 - error / ((x - x.mean(axis=0)) ** 2).sum(), rel=1e-5)
    assert row["mse"] == pytest.approx(error / x.size, rel=1e-5)
    assert row["l0"] == (acts > 0).sum() / len(x) and row["dead_share"] == dead / FEATURES


def test_the_set_says_what_it_is(warehouse: Warehouse) -> None:
    changed = sae_oracle.random_weights("topk", WIDTH, FEATURES)["W_dec"]
    changed[7] = 0
    sae = made(W_dec=changed)
    encode(warehouse, sae, **WHERE, top_k=2)
    (row,) = table(warehouse, "concept_sets", concept_set="sae", unit="cls").to_dicts()
    assert (row["method"], row["supervised"], row["score"], row["k"], row["seed"]) == (
        "sae",
        False,
        "activation",
        20,
        None,
    )
    settings = {"kind": "topk", "source": "somewhere", "digest": sae.digest, "top_k": 2, "k": K}
    assert json.loads(row["hyperparameters"]) == settings
    concepts = table(warehouse, "concepts", concept_set="sae", unit="token")
    assert concepts["concept"].to_list() == sorted(map(str, range(FEATURES)))
    by_name = {row["concept"]: row for row in concepts.to_dicts()}
    for feature in range(FEATURES):
        row = by_name[str(feature)]
        assert (row["method"], row["bias"], row["n_positive"], row["seed"]) == ("sae", 0.0, None, None)
        if feature == 7:
            assert (row["status"], row["vector"], row["norm"]) == ("zero_vector", None, None)
        else:
            assert row["status"] == "ok" and row["vector"] == changed[feature].tolist()
            assert row["norm"] == pytest.approx(np.linalg.norm(changed[feature]), rel=1e-6)
    assert table(warehouse, "sae_stats", unit="token").filter(pl.col("split") == "all")["l0"].item() <= 2


def test_every_file_is_in_feature_order_and_its_groups_say_which_features(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_module, "SHARD_NONZEROS", 100)
    monkeypatch.setattr(encode_module, "GROUP_ROWS", 30)
    monkeypatch.setattr(Sae, "block_rows", 5)
    encode(warehouse, made(), **WHERE, units=("token",))
    (published,) = warehouse.state().select("sae_activations")
    assert len(published.files) == 5
    ends = []
    for file in published.files:
        rows = pq.read_table(warehouse.root / file.path, partitioning=None).to_pydict()
        order = list(zip(rows["feature"], rows["sample"], rows["token"], strict=True))
        assert order == sorted(order)
        metadata = pq.read_metadata(warehouse.root / file.path)
        assert metadata.num_row_groups == -(-file.rows // 30)
        statistics = [metadata.row_group(i).column(2).statistics for i in range(metadata.num_row_groups)]
        assert all(one.max <= two.min for one, two in pairwise(statistics))
        ends.append((file.ranges["sample"], max(zip(rows["sample"], rows["token"], strict=True))))
    assert ends == sorted(ends, key=lambda end: end[1])
    keys, x = stored_rows(warehouse)
    acts = sae_oracle.encode("topk", sae_oracle.random_weights("topk", WIDTH, FEATURES), x, k=K)
    found = table(warehouse, "sae_activations").sort("feature", "sample", "token")
    assert found.select(COLUMNS[:3]).equals(expected_activations(acts, keys).select(COLUMNS[:3]))


def test_a_non_zero_takes_at_most_eight_bytes(tmp_path: Path) -> None:
    """A file of the size that is written, of features as rare as in a real one: what an entry takes on disk."""
    from superact.store.parquet import write_file

    rng = np.random.default_rng(0)
    n, k, features = 20_000, 32, 16_384
    feature = np.sort(
        np.argpartition(rng.random((n, 256)), k, axis=1)[:, :k] * 64 + rng.integers(0, 64, (n, k)), axis=1
    )
    counts, activation = np.full(n, k), rng.gamma(2.0, size=n * k).astype(np.float32)
    token = np.tile(np.arange(200, dtype=np.int32), n // 200)
    sample = np.arange(n // 200, dtype=np.int32).repeat(200)
    groups = activation_groups([(sample, token, counts, feature.ravel().astype(np.int32), activation)], features)
    record = write_file(tmp_path / "a.parquet", tables()["sae_activations"], groups)
    assert record.rows == n * k and record.bytes <= 8 * record.rows


def test_nothing_is_done_twice_and_sets_live_side_by_side(warehouse: Warehouse) -> None:
    first = encode(warehouse, made(), **WHERE)
    before = content(warehouse, *TABLES)
    assert encode(warehouse, made(), **WHERE) == 0
    assert warehouse.state().documents[-1]["stage"] == "encode"
    sequence = warehouse.state().sequence
    encode(warehouse, made(seed=1), **WHERE, concept_set="sae-other")
    assert warehouse.state().sequence == sequence + 1
    for name, frame in before.items():
        kept = content(warehouse, name)[name].filter(pl.col("concept_set") != "sae-other")
        assert kept.equals(frame)
    assert first and len(warehouse.state().select("sae_activations")) == 4
    encode(warehouse, made(), **{**WHERE, "layer": 2}, units=("cls",))
    assert len(warehouse.state().select("sae_activations", layer=2)) == 1


@pytest.mark.parametrize(
    ("sae", "options", "field"), [(made(seed=1), {}, "sae"), (made(), {"top_k": 2}, "top_k: null -> 2")]
)
def test_other_settings_are_refused_unless_replaced(
    warehouse: Warehouse, sae: Sae, options: dict[str, Any], field: str
) -> None:
    encode(warehouse, made(), **WHERE)
    with pytest.raises(IdentityMismatch, match=field):
        encode(warehouse, sae, **WHERE, **options)
    assert encode(warehouse, sae, **WHERE, **options, replace=True) > 0
    assert encode(warehouse, sae, **WHERE, **options) == 0


def test_embeddings_and_splits_that_changed_are_refused(warehouse: Warehouse) -> None:
    encode(warehouse, made(), **WHERE)
    keys = {**WHERE, "unit": "token"}
    published = warehouse.state().get("embeddings", **keys)
    where, x = stored_rows(warehouse)
    with warehouse.run("test", replace=True) as run:
        part = run.partition("embeddings", {**published.identity, "changed": 1}, **keys)
        part.meta.update(published.meta)
        part.write(0, [embedding_rows(where["sample"].to_numpy(), where["token"].to_numpy(), 2 * x)])
        run.publish()
    with pytest.raises(IdentityMismatch, match="input:embeddings"):
        encode(warehouse, made(), **WHERE)
    encode(warehouse, made(), **WHERE, replace=True)
    change_splits(warehouse, pl.lit("cal"))
    with pytest.raises(IdentityMismatch, match=r"sae_stats .* split_digest"):
        encode(warehouse, made(), **WHERE)
    encode(warehouse, made(), **WHERE, replace=True)
    stats = table(warehouse, "sae_stats", unit="token").to_dicts()
    assert [(row["split"], row["n"]) for row in stats] == [("train", 0), ("cal", 168), ("test", 0), ("all", 168)]
    empty = {name: stats[0][name] for name in ("explained_variance", "mse", "l0", "n_dead", "dead_share")}
    assert empty == {"explained_variance": None, "mse": None, "l0": None, "n_dead": FEATURES, "dead_share": None}


def change_splits(warehouse: Warehouse, split: pl.Expr) -> None:
    """Publish other splits of the same samples, as `superact extract --replace` does."""
    samples = warehouse.state().get("samples", dataset="toys")
    frame = table(warehouse, "samples").drop("dataset").with_columns(split=split)
    with warehouse.run("test", replace=True) as run:
        run.partition("samples", {**samples.identity, "changed": 1}, dataset="toys").write(0, [frame.to_arrow()])
        run.publish()


def test_statistics_that_were_removed_are_made_again(warehouse: Warehouse) -> None:
    encode(warehouse, made(), **WHERE)
    before = content(warehouse, *TABLES)
    warehouse.remove([p.partition for p in warehouse.state().select("sae_stats")], "test")
    assert encode(warehouse, made(), **WHERE) == 0
    for name, frame in before.items():
        assert content(warehouse, name)[name].equals(frame)


def test_rows_that_are_all_one_have_no_variance_to_explain() -> None:
    sums = Sums.zeros(2, 3)
    rows = torch.full((4, 2), 0.1)
    empty = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    assert sums.add(np.zeros(4, np.int8), rows, torch.zeros(4, 2), empty) is None
    columns = stats_rows([sums], 3)
    assert columns["explained_variance"] == [None] * 4
    assert columns["mse"][0] == pytest.approx(0.01, rel=1e-6)
    assert columns["n_dead"] == [3] * 4 and columns["dead_share"] == [1.0, None, None, 1.0]


def test_sums_survive_a_note() -> None:
    rng = np.random.default_rng(0)
    sums = Sums.zeros(5, 11)
    x = torch.from_numpy(rng.normal(size=(9, 5)).astype(np.float32))
    found = (np.array([0, 0, 8]), np.array([1, 10, 4], np.int32), np.ones(3, np.float32))
    sums.add(np.array([0, 1, 2] * 3, np.int8), x, x / 3, found)
    again = Sums.from_note(json.loads(json.dumps(sums.to_note())), 5, 11)
    assert stats_rows([again], 11) == stats_rows([sums], 11)
    for name in ("n", "nonzeros", "error", "square", "total", "active"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sums, name))


def test_what_cannot_be_encoded_is_named(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        BadInput, match=r"somewhere reads embeddings of width 5; layer 1 of toys tiny \(unit token\) has 6"
    ):
        weights = sae_oracle.random_weights("standard", 5, FEATURES)
        tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
        encode(warehouse, build("standard", tensors, name="", source="somewhere"), **WHERE)
    with pytest.raises(MissingTable, match="encode needs embeddings of toys tiny 5 token"):
        encode(warehouse, made(), **{**WHERE, "layer": 5})
    with pytest.raises(MissingTable, match="needs samples of pets"):
        encode(warehouse, made(), **{**WHERE, "dataset": "pets"})
    with pytest.raises(BadInput, match="--top-k 0 keeps nothing"):
        encode(warehouse, made(), **WHERE, top_k=0)
    with pytest.raises(BadInput, match="cannot be a path key"):
        encode(warehouse, made(), **WHERE, concept_set="My SAE")
    monkeypatch.setattr(encode_module, "NONZERO_BYTES", 1 << 60)
    with pytest.raises(NotEnoughDisk):
        encode(warehouse, made(), **WHERE)
    assert not warehouse.state().select("sae_activations")


def test_an_embedding_that_is_not_finite_is_named(warehouse: Warehouse) -> None:
    keys = {**WHERE, "unit": "token"}
    published = warehouse.state().get("embeddings", **keys)
    where, x = stored_rows(warehouse)
    x[where["sample"].to_list().index(5) + 2, 3] = np.nan
    with warehouse.run("test", replace=True) as run:
        part = run.partition("embeddings", {**published.identity, "changed": 1}, **keys)
        part.meta.update(published.meta)
        part.write(0, [embedding_rows(where["sample"].to_numpy(), where["token"].to_numpy(), x)])
        run.publish()
    with pytest.raises(NonFinite, match="NaN or infinite at layer 1, sample 5"):
        encode(warehouse, made(), **WHERE)


def test_an_autoencoder_that_is_never_active_leaves_an_empty_file(warehouse: Warehouse) -> None:
    silent = made("standard", b_enc=np.full(FEATURES, -1e6, np.float32))
    assert encode(warehouse, silent, **WHERE, units=("cls",)) == 0
    (published,) = warehouse.state().select("sae_activations")
    assert (len(published.files), published.rows) == (1, 0)
    stats = table(warehouse, "sae_stats").filter(pl.col("split") == "all").to_dicts()[0]
    assert (stats["l0"], stats["n_dead"], stats["dead_share"]) == (0.0, FEATURES, 1.0)


def test_the_other_stages_leave_features_alone(warehouse: Warehouse) -> None:
    encode(warehouse, made(), **WHERE)
    score(warehouse, keep="all")
    assert {dict(p.partition.keys)["concept_set"] for p in warehouse.state().select("activations")} == {"avg"}
    assert left_to_eval(warehouse) == [] and waiting_for_eval(warehouse) == []

    job: Any = SimpleNamespace(keys={"dataset": "toys", "model": "tiny"}, layers=[1, 2], units=("token", "cls"))
    assert drop_embeddings(warehouse, job) == 4
    assert score(warehouse, concept_set="sae") == 0


def test_how_many_work_at_it_changes_no_bit(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_module, "SHARD_NONZEROS", 40)
    monkeypatch.setattr(Sae, "block_rows", 5)
    expected = straight(warehouse, tmp_path)
    monkeypatch.setattr(encode_module, "workers_on", lambda device: 4)
    encode(warehouse, made(), **WHERE)
    assert_same_rows(warehouse, expected, *TABLES)


def test_blocks_are_read_a_few_ahead_and_failures_come_through() -> None:
    read, workers = [], 3

    def blocks() -> Iterator[Any]:
        for number in range(20):
            read.append(number)
            yield number

    def call(number: Any) -> Any:
        if number == 15:
            raise Stop
        return number

    results = in_order(call, blocks(), workers)
    for number in range(15):
        assert next(results) == number and len(read) <= number + workers + 1
    with pytest.raises(Stop):
        next(results)
    assert len(read) < 20


def test_threads_that_begin_later_have_as_many_of_torch_as_before() -> None:
    def count() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        results = in_order(lambda number: (number, torch.get_num_threads()), range(4), 2)
        assert list(results) == [(0, 1), (1, 1), (2, 1), (3, 1)]
        assert count() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_one_worker_is_the_calling_thread() -> None:
    assert {*in_order(lambda _: threading.get_ident(), range(3), 1)} == {threading.get_ident()}


# Interruptions


@pytest.fixture
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_module, "SHARD_NONZEROS", 10)
    monkeypatch.setattr(Sae, "block_rows", 5)


class Stop(Exception):
    """The interruption."""


def stop_before(monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> None:
    """Let the writing of the `at`-th file of a table fail."""
    import superact.store.staging as staging

    original, written = staging.write_file, 0

    def failing(path: Path, schema: Any, groups: Any) -> Any:
        nonlocal written
        written += schema.name == name
        if schema.name == name and written == at:
            raise Stop
        return original(path, schema, groups)

    monkeypatch.setattr(staging, "write_file", failing)


def straight(warehouse: Warehouse, root: Path) -> Warehouse:
    """The same embeddings, encoded in one go."""
    fresh = Warehouse(root / "straight")
    import_folder(fresh, root / "folder")
    encode(fresh, made(), **WHERE)
    return fresh


CRASHES = [
    ("concepts", 1),
    ("concepts", 2),
    ("sae_activations", 1),
    ("sae_activations", 9),
    ("sae_stats", 1),
    ("sae_stats", 2),
]


@pytest.mark.usefixtures("_small_files")
@pytest.mark.parametrize(("name", "at"), CRASHES)
def test_a_write_that_fails_at_any_table(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    with monkeypatch.context() as patch:
        stop_before(patch, name, at)
        with pytest.raises(Stop):
            encode(warehouse, made(), **WHERE)
    assert not warehouse.state().select("sae_activations")
    encode(warehouse, made(), **WHERE)
    assert_same_rows(warehouse, straight(warehouse, tmp_path), *TABLES)


@pytest.mark.usefixtures("_small_files")
def test_only_what_is_missing_is_encoded_again(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_before(patch, "sae_activations", 9)
        with pytest.raises(Stop):
            encode(warehouse, made(), **WHERE, units=("token",))
    encoded: list[int] = []
    original = Sae.encode_sparse

    def counting(self: Sae, x: torch.Tensor, top_k: int | None = None) -> Any:
        encoded.append(len(x))
        return original(self, x, top_k)

    monkeypatch.setattr(Sae, "encode_sparse", counting)
    encode(warehouse, made(), **WHERE, units=("token",))
    again = encoded.copy()
    encoded.clear()
    expected = straight(warehouse, tmp_path)
    kept = expected.state().select("sae_activations", unit="token")[0]
    assert sum(again) == 168 - 8 * 5 and len(kept.files) > 20  # every file here holds one block of five rows
    assert_same_rows(warehouse, Warehouse(expected.root), "embeddings")
    found, wanted = (table(each, "sae_stats", unit="token") for each in (warehouse, expected))
    assert found.equals(wanted)


@pytest.mark.usefixtures("_small_files")
def test_a_finished_file_that_is_gone_is_made_again_with_those_behind_it(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_before(patch, "sae_stats", 1)
        with pytest.raises(Stop):
            encode(warehouse, made(), **WHERE)
    (lost,) = (warehouse.root / "staging").rglob("unit=token/part-00003.parquet")
    lost.unlink()
    encode(warehouse, made(), **WHERE)
    assert_same_rows(warehouse, straight(warehouse, tmp_path), *TABLES)


@pytest.mark.usefixtures("_small_files")
@pytest.mark.parametrize("splits", ["as they were", "changed"])
def test_files_that_are_not_taken_up_are_not_published(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: str
) -> None:
    """Larger blocks make fewer files than were staged: those with higher numbers must not stay beside them."""
    with monkeypatch.context() as patch:
        stop_before(patch, "sae_stats", 1)
        with pytest.raises(Stop):
            encode(warehouse, made(), **WHERE)
    (first,) = (warehouse.root / "staging/tables/sae_activations").rglob("unit=token/part-00000.parquet")
    staged = len(list(first.parent.glob("part-*")))
    if splits == "changed":
        change_splits(warehouse, pl.col("split").replace({"test": "train", "train": "test"}))
    else:
        first.unlink()
    monkeypatch.setattr(Sae, "block_rows", 40)
    encode(warehouse, made(), **WHERE, replace=splits == "changed")
    (published,) = warehouse.state().select("sae_activations", unit="token")
    assert len(published.files) == 5 < staged
    keys = list(tables()["sae_activations"].grain)
    found, wanted = (content(each, *TABLES)["sae_activations"] for each in (warehouse, straight(warehouse, tmp_path)))
    assert found.select(keys).equals(wanted.select(keys)) and found.height > 100


@pytest.mark.usefixtures("_small_files")
def test_a_run_that_goes_on_with_other_splits_begins_anew(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of the files that are there are by the old splits: they must not be added to those by the new ones."""
    with monkeypatch.context() as patch:
        stop_before(patch, "sae_activations", 9)
        with pytest.raises(Stop):
            encode(warehouse, made(), **WHERE, units=("token",))
    swapped = pl.col("split").replace({"test": "train", "train": "test"})
    change_splits(warehouse, swapped)
    with pytest.raises(IdentityMismatch, match=r"sae_stats .* was begun and not finished.*split_digest"):
        encode(warehouse, made(), **WHERE, units=("token",))
    encode(warehouse, made(), **WHERE, replace=True)
    expected = Warehouse(tmp_path / "straight")
    import_folder(expected, tmp_path / "folder")
    change_splits(expected, swapped)
    encode(expected, made(), **WHERE)
    assert_same_rows(warehouse, expected, *TABLES)


@pytest.mark.usefixtures("_small_files")
def test_a_run_that_goes_on_with_other_blocks_loses_and_doubles_no_row(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_before(patch, "sae_activations", 5)
        with pytest.raises(Stop):
            encode(warehouse, made(), **WHERE)
    monkeypatch.setattr(Sae, "block_rows", 7)
    encode(warehouse, made(), **WHERE)
    found, wanted = (content(each, *TABLES) for each in (warehouse, straight(warehouse, tmp_path)))
    keys = list(tables()["sae_activations"].grain)
    assert found["sae_activations"].select(keys).equals(wanted["sae_activations"].select(keys))


@pytest.mark.parametrize(("name", "at", "replace"), [("sae_activations", 12, False), ("sae_activations", 12, True)])
def test_a_process_that_is_killed(warehouse: Warehouse, tmp_path: Path, name: str, at: int, replace: bool) -> None:
    """A real SIGKILL: the rows are those of a straight run, with --replace after other splits were published, too."""
    save_saelens(made(), tmp_path / "sae")
    child = Path(__file__).with_name("encode_child.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(child), str(warehouse.root), str(tmp_path / "sae"), name, str(at)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    staged = list((warehouse.root / "staging/tables/sae_activations").rglob("part-*.parquet"))
    assert len(staged) == at - 1
    fresh = Warehouse(tmp_path / "straight")
    import_folder(fresh, tmp_path / "folder")
    for each in (warehouse, fresh) if replace else ():
        change_splits(each, pl.col("split").replace({"test": "train", "train": "test"}))
    encode(warehouse, load_sae(tmp_path / "sae"), **WHERE, replace=replace)
    encode(fresh, load_sae(tmp_path / "sae"), **WHERE)
    # Blocks of other sizes may round otherwise: the keys are equal, reals to the last bits.
    assert_same_rows(warehouse, fresh, "concept_sets", "concepts")
    found, wanted = (content(each, "sae_activations", "sae_stats") for each in (warehouse, fresh))
    for each in ("sae_activations", "sae_stats"):
        assert_frame_equal(found[each], wanted[each], rel_tol=1e-5, abs_tol=1e-5)
    assert pa.types.is_int32(pq.read_schema(staged_file(warehouse)).field("feature").type)


def staged_file(warehouse: Warehouse) -> Path:
    return warehouse.root / warehouse.state().select("sae_activations", unit="token")[0].files[0].path
