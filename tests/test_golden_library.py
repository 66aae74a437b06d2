"""The golden corpora through the library, as a program would do it: one stage, one corpus, one method at a time."""

import polars as pl
import pytest
from golden_tables import CORPORA, KEYS, METHODS, SEED, assert_equal, kept, named_by_method, without_floors

from superact.metrics.evaluate import STAGES, Protocol, evaluate
from superact.query import Session
from superact.store import Warehouse
from superact.store.stale import stale

pytest.importorskip("torch", reason="scoring needs the extract extra")

from superact.ingest.import_folder import import_folder
from superact.ingest.score import score

TOLERANCE = 1e-6
PROTOCOL = Protocol(seed=SEED, replicates=50)
WRITTEN = {
    "detect": {"activations", "sample_scores", "thresholds", "detection", "selection"},
    "localize": {"localization_scores", "localization"},
    "layers": {"layer_selection", "summary"},
    "distributions": {"distributions", "separation", "superactivator_ratio"},
}


@pytest.fixture(scope="module")
def session(golden, tmp_path_factory):
    root = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        warehouse = Warehouse(root / "warehouse")
        for corpus in CORPORA:
            import_folder(warehouse, golden / corpus / "inputs")
        score(warehouse)
        for stage in STAGES:
            for corpus in CORPORA:
                for method, supervised in METHODS.items():
                    written = evaluate(warehouse, [stage], protocol=PROTOCOL, dataset=corpus, method=method)
                    scored = supervised or stage != "detect"
                    assert written.keys() == WRITTEN[stage] - ({"activations"} if scored else set())
        assert stale(warehouse.state()) == []
        assert evaluate(warehouse, protocol=PROTOCOL) == {}
        yield Session(warehouse)


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("table", [table for table in KEYS if table != "activations"])
def test_tables_come_out(session, golden, table, corpus):
    # Seven clusters: the twenty best of a label are all of them.
    found = named_by_method(session.sql(f"SELECT * FROM {table} WHERE dataset = '{corpus}'"))
    if table == "localization":
        found = without_floors(found)
    assert_equal(found, kept(golden, corpus, table), table, TOLERANCE)


@pytest.mark.parametrize("corpus", CORPORA)
def test_intervals_stand_beside_every_average(session, corpus):
    rows = session.sql(f"SELECT layer_choice, ci_low, ci_high FROM summary WHERE dataset = '{corpus}'")
    assert rows.group_by("layer_choice").len().sort("layer_choice").rows() == [("best", 24), ("fixed", 48)]
    assert rows.select(pl.col("ci_low", "ci_high").null_count()).row(0) == (0, 0)
    assert all(0 <= low <= high <= 1 for _, low, high in rows.rows())
