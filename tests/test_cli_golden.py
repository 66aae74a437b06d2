"""The golden corpora through the command line alone: import, score, eval, export, compared with the expected tables.

Once with every activation stored, and once as the commands do it by themselves, where eval scores the clusters in passing.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from golden_tables import (
    CORPORA,
    FLOORS,
    KEYS,
    METHODS,
    ROWS,
    SEED,
    assert_equal,
    kept,
    named_by_method,
    without_floors,
)
from typer.testing import CliRunner

from superact.cli.main import app

TOLERANCE = 1e-6
SCORED = {"all": 41_340 + 267_280, "selected": 19_080 + 123_360}


def superact(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stderr


def make(golden: Path, folder: Path, keep: str) -> Path:
    """A warehouse made by the commands that a person would type."""
    root = folder / "warehouse"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        for corpus in CORPORA:
            assert "imported" in superact("import", golden / corpus / "inputs", "--warehouse", root)
        said = superact("score", "--keep", keep, "--warehouse", root, "--device", "cpu")
        assert f"scored {SCORED[keep]:,} rows" in said
        assert ("scored by `superact eval`" in said) == (keep == "selected")
        command = ("eval", "--seed", str(SEED), "--all-pairs", "--warehouse", root)
        said = superact(*command)
        assert all(f"\n{table}: " in f"\n{said}" for table in KEYS if table != "activations")
        assert ("activations: " in said) == (keep == "selected")
        assert "nothing was stale" in superact(*command)
    return root


@pytest.fixture(scope="module")
def stored(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(golden, tmp_path_factory.mktemp("stored"), "all")


@pytest.fixture(scope="module")
def dense(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(golden, tmp_path_factory.mktemp("dense"), "selected")


def exported(warehouse: Path, corpus: str, table: str, folder: Path, suffix: str) -> pl.DataFrame:
    out = folder / f"{table}.{suffix}"
    superact("export", table, "--dataset", corpus, "--model", "golden", "--warehouse", warehouse, "--out", out)
    names = {"concept": pl.String}
    read = pl.read_parquet(out) if suffix == "parquet" else pl.read_csv(out, schema_overrides=names)
    return named_by_method(read)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("table", KEYS)
@pytest.mark.parametrize("corpus", CORPORA)
def test_every_table(stored: Path, golden: Path, tmp_path: Path, corpus: str, table: str, suffix: str) -> None:
    found = exported(stored, corpus, table, tmp_path, suffix)
    if table == "localization":
        found = without_floors(found)
    wanted = kept(golden, corpus, table)
    assert found.height == wanted.height == dict(zip(KEYS, ROWS[corpus], strict=True))[table]
    assert_equal(found, wanted, table, TOLERANCE)


@pytest.mark.parametrize("table", [table for table in KEYS if table != "activations"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_clusters_scored_in_passing_give_the_same(
    dense: Path, golden: Path, tmp_path: Path, corpus: str, table: str
) -> None:
    found = exported(dense, corpus, table, tmp_path, "parquet")
    if table == "localization":
        found = without_floors(found)
    assert_equal(found, kept(golden, corpus, table), table, TOLERANCE)


@pytest.mark.parametrize("corpus", CORPORA)
def test_of_clusters_the_selected_are_stored(dense: Path, golden: Path, tmp_path: Path, corpus: str) -> None:
    selected = exported(dense, corpus, "selection", tmp_path, "parquet").drop_nulls("concept")
    own = ["layer", "method", "unit", "concept"]
    chosen = selected.select(own).unique().with_columns(chosen=True)
    wanted = kept(golden, corpus, "activations").join(chosen, on=own, how="left")
    wanted = wanted.filter(pl.col("method").is_in(["avg", "linsep"]) | pl.col("chosen")).drop("chosen")
    found = exported(dense, corpus, "activations", tmp_path, "parquet")
    assert_equal(found, wanted, "activations", TOLERANCE)
    for method, supervised in METHODS.items():
        rows = wanted.filter(pl.col("method") == method).height
        assert supervised == (rows == kept(golden, corpus, "activations").filter(pl.col("method") == method).height)


@pytest.mark.parametrize("corpus", CORPORA)
def test_floors_stand_beside_every_localized_label(stored: Path, tmp_path: Path, corpus: str) -> None:
    rows = exported(stored, corpus, "localization", tmp_path, "parquet")
    own = ["layer", "method", "label"]
    labels = rows.select(own).unique().sort(own).rows()
    floors = rows.filter(pl.col("localizer").is_in(FLOORS))
    assert floors.select(*own, "localizer", "split").sort([*own, "localizer", "split"]).rows() == [
        (*label, floor, split) for label in labels for floor in FLOORS for split in ("cal", "test")
    ]
    assert floors["concept"].is_null().all() and floors["delta"].is_null().all()
    # A floor asks nothing of the vectors: the same at every layer and by every method.
    counts = floors.select("label", "localizer", "split", "quantile", "tp", "fp", "fn", "tn").unique()
    assert counts.height == floors.select("label", "localizer", "split").unique().height
    always, never = (floors.filter(pl.col("localizer") == name) for name in ("always", "never"))
    assert (always["fn"].sum(), always["tn"].sum(), never["tp"].sum(), never["fp"].sum()) == (0, 0, 0, 0)


def test_sql_answers_on_the_same_rows(stored: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path))
    query = "SELECT dataset, count(*) AS n FROM activations GROUP BY dataset ORDER BY dataset"
    done = CliRunner().invoke(app, ["sql", query, "--warehouse", str(stored), "--format", "csv"])
    assert done.stdout == "dataset,n\nimg224,267280\ntext,41340\n"
