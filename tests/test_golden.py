"""The golden tables of the metrics: each stage fed with the expected output of the one before."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from superact.metrics.partition import add, evaluation_connection, hold, hold_query, query
from superact.query.session import run_sql

CORPORA = ("text", "img224")
METHODS = {"avg": True, "linsep": True, "kmeans": False, "kmeans-linsep": False}
MEASURES = {"avg": "cosine", "kmeans": "cosine", "linsep": "signed_distance", "kmeans-linsep": "signed_distance"}
SEED = 42
THRESHOLD, RATIO = 1e-14, 1e-12
KEYS = {
    "sample_scores": ["concept", "sample", "aggregate"],
    "thresholds": ["detector", "label", "concept", "delta"],
    "detection": ["detector", "label", "concept", "delta", "split"],
    "selection": ["detector", "label"],
    "summary": ["detector"],
}


def read(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    texts = {"concept": pl.String, "layer": pl.Int32}
    frame = pl.read_parquet(path) if path.exists() else pl.read_csv(folder / f"{name}.csv", schema_overrides=texts)
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


class Corpus:
    """The inputs and expected tables of one corpus, cut to one (layer, method, unit)."""

    def __init__(self, folder: Path) -> None:
        self.inputs = folder / "inputs"
        self.expected = {name: read(folder / "expected", name) for name in ("activations", *KEYS)}
        # The expected files repeat the maximum, once for each of the two detectors that read it.
        scores = self.expected["sample_scores"].filter(pl.col("detector") != "superactivator")
        aggregate = pl.col("detector").str.replace("_token", "").alias("aggregate")
        self.expected["sample_scores"] = scores.with_columns(aggregate)
        self.partitions = sorted(self.expected["activations"].select("layer", "method", "unit").unique().rows())

    def cut(self, table: str, layer: int, method: str, unit: str) -> pl.DataFrame:
        """Expected rows of one partition."""
        own = (pl.col("layer") == layer) & (pl.col("method") == method) & (pl.col("unit") == unit)
        return self.expected[table].filter(own)

    def bind(self, connection: duckdb.DuckDBPyConnection) -> None:
        """The dataset's tables."""
        labels = pl.concat([read(self.inputs, n).select("label") for n in ("sample_labels", "token_labels")]).unique()
        frames = {
            "samples": read(self.inputs, "samples"),
            "tokens": read(self.inputs, "tokens").with_columns(pl.col("is_content").cast(pl.Boolean)),
            "labels": labels.with_columns(source=pl.lit("import"), evaluated=True),
            "sample_labels": read(self.inputs, "sample_labels"),
            "token_labels": read(self.inputs, "token_labels"),
        }
        for table, frame in frames.items():
            fill(connection, table, frame)
        for name in ("random_tokens", "calibration_tokens"):
            hold_query(connection, name, query(connection, name, seed=SEED))


