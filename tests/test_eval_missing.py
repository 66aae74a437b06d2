"""What eval says, and what it leaves out, where its inputs are not there, not current, not whole or not numbers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from eval_folders import (
    LABELS,
    WHERE,
    WRITTEN,
    ask,
    drop,
    evaluated_toys,
    folder_of_toys,
    republish,
    runs_of,
    scored_toys,
    stored,
    without_a_token_label,
)
from folders import contents

from superact.errors import Damaged, MissingTable, NonFinite, StaleInput
from superact.ingest.import_folder import import_folder
from superact.store import Warehouse
from superact.store.stale import stale

SETS = ("avg", "kmeans")
LATER = ("localize", "layers", "distributions")
TOKEN = {**WHERE, "layer": 1, "unit": "token"}
BY_TOKENS = [("always",), ("concept_vector",), ("never",), ("random",)]
BY_EMBEDDINGS = [("superactivator_global",), ("superactivator_local",)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """One layer of tokens, a stored and a dense set: scored, and evaluated."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        scored = scored_toys(folder, layers=(1,), units=("token",)).root
        evaluated = shutil.copytree(scored, folder / "evaluated")
        evaluated_toys(Warehouse(evaluated))
        yield {"scored": scored, "evaluated": evaluated}


@pytest.fixture
def scored(made: dict[str, Path], tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copytree(made["scored"], tmp_path / "scored"))


@pytest.fixture
def evaluated(made: dict[str, Path], tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copytree(made["evaluated"], tmp_path / "evaluated"))


@pytest.mark.parametrize("stage", LATER)
@pytest.mark.parametrize("name", SETS)
def test_a_stage_before_its_inputs_names_the_command(scored: Warehouse, name: str, stage: str) -> None:
    with pytest.raises(MissingTable, match=r"Run `superact eval detect --dataset [^`]*` first"):
        evaluated_toys(scored, stage, concept_set=name)
    assert runs_of(scored) == {}


@pytest.mark.parametrize("stage", LATER)
def test_a_stage_on_stale_inputs_names_the_command(evaluated: Warehouse, stage: str) -> None:
    without_a_token_label(evaluated)
    before = runs_of(evaluated)
    with pytest.raises(
        StaleInput, match=r"input:token_labels.*Make it anew: `superact eval detect --dataset toys [^`]*`"
    ):
        evaluated_toys(evaluated, stage)
    assert runs_of(evaluated) == before
    evaluated_toys(evaluated, "detect")
    assert evaluated_toys(evaluated, stage).keys() == WRITTEN[stage]


