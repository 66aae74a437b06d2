"""The golden corpora through the library: import, score, eval, and back out of the warehouse."""

import polars as pl
import pytest

from superact.metrics.evaluate import Protocol, evaluate
from superact.query import Session
from superact.store import Warehouse

pytest.importorskip("torch", reason="scoring needs the extract extra")

from test_golden import CORPORA, METHODS, read

from superact.ingest.import_folder import import_folder
from superact.ingest.score import score

PARTITION = ["layer", "method", "unit"]
KEYS = {
    "activations": [*PARTITION, "concept", "sample", "token"],
    "thresholds": [*PARTITION, "detector", "label", "concept", "delta"],
    "detection": [*PARTITION, "detector", "label", "concept", "delta", "split"],
    "selection": [*PARTITION, "detector", "label"],
    "summary": [*PARTITION, "detector"],
}
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def session(golden, tmp_path_factory):
    root = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        warehouse = Warehouse(root / "warehouse")
        for corpus in CORPORA:
            import_folder(warehouse, golden / corpus / "inputs")
        score(warehouse)
        written = evaluate(warehouse, protocol=Protocol(seed=42, replicates=50))
        assert written["thresholds"] == 2 * 13_824
        assert evaluate(warehouse, protocol=Protocol(seed=42, replicates=50)) == {}
        yield Session(warehouse)


def found_rows(session: Session, table: str, corpus: str) -> pl.DataFrame:
    method = "concept_set AS method, * EXCLUDE (method)" if table != "activations" else "concept_set AS method, *"
    return session.sql(f"SELECT {method} FROM {table} WHERE dataset = '{corpus}'")


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("table", KEYS)
def test_tables_come_out(session, golden, table, corpus):
    keys = KEYS[table]
    found, wanted = found_rows(session, table, corpus), read(golden / corpus / "expected", table)
    wanted = wanted.with_columns(pl.col("layer").cast(pl.Int32))
    if table == "summary":
        wanted = wanted.filter(pl.col("layer_choice") == "fixed")
    if table == "detection":
        # Of unsupervised methods, test holds the selected pairs only.
        chosen = read(golden / corpus / "expected", "selection").select(*PARTITION, "detector", "label", "concept")
        chosen = chosen.with_columns(pl.col("layer").cast(pl.Int32)).drop_nulls("concept")
        selected = wanted.join(chosen, on=chosen.columns, how="semi")
        supervised = [method for method, known in METHODS.items() if known]
        whole = pl.col("method").is_in(supervised) | (pl.col("split") == "cal")
        wanted = pl.concat([wanted.filter(whole), selected.filter(~whole)])
    found, wanted = found.sort(keys), wanted.sort(keys)
    assert found.select(keys).rows() == wanted.select(keys).rows()
    for column in wanted.columns:
        if column in ("dataset", "model", *keys):
            continue
        assert found[column].is_null().to_list() == wanted[column].is_null().to_list(), column
        if wanted[column].dtype.is_float() and column != "delta":
            assert (found[column] - wanted[column]).abs().max() <= TOLERANCE, column
        else:
            assert found[column].to_list() == wanted[column].to_list(), column


@pytest.mark.parametrize("corpus", CORPORA)
def test_intervals_stand_beside_every_average(session, corpus):
    rows = session.sql(f"SELECT f1, ci_low, ci_high FROM summary WHERE dataset = '{corpus}'").rows()
    assert len(rows) == 48
    assert all(0 <= low <= high <= 1 for _, low, high in rows)