def fill(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    """Hold the columns of a frame that the table has."""
    hold(connection, table)
    known = [name for (name, *_) in connection.execute(f"DESCRIBE {table}").fetchall()]
    add(connection, table, frame.select([name for name in frame.columns if name in known]).to_arrow())


def assert_equal(found: pa.Table, wanted: pl.DataFrame, table: str, reals: dict[str, float]) -> None:
    """Equal keys; reals within their tolerance, everything else exact, NULLs at the same places."""
    frame = pl.DataFrame(pl.from_arrow(found))
    keys = KEYS[table]
    columns = [name for name in wanted.columns if name in frame.columns]
    assert set(columns) >= set(keys)
    a, b = (side.select(columns).sort(keys) for side in (frame, wanted))
    assert a.select(keys).rows() == b.select(keys).rows()
    for column in columns:
        assert a[column].is_null().to_list() == b[column].is_null().to_list(), column
        if column in reals:
            assert ((a[column] - b[column]).abs().max() or 0.0) <= reals[column], column
        else:
            assert a[column].to_list() == b[column].to_list(), column


@pytest.fixture(scope="module", params=CORPORA)
def corpus(request, golden):
    return Corpus(golden / request.param)


@pytest.fixture(scope="module")
def connection(corpus):
    with evaluation_connection() as connection:
        corpus.bind(connection)
        yield connection


def bind_partition(
    connection: duckdb.DuckDBPyConnection, corpus: Corpus, partition: tuple[int, str, str]
) -> dict[str, Any]:
    """Bind the expected tables of one partition, and return the parameters of its queries."""
    _, method, unit = partition
    activations = corpus.cut("activations", *partition)
    concepts = activations.select("concept").unique().with_columns(method=pl.lit(method), bias=0.0, status=pl.lit("ok"))
    for table, frame in {"activations": activations, "concepts": concepts}.items():
        fill(connection, table, frame)
    for table in ("sample_scores", "thresholds", "detection", "selection"):
        fill(connection, table, corpus.cut(table, *partition))
    first, last = concepts["concept"].min(), concepts["concept"].max()
    return {"first": first, "last": last, "measure": MEASURES[method], "supervised": METHODS[method], "unit": unit}


def test_the_corpora_hold_what_they_say(corpus):
    units = {(method, unit) for _, method, unit in corpus.partitions}
    assert units == {(method, unit) for method in METHODS for unit in ("token", "cls")}
    assert len(corpus.partitions) == 16


def test_random_tokens(connection, corpus, golden):
    wanted = read(corpus.inputs.parent / "expected", "random_token").select("sample", "token").sort("sample").rows()
    assert connection.sql("SELECT sample, token FROM random_tokens ORDER BY sample").fetchall() == wanted


def test_stages_of_every_partition(connection, corpus):
    counted = dict.fromkeys(KEYS, 0)
    ratios = dict.fromkeys(("precision", "recall", "f1", "accuracy", "fpr"), RATIO)
    for partition in corpus.partitions:
        given = bind_partition(connection, corpus, partition)
        unit = given["unit"]
        wanted = {table: corpus.cut(table, *partition) for table in KEYS}
        found = {
            "sample_scores": query(connection, f"sample_scores_{unit}", **given),
            "thresholds": query(connection, f"thresholds_{unit}", **given),
            "selection": query(connection, "selection", unit=unit),
            "summary": query(connection, "summary", unit=unit, layer=partition[0]),
        }
        assert_equal(found["sample_scores"], wanted["sample_scores"], "sample_scores", {})
        assert_equal(found["thresholds"], wanted["thresholds"], "thresholds", {"threshold": THRESHOLD})
        for split in ("cal", "test"):
            rows = query(connection, "detection", **given, split=split, chosen_only=False)
            assert_equal(rows, wanted["detection"].filter(pl.col("split") == split), "detection", ratios)
        assert_equal(found["selection"], wanted["selection"], "selection", {"f1_cal": RATIO, "threshold": THRESHOLD})
        fixed = wanted["summary"].filter(pl.col("layer_choice") == "fixed")
        reals = {name: RATIO for name in fixed.columns if name.endswith(("f1", "precision", "recall"))}
        assert_equal(found["summary"], fixed, "summary", reals)
        for table in KEYS:
            counted[table] += len(fixed if table == "summary" else wanted[table])
    assert counted["thresholds"] == 13_824
    assert counted["detection"] == 27_648
    assert (counted["selection"], counted["summary"]) == (288, 48)


def test_test_rows_of_clusters_are_those_selected(connection, corpus):
    for partition in corpus.partitions:
        if METHODS[partition[1]]:
            continue
        given = bind_partition(connection, corpus, partition)
        rows = query(connection, "detection", **given, split="test", chosen_only=True)
        chosen = corpus.cut("selection", *partition).drop_nulls("concept").select("detector", "label", "concept")
        wanted = (
            corpus.cut("detection", *partition)
            .filter(pl.col("split") == "test")
            .join(chosen, on=chosen.columns, how="semi")
        )
        assert len(wanted) == 12 * len(chosen)
        assert_equal(rows, wanted, "detection", dict.fromkeys(("precision", "recall", "f1", "accuracy", "fpr"), RATIO))


def test_ties_decide_most_selections(connection, corpus):
    # The corpora are made of ties: a rule that broke them otherwise would show in test_stages_of_every_partition.
    text = """
        SELECT count(*) FROM (
            SELECT detector, label FROM detection WHERE split = 'cal' GROUP BY ALL
            HAVING count(*) FILTER (f1 = (SELECT max(f1) FROM detection AS d WHERE d.split = 'cal'
                AND d.detector = detection.detector AND d.label = detection.label)) > 1)
    """
    tied = 0
    for partition in corpus.partitions:
        bind_partition(connection, corpus, partition)
        tied += run_sql(connection, text).column(0)[0].as_py()
    assert tied > 100
