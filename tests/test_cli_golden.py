"""The golden corpora through the command line alone: import, score, eval, export, compared with the expected tables."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from superact.cli.main import app

CORPORA = ("text", "img224")
SUPERVISED = ("avg", "linsep")
KEYS = {
    "activations": ["layer", "method", "unit", "concept", "sample", "token"],
    "sample_scores": ["layer", "method", "unit", "concept", "sample", "aggregate"],
    "thresholds": ["layer", "method", "unit", "detector", "label", "concept", "delta"],
    "detection": ["layer", "method", "unit", "detector", "label", "concept", "delta", "split"],
    "selection": ["layer", "method", "unit", "detector", "label"],
    "summary": ["layer", "method", "unit", "detector"],
}
EXACT = {"selection": ["delta"]}  # a choice, though a real number
AGGREGATES = {
    "superactivator": "max",
    "mean_token": "mean",
    "last_token": "last",
    "random_token": "random",
    "cls": "cls",
}


def superact(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def warehouse(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse made by the commands that a person would type."""
    folder = tmp_path_factory.mktemp("golden")
    root = folder / "warehouse"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        for corpus in CORPORA:
            assert "imported" in superact("import", golden / corpus / "inputs", "--warehouse", root)
        assert "scored 308,620 rows" in superact("score", "--warehouse", root, "--device", "cpu")
        said = superact("eval", "--seed", "42", "--warehouse", root)
        assert "detection: " in said
        assert "superact export summary" in said
        assert "nothing was stale" in superact("eval", "--seed", "42", "--warehouse", root)
    return root


def expected(golden: Path, corpus: str, table: str) -> pl.DataFrame:
    path = golden / corpus / "expected" / f"{table}.parquet"
    if path.exists():
        frame = pl.read_parquet(path).with_columns(pl.col(pl.Categorical).cast(pl.String))
    else:
        frame = pl.read_csv(path.with_suffix(".csv"), schema_overrides={"concept": pl.String})
    frame = frame.with_columns(pl.col("layer").cast(pl.Int32))
    if table == "summary":
        frame = frame.filter(pl.col("layer_choice") == "fixed")
    if table == "sample_scores":
        # The file repeats aggregate max for max_token.
        frame = frame.filter(pl.col("detector") != "max_token").with_columns(
            aggregate=pl.col("detector").replace_strict(AGGREGATES)
        )
        frame = frame.drop("detector")
    return frame


def exported(warehouse: Path, corpus: str, table: str, folder: Path, suffix: str) -> pl.DataFrame:
    out = folder / f"{table}.{suffix}"
    superact("export", table, "--dataset", corpus, "--model", "golden", "--warehouse", warehouse, "--out", out)
    read = pl.read_parquet(out) if suffix == "parquet" else pl.read_csv(out, schema_overrides={"concept": pl.String})
    read = read.with_columns(pl.col("layer").cast(pl.Int32))
    # The concept set has its method's name where nothing else was asked for.
    return read if "method" in read.columns else read.with_columns(method=pl.col("concept_set"))


def without_unselected(frame: pl.DataFrame, golden: Path, corpus: str) -> pl.DataFrame:
    """Detection less the test rows of unsupervised pairs that were not selected, which eval does not keep."""
    keys = ["layer", "method", "unit", "detector", "label", "concept"]
    selected = expected(golden, corpus, "selection").drop_nulls("concept").select(keys).with_columns(selected=True)
    kept = pl.col("method").is_in(SUPERVISED) | (pl.col("split") == "cal") | pl.col("selected")
    return frame.join(selected, on=keys, how="left").filter(kept).drop("selected")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("table", KEYS)
@pytest.mark.parametrize("corpus", CORPORA)
def test_golden(warehouse: Path, golden: Path, tmp_path: Path, corpus: str, table: str, suffix: str) -> None:
    want = expected(golden, corpus, table)
    if table == "detection":
        want = without_unselected(want, golden, corpus)
    got = exported(warehouse, corpus, table, tmp_path, suffix)
    keys = KEYS[table]
    assert want.height > 0
    assert not got.select(keys).is_duplicated().any()
    assert got.join(want, on=keys, how="anti").is_empty()
    assert want.join(got, on=keys, how="anti").is_empty()
    both = want.join(got, on=keys, how="inner", suffix="_got")
    assert both.height == want.height == got.height
    compared = [name for name in want.columns if name not in (*keys, "layer_choice")]
    assert compared
    for name in compared:
        wanted, found = both[name], both[f"{name}_got"]
        if wanted.dtype.is_float() and name not in EXACT.get(table, []):
            assert (wanted.is_null() == found.is_null()).all(), name
            assert ((wanted - found).abs().max() or 0.0) <= 1e-6, name
        else:
            assert wanted.eq_missing(found.cast(wanted.dtype)).all(), name


def test_sql_answers_on_the_same_rows(warehouse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path))
    query = "SELECT dataset, count(*) AS n FROM activations GROUP BY dataset ORDER BY dataset"
    done = CliRunner().invoke(app, ["sql", query, "--warehouse", str(warehouse), "--format", "csv"])
    assert done.stdout == "dataset,n\nimg224,267280\ntext,41340\n"
