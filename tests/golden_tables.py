"""The golden tables as the warehouse names their columns, and what it means that a table agrees with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

CORPORA = ("text", "img224")
SEED = 42
METHODS = {"avg": True, "linsep": True, "kmeans": False, "kmeans-linsep": False}
"""Method: whether it is supervised."""
PARTITION = ["layer", "method", "unit"]
KEYS = {
    "activations": [*PARTITION, "concept", "sample", "token"],
    "sample_scores": [*PARTITION, "concept", "sample", "aggregate"],
    "thresholds": [*PARTITION, "detector", "label", "concept", "delta"],
    "detection": [*PARTITION, "detector", "label", "concept", "delta", "split"],
    "selection": [*PARTITION, "detector", "label"],
    "layer_selection": ["method", "unit", "detector", "label"],
    "summary": ["layer_choice", *PARTITION, "detector"],
    "localization": ["layer", "method", "label", "localizer", "split", "quantile"],
    "distributions": ["layer", "method", "label", "population", "bin"],
    "separation": ["layer", "method", "label"],
    "superactivator_ratio": ["layer", "method", "label", "sample"],
}
ROWS = {
    "text": (41_340, 15_600, 13_824, 16_992, 288, 144, 72, 1_447, 13_200, 48, 248),
    "img224": (267_280, 5_200, 13_824, 17_280, 288, 144, 72, 1_833, 14_400, 48, 80),
}
"""Rows that a warehouse has of each table of KEYS, in their order; floors of localization not counted."""
FLOORS = ("always", "never", "random")
CHOICES = ("delta", "quantile")
"""Real numbers that are chosen from a grid, and compared exactly."""
AGGREGATES = {
    "superactivator": "max",
    "mean_token": "mean",
    "last_token": "last",
    "random_token": "random",
    "cls": "cls",
}


def read(folder: Path, name: str) -> pl.DataFrame:
    """A golden file as it is; layers and names typed as in the warehouse."""
    path = folder / f"{name}.parquet"
    texts = {"concept": pl.String, "layer": pl.Int32}
    if path.exists():
        frame = pl.read_parquet(path)
    else:
        frame = pl.read_csv(folder / f"{name}.csv", schema_overrides=texts, infer_schema_length=None)
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def expected(golden: Path, corpus: str, table: str) -> pl.DataFrame:
    """Every golden row of a table, under the columns of the warehouse."""
    frame = read(golden / corpus / "expected", table)
    if table == "sample_scores":
        # The files repeat the maximum, once for each of the two detectors that read it.
        frame = frame.filter(pl.col("detector") != "max_token")
        frame = frame.with_columns(aggregate=pl.col("detector").replace_strict(AGGREGATES)).drop("detector")
    if table == "distributions":
        frame = frame.rename({"group": "population"})
    return frame


def kept(golden: Path, corpus: str, table: str) -> pl.DataFrame:
    """The golden rows that eval keeps: of unsupervised methods, detection on test of what was selected."""
    frame = expected(golden, corpus, table)
    if table != "detection":
        return frame
    keys = [*PARTITION, "detector", "label", "concept"]
    selected = expected(golden, corpus, "selection").drop_nulls("concept").select(keys).with_columns(selected=True)
    supervised = [method for method, known in METHODS.items() if known]
    whole = pl.col("method").is_in(supervised) | (pl.col("split") == "cal") | pl.col("selected")
    return frame.join(selected, on=keys, how="left").filter(whole).drop("selected")


def named_by_method(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of a warehouse with a method: the concept set has its name where nothing else was asked for."""
    named = frame if "method" in frame.columns else frame.with_columns(method=pl.col("concept_set"))
    return named.with_columns(pl.col("layer").cast(pl.Int32))


def without_floors(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of localization that the golden tables have."""
    return frame.filter(~pl.col("localizer").is_in(FLOORS))


def assert_equal(found: pl.DataFrame, wanted: pl.DataFrame, table: str, tolerance: float | dict[str, float]) -> None:
    """Equal key sets, each key once; NULLs, counts, names and choices exact; other reals within the tolerance.

    `tolerance`: of all columns, or by column; columns that it leaves out are exact.
    """
    keys = KEYS[table]
    compared = [name for name in wanted.columns if name not in ("dataset", "model", *keys)]
    assert set(compared) <= set(found.columns)
    assert not found.select(keys).is_duplicated().any()
    found, wanted = (frame.sort(keys, nulls_last=True) for frame in (found, wanted))
    assert found.select(keys).rows() == wanted.select(keys).rows(), table
    for name in compared:
        a, b = found[name], wanted[name]
        assert a.is_null().to_list() == b.is_null().to_list(), (table, name)
        allowed = tolerance if isinstance(tolerance, float) else tolerance.get(name, 0.0)
        if b.dtype.is_float() and name not in CHOICES and allowed:
            assert ((a - b).abs().max() or 0.0) <= allowed, (table, name)
        else:
            assert a.to_list() == b.to_list(), (table, name)