def test_nothing_scored_names_the_command(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse")
    import_folder(warehouse, folder_of_toys(tmp_path / "folder", sets=("avg",)))
    with pytest.raises(MissingTable, match=r"needs activations .*Run `superact score` first"):
        evaluated_toys(warehouse)


def localizers(warehouse: Warehouse, name: str) -> list[tuple]:
    return ask(warehouse, f"SELECT DISTINCT localizer FROM localization WHERE concept_set = '{name}' ORDER BY 1")


def test_embeddings_dropped_after_eval_leave_nothing_stale(evaluated: Warehouse) -> None:
    before = contents(evaluated.root)
    drop(evaluated, "embeddings")
    assert stale(evaluated.state()) == []
    assert evaluated_toys(evaluated) == {}
    assert contents(evaluated.root) == {**before, "embeddings": []}


def test_embeddings_dropped_before_eval_leave_out_what_needs_them(scored: Warehouse, made: dict[str, Path]) -> None:
    drop(scored, "embeddings")
    written = evaluated_toys(scored, concept_set="avg")
    assert "localization_scores" not in written
    assert localizers(scored, "avg") == BY_TOKENS
    query = """
        SELECT * EXCLUDE (run) FROM localization
        WHERE concept_set = 'avg' AND localizer NOT LIKE 'superactivator%' ORDER BY ALL
    """
    assert ask(scored, query) == ask(Warehouse(made["evaluated"]), query) != []
    assert evaluated_toys(scored, concept_set="avg") == {}
    assert stale(scored.state()) == []


def test_alignments_go_when_they_are_stale_and_the_embeddings_gone(evaluated: Warehouse) -> None:
    assert localizers(evaluated, "avg") == sorted(BY_TOKENS + BY_EMBEDDINGS)
    drop(evaluated, "embeddings")
    without_a_token_label(evaluated)
    evaluated_toys(evaluated, concept_set="avg")
    assert ask(evaluated, "SELECT DISTINCT concept_set FROM localization_scores") == [("kmeans",)]
    assert localizers(evaluated, "avg") == BY_TOKENS
    assert {dict(p.partition.keys)["concept_set"] for p in stale(evaluated.state())} == {"kmeans"}


def test_a_dense_set_without_embeddings_says_what_to_do(scored: Warehouse) -> None:
    drop(scored, "embeddings")
    said = r"needs embeddings of .*kmeans.*Run `superact extract` \(or `superact import`, .*--keep all` first\."
    with pytest.raises(MissingTable, match=said):
        evaluated_toys(scored, concept_set="kmeans")
    assert runs_of(scored) == {}


def test_what_nothing_can_be_made_of_is_left_out_beside_others_and_named(scored: Warehouse) -> None:
    drop(scored, "embeddings")
    told: list[str] = []
    evaluated_toys(scored, say=told.append)
    assert {dict(p.partition.keys)["concept_set"] for p in scored.state().select("selection")} == {"avg"}
    assert told == [
        "toys tiny 1 kmeans token is left out: it is unsupervised, and its embeddings are gone",
        "toys tiny 1 avg: superactivator_global and superactivator_local need the embeddings, which are not there; "
        "`superact extract` makes them",
    ]


def test_another_seed_leaves_alignments_alone_though_the_embeddings_are_gone(evaluated: Warehouse) -> None:
    drop(evaluated, "embeddings")
    told: list[str] = []
    evaluated_toys(evaluated, concept_set="avg", seed=5, say=told.append)
    assert localizers(evaluated, "avg") == sorted(BY_TOKENS + BY_EMBEDDINGS)
    assert told == []
    evaluated_toys(evaluated, "localize", concept_set="avg", seed=5, replace=True)
    assert localizers(evaluated, "avg") == sorted(BY_TOKENS + BY_EMBEDDINGS)


def test_a_stale_dense_set_without_embeddings_says_what_to_do(evaluated: Warehouse) -> None:
    """Its rows stand, but cannot be made anew."""
    drop(evaluated, "embeddings")
    without_a_token_label(evaluated)
    before = runs_of(evaluated)
    with pytest.raises(MissingTable, match="needs embeddings"):
        evaluated_toys(evaluated, concept_set="kmeans")
    assert runs_of(evaluated) == before


@pytest.mark.parametrize("table", ["embeddings", "layer_stats", "concepts"])
def test_a_damaged_input_of_the_dense_pass_is_refused(scored: Warehouse, table: str) -> None:
    path = Path(scored.paths(table)[-1])
    assert table != "concepts" or "kmeans" in str(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=table):
        evaluated_toys(scored, concept_set="kmeans")
    assert runs_of(scored) == {}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_no_numbers_are_refused(scored: Warehouse, value: float) -> None:
    rows = stored(scored, "embeddings", **TOKEN)
    rows[10]["embedding"][1] = value
    republish(scored, "embeddings", rows, **TOKEN)
    where = rf"is NaN or infinite at layer 1, sample {rows[10]['sample']}\."
    for name, kind in (("kmeans", "score"), ("avg", "stored hidden state")):
        with pytest.raises(NonFinite, match=f"{kind} {where}"):
            evaluated_toys(scored, concept_set=name)
    assert runs_of(scored) == {}


def without(warehouse: Warehouse, label: str, split: str) -> None:
    """No sample or token of a split carries the label any more."""
    own = {sample for (sample,) in ask(warehouse, f"SELECT sample FROM samples WHERE split = '{split}'")}
    for table, keys in (("sample_labels", {"dataset": "toys"}), ("token_labels", WHERE)):
        rows = stored(warehouse, table, **keys)
        kept = [row for row in rows if row["label"] != label or row["sample"] not in own]
        assert len(kept) < len(rows)
        republish(warehouse, table, kept, **keys)


def test_a_label_without_cal_positives_is_null_and_never_averaged(scored: Warehouse) -> None:
    without(scored, "red", "cal")
    evaluated_toys(scored)
    query = "SELECT DISTINCT threshold, n_calibration, status FROM thresholds WHERE label = 'red'"
    assert ask(scored, query) == [(None, 0, "no_cal_positives")]
    query = "SELECT DISTINCT tp, fp, fn, tn, precision, recall, f1, accuracy, fpr FROM detection WHERE label = 'red'"
    assert ask(scored, query) == [(None,) * 9]
    query = "SELECT concept_set, detector, concept, delta, threshold, f1_cal FROM selection WHERE label = 'red' ORDER BY 1, 2"
    found = ask(scored, query)
    assert len(found) == 2 * 5 and {row[2:] for row in found} == {(None,) * 4}
    query = "SELECT DISTINCT layer, concept, delta, f1_cal, f1_test FROM layer_selection WHERE label = 'red'"
    assert ask(scored, query) == [(None,) * 5]
    for table in ("localization", "localization_scores", "superactivator_ratio"):
        assert ask(scored, f"SELECT count(*) FROM {table} WHERE label = 'red'") == [(0,)], table
        assert ask(scored, f"SELECT count(DISTINCT label) FROM {table}") == [(2,)], table
    query = """
        SELECT concept_set, concept, delta, overlap IS NULL, auc IS NULL, tail_mass, tail_coverage, tail_precision
        FROM separation WHERE label = 'red' ORDER BY concept_set
    """
    assert ask(scored, query) == [
        ("avg", "red", None, False, False, None, None, None),
        ("kmeans", None, None, True, True, None, None, None),
    ]
    query = "SELECT DISTINCT concept_set FROM distributions WHERE label = 'red'"
    assert ask(scored, query) == [("avg",)]
    assert ask(scored, "SELECT DISTINCT n_labels FROM summary") == [(2,)]
    assert_averages(scored, ("blue", "green"))


def test_a_label_without_test_positives_is_never_averaged(scored: Warehouse) -> None:
    without(scored, "red", "test")
    evaluated_toys(scored)
    query = "SELECT DISTINCT f1_cal IS NULL, f1_test, n_positive FROM layer_selection WHERE label = 'red'"
    assert ask(scored, query) == [(False, 0.0, 0)]
    query = "SELECT DISTINCT overlap, auc, cohens_d, n_in FROM separation WHERE label = 'red'"
    assert ask(scored, query) == [(None, None, None, 0)]
    assert ask(scored, "SELECT count(*) FROM superactivator_ratio WHERE label = 'red'") == [(0,)]
    query = "SELECT DISTINCT split, recall, iou FROM localization WHERE label = 'red' AND split = 'test'"
    assert ask(scored, query) == [("test", 0.0, 0.0)]
    assert ask(scored, "SELECT DISTINCT n_labels FROM summary") == [(2,)]
    assert_averages(scored, ("blue", "green"))


def test_no_label_at_all_has_cal_positives(scored: Warehouse) -> None:
    for label in LABELS:
        without(scored, label, "cal")
    evaluated_toys(scored)
    assert ask(scored, "SELECT DISTINCT f1, macro_f1, micro_f1, ci_low, ci_high, n_labels FROM summary") == [
        (None, None, None, None, None, 0)
    ]
    assert ask(scored, "SELECT count(*) FROM localization") == [(0,)]
    query = "SELECT count(*) FROM activations WHERE concept_set = 'kmeans'"
    assert ask(scored, query) == [(0,)]  # no cluster was selected
    assert evaluated_toys(scored) == {}


def assert_averages(warehouse: Warehouse, labels: tuple[str, ...]) -> None:
    """Macro F1 of the best layers is the mean over these labels alone."""
    named = ", ".join(f"'{label}'" for label in labels)
    wanted = ask(
        warehouse,
        f"SELECT concept_set, detector, avg(f1_test) FROM layer_selection WHERE label IN ({named}) GROUP BY ALL ORDER BY ALL",
    )
    found = ask(
        warehouse,
        "SELECT concept_set, detector, macro_f1 FROM summary WHERE layer_choice = 'best' ORDER BY concept_set, detector",
    )
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in wanted], abs=1e-12)
