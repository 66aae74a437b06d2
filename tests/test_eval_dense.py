"""Clusters scored in passing (the dense pass) against clusters whose activations are all stored, and the blocks it reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from eval_folders import ask, evaluated_toys, folder_of_toys
from golden_tables import KEYS, assert_equal, named_by_method
from hypothesis import given, settings
from hypothesis import strategies as st

from superact.ingest.import_folder import import_folder
from superact.ingest.score import score
from superact.metrics import alignment
from superact.metrics import dense as module
from superact.metrics import embeddings as reader
from superact.metrics.embeddings import Block, Embeddings
from superact.query import Session
from superact.store import Warehouse

SETS = ("kmeans", "kmeans-linsep")
TOLERANCE = 1e-6
EMPTY = (4, 8)
"""Samples without content tokens, one of them in cal and one in test."""


def toys(path: Path) -> Path:
    """A folder of clusters alone, more than eval keeps detection of."""
    folder = folder_of_toys(path, sets=SETS, clusters=23, layers=(1,), seed=5)
    tokens = pl.read_csv(folder / "tokens.csv")
    content = pl.when(pl.col("sample").is_in(EMPTY)).then(0).otherwise(pl.col("is_content"))
    tokens.with_columns(is_content=content).write_csv(folder / "tokens.csv")
    return folder


def imported(root: Path, folder: Path, keep: str) -> Warehouse:
    warehouse = Warehouse(root)
    import_folder(warehouse, folder)
    assert (score(warehouse, keep=keep) > 0) == (keep == "all")
    return warehouse


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Warehouse]]:
    """The same folder evaluated from stored activations, densely, and densely in the smallest pieces."""
    root = tmp_path_factory.mktemp("dense")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        folder = toys(root / "folder")
        found = {name: imported(root / name, folder, keep) for name, keep in KEPT.items()}
        evaluated_toys(found["stored"])
        evaluated_toys(found["dense"])
        patch.setattr(module, "BLOCK_SCORES", 23 * 9)
        patch.setattr(module, "CALIBRATION_ROWS", 300)
        patch.setattr(module, "FILE_ROWS", 400)
        patch.setattr(module, "GROUP_ROWS", 50)
        patch.setattr(alignment, "SPAN_WEIGHTS", 3 * 20)  # of three labels: five samples
        patch.setattr(alignment, "FILE_ROWS", 20)
        patch.setattr(reader, "BLOCK_BYTES", 4 * 4 * 9)  # of width 4: two samples
        evaluated_toys(found["pieces"])
        yield found


KEPT = {"stored": "all", "dense": "selected", "pieces": "selected"}


def rows_of(warehouse: Warehouse, table: str) -> pl.DataFrame:
    session = Session(warehouse, threads=1)
    frame = named_by_method(session.sql(f"FROM {table}"))
    session.connection.close()
    return frame.drop("run", strict=False)


@pytest.mark.parametrize("table", [table for table in KEYS if table != "activations"])
@pytest.mark.parametrize("other", ["dense", "pieces"])
def test_every_table_is_that_of_stored_activations(made: dict[str, Warehouse], other: str, table: str) -> None:
    found, wanted = rows_of(made[other], table), rows_of(made["stored"], table)
    assert wanted.height > 0
    assert_equal(found, wanted, table, TOLERANCE)


@pytest.mark.parametrize("other", ["dense", "pieces"])
def test_activations_are_those_of_what_was_selected(made: dict[str, Warehouse], other: str) -> None:
    own = ["layer", "method", "unit", "concept"]
    selected = rows_of(made["stored"], "selection").select(own).drop_nulls("concept").unique()
    wanted = rows_of(made["stored"], "activations")
    part = wanted.join(selected, on=own, how="semi")
    assert 0 < part.height < wanted.height
    assert_equal(rows_of(made[other], "activations"), part, "activations", TOLERANCE)


@pytest.mark.parametrize("other", ["dense", "pieces"])
def test_alignments_are_the_same(made: dict[str, Warehouse], other: str) -> None:
    query = "SELECT {} FROM localization_scores ORDER BY concept_set, label, sample, token"
    keys = query.format("concept_set, label, sample, token")
    assert ask(made[other], keys) == ask(made["stored"], keys)
    cosines = query.format("global_cosine, local_cosine")
    found, wanted = (np.array(ask(made[name], cosines), dtype=np.float32) for name in (other, "stored"))
    assert len(found) > 100
    assert np.abs(found - wanted).max() <= TOLERANCE


def test_pieces_are_pieces(made: dict[str, Warehouse]) -> None:
    where = {"layer": 1, "concept_set": "kmeans"}
    for table, more in (("sample_scores", {"unit": "token"}), ("localization_scores", {})):
        files = {name: made[name].state().select(table, **where, **more)[0].files for name in ("dense", "pieces")}
        assert len(files["dense"]) == 1 and len(files["pieces"]) > 2
        path = made["pieces"].root / files["pieces"][0].path
        assert pq.ParquetFile(path).num_row_groups > 1


@pytest.mark.parametrize("other", KEPT)
def test_samples_without_content_have_null_scores_and_count(made: dict[str, Warehouse], other: str) -> None:
    query = """
        SELECT sample, count(*), count(score) FROM sample_scores
        WHERE unit = 'token' GROUP BY sample HAVING count(score) = 0 ORDER BY sample
    """
    assert ask(made[other], query) == [(sample, 2 * 23 * 4, 0) for sample in EMPTY]
    query = "SELECT DISTINCT tp + fp + fn + tn FROM detection WHERE unit = 'token'"
    assert ask(made[other], query) == [(8,)]


def test_a_threshold_meets_the_score_that_it_equals(made: dict[str, Warehouse]) -> None:
    """Both passes over the embeddings give the same bits: else a token would miss the threshold that it made."""
    for name in ("dense", "pieces"):
        query = """
            SELECT count(*), count(*) FILTER (s.score = a.highest)
            FROM sample_scores AS s
            JOIN (
                SELECT concept_set, layer, concept, sample, max(
                    CASE concept_set WHEN 'kmeans' THEN cosine ELSE signed_distance END) AS highest
                FROM activations WHERE unit = 'token' GROUP BY ALL
            ) AS a USING (concept_set, layer, concept, sample)
            WHERE s.unit = 'token' AND s.aggregate = 'max'
        """
        ((n, equal),) = ask(made[name], query)
        assert n == equal > 100


def test_detection_keeps_the_best_concepts_of_a_label(made: dict[str, Warehouse], tmp_path: Path) -> None:
    query = """
        SELECT DISTINCT count(DISTINCT concept), count(*) FROM detection
        WHERE split = 'cal' GROUP BY concept_set, unit, detector, label
    """
    assert ask(made["dense"], query) == [(20, 20 * 12)]
    assert ask(made["stored"], query) == [(20, 20 * 12)]
    query = """
        SELECT DISTINCT count(DISTINCT concept) FROM detection
        WHERE split = 'test' GROUP BY concept_set, unit, detector, label
    """
    assert ask(made["dense"], query) == [(1,)]
    best = """
        SELECT * FROM selection AS s
        ANTI JOIN (SELECT * FROM detection WHERE split = 'cal') AS d
        ON d.concept_set = s.concept_set AND d.unit = s.unit AND d.detector = s.detector AND d.label = s.label
        AND d.concept = s.concept AND d.delta = s.delta AND d.f1 = s.f1_cal
        WHERE s.concept IS NOT NULL
    """
    assert ask(made["dense"], best) == []


def test_all_pairs_are_kept_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    warehouse = imported(tmp_path / "warehouse", toys(tmp_path / "folder"), "selected")
    where = {"layer": 1, "unit": "cls", "concept_set": "kmeans"}
    query = "SELECT DISTINCT count(DISTINCT concept) FROM detection WHERE split = 'cal' GROUP BY label"
    evaluated_toys(warehouse, "detect", **where)
    chosen = ask(warehouse, "SELECT * EXCLUDE (run) FROM selection ORDER BY ALL")
    assert ask(warehouse, query) == [(20,)]
    assert evaluated_toys(warehouse, "detect", all_pairs=True, **where).keys() == {"detection"}
    assert ask(warehouse, query) == [(23,)]
    assert ask(warehouse, "SELECT * EXCLUDE (run) FROM selection ORDER BY ALL") == chosen


def test_everything_may_be_stored_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    folder = folder_of_toys(tmp_path / "folder", sets=("kmeans",), layers=(1,), units=("token",), seed=5)
    warehouse = imported(tmp_path / "warehouse", folder, "selected")
    evaluated_toys(warehouse)
    chosen = ask(warehouse, "SELECT * EXCLUDE (run) FROM selection ORDER BY ALL")
    ((few,),) = ask(warehouse, "SELECT count(*) FROM activations")
    assert score(warehouse, keep="all") == 24 * 4 * 5 > few
    assert "sample_scores" in evaluated_toys(warehouse)  # from the stored rows now
    assert ask(warehouse, "SELECT count(*) FROM activations") == [(24 * 4 * 5,)]
    found = ask(warehouse, "SELECT * EXCLUDE (run) FROM selection ORDER BY ALL")
    assert [row[:9] for row in found] == [row[:9] for row in chosen]
    assert evaluated_toys(warehouse) == {}


# Blocks of embeddings ---------------------------------------------------------------------------------------------

WIDTH = 2


def write_parts(folder: Path, counts: list[int], cuts: list[int]) -> tuple[list[Path], np.ndarray]:
    """Embeddings of samples with so many tokens, in files cut at these rows; returns the files and (sample, token)."""
    keys = np.array([(s, t) for s, n in enumerate(counts) for t in range(n)], dtype=np.int32).reshape(-1, 2)
    values = pa.array(np.arange(len(keys) * WIDTH, dtype=np.float32))
    rows = pa.table(
        {
            "sample": keys[:, 0],
            "token": keys[:, 1],
            "embedding": pa.FixedSizeListArray.from_arrays(values, WIDTH),
        }
    )
    bounds = [0, *sorted(min(cut, len(keys)) for cut in cuts), len(keys)]
    paths = []
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        paths.append(folder / f"part-{number}.parquet")
        pq.write_table(rows.slice(start, stop - start), paths[-1])
    pq.write_table(pa.table({"mean": [[1.0, -2.0]], "rms": [4.0]}), folder / "stats.parquet")
    return paths, keys


def cut(
    folder: Path, counts: list[int], cuts: list[int], limit: int | None, batch: int
) -> tuple[list[Block], np.ndarray]:
    paths, keys = write_parts(folder, counts, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_READ_ROWS", batch)
        embeddings = Embeddings(paths, folder / "stats.parquet", np.float64, limit)
        blocks, again = list(embeddings), list(embeddings)
    assert [block.samples.tolist() for block in blocks] == [block.samples.tolist() for block in again]
    return blocks, keys


@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(st.integers(0, 7), max_size=12),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    limit=st.integers(1, 20),
    batch=st.integers(1, 9),
)
def test_blocks_are_whole_samples_and_every_row_once(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], cuts: list[int], limit: int, batch: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    blocks, keys = cut(folder, counts, cuts, limit, batch)
    found = [np.stack([block.sample, block.token], axis=1) for block in blocks]
    assert np.concatenate([np.empty((0, 2)), *found]).tolist() == keys.tolist()
    xhat = np.concatenate([np.empty((0, WIDTH)), *(block.xhat for block in blocks)])
    values = np.arange(len(keys) * WIDTH, dtype=np.float64).reshape(-1, WIDTH)
    assert np.array_equal(xhat, (values - [1.0, -2.0]) / 4.0)
    seen: set[int] = set()
    for block in blocks:
        assert block.samples.tolist() == sorted(set(block.sample.tolist()))
        assert seen.isdisjoint(block.samples.tolist())
        assert len(block.sample) <= limit or len(block.samples) == 1
        seen |= set(block.samples.tolist())
    # Which samples make a block does not depend on how files and reads are cut.
    whole, _ = cut(folder, counts, [], limit, 1000)
    assert [block.samples.tolist() for block in whole] == [block.samples.tolist() for block in blocks]


def test_blocks_are_filled(tmp_path: Path) -> None:
    blocks, _ = cut(tmp_path, [2, 2, 2, 9, 1, 1, 3], [5], 4, 3)
    assert [block.samples.tolist() for block in blocks] == [[0, 1], [2], [3], [4, 5], [6]]
    assert [block.starts.tolist() for block in blocks] == [[0, 2], [0], [0], [0, 1], [0]]


def test_the_limit_of_a_block_is_bytes_where_rows_are_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 5 * WIDTH * 4)
    blocks, _ = cut(tmp_path, [3, 2, 4, 4], [], None, 1000)
    assert [block.samples.tolist() for block in blocks] == [[0, 1], [2], [3]]
