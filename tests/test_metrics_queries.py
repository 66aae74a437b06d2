"""Each metric query on tables small enough to compute by hand: rows in, rows out."""

from typing import Any

import numpy as np
import pytest
from metrics_tables import arrow, bind_world, records, rolled_up, run_world
from oracles import World

from superact.metrics.detect import detect
from superact.metrics.layers import hold_choices
from superact.metrics.partition import batches, evaluation_connection, hold, query

DELTAS = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]


@pytest.fixture(scope="module")
def connection():
    with evaluation_connection() as connection:
        yield connection


def world(
    splits: str,
    scores: dict[str, list[list[float | None]]],
    *,
    carry: dict[str, list[int]] | None = None,
    inside: dict[str, list[tuple[int, int]]] | None = None,
    **more: Any,
) -> World:
    """A world from letters of splits (t, c, e: train, cal, test), a score a content token (None: a special token) by concept
    and sample, the samples that `carry` a label and the (sample, token) `inside` it.
    """
    carry, inside = carry or {}, inside or {}
    names = {"t": "train", "c": "cal", "e": "test"}
    rows = next(iter(scores.values()), [[] for _ in splits])
    labels = more.pop("labels", dict.fromkeys([*carry, *inside], True))
    return World(
        samples={sample: names[letter] for sample, letter in enumerate(splits)},
        tokens={(s, t): score is not None for s, own in enumerate(rows) for t, score in enumerate(own)},
        labels=labels,
        sample_labels={(sample, label) for label, samples in carry.items() for sample in samples},
        token_labels={(s, t, label) for label, places in inside.items() for s, t in places},
        concepts=more.pop("concepts", dict.fromkeys(scores, "ok")),
        scores={
            (concept, s, t): np.float32(score)
            for concept, own in scores.items()
            for s, row in enumerate(own)
            for t, score in enumerate(row)
            if score is not None
        },
        **more,
    )


def rows_of(found: list[dict[str, Any]], *columns: str, **wanted: Any) -> list[tuple[Any, ...]]:
    """The chosen columns of the rows that hold these values, in order."""
    own = [row for row in found if all(row[key] == value for key, value in wanted.items())]
    return sorted((tuple(row[column] for column in columns) for row in own), key=repr)


def thresholds_of(found: dict[str, list[dict[str, Any]]], **wanted: Any) -> list[float]:
    """Thresholds in the order of the deltas."""
    rows = {row["delta"]: row for row in found["thresholds"] if all(row[k] == v for k, v in wanted.items())}
    assert sorted(rows) == DELTAS
    return [rows[delta]["threshold"] for delta in DELTAS]


# random_tokens and sample_scores


def test_random_tokens_count_content_tokens_in_ascending_order(connection):
    # seed 42: splitmix64(42 xor 1) = 13432527470776545160, mod 2 = 0; splitmix64(42 xor 2) = 3935774486848180498, mod 3 = 1:
    # the second content token of sample 2 is token 2.
    one = world("eee", {"x": [[None], [None, 1, 1], [1, None, 1, 1]]}, seed=42)
    assert run_world(connection, one)["random_tokens"] == [{"sample": 1, "token": 1}, {"sample": 2, "token": 2}]


def test_random_tokens_do_not_depend_on_the_row_order_of_tokens(connection):
    rows = [{"sample": 1, "token": token, "is_content": True} for token in (7, 2, 5, 0, 1, 3, 4, 6)]
    hold(connection, "tokens", [arrow("tokens", rows)])
    # splitmix64(0 xor 1) mod 8 = 10451216379200822465 mod 8 = 1
    assert query(connection, "random_tokens", seed=0).to_pylist() == [{"sample": 1, "token": 1}]


def test_sample_scores_of_a_sample_by_hand(connection):
    one = world("ce", {"x": [[0.5, None, -0.25, 0.125], [None, 0.75]]}, seed=0)
    found = run_world(connection, one)
    drawn = {row["sample"]: row["token"] for row in found["random_tokens"]}
    picked = {0: 0.5, 2: -0.25, 3: 0.125}[drawn[0]]
    assert rows_of(found["sample_scores"], "aggregate", "score", sample=0) == [
        ("last", 0.125),
        ("max", 0.5),
        ("mean", 0.125),
        ("random", picked),
    ]
    assert {score for _, score in rows_of(found["sample_scores"], "aggregate", "score", sample=1)} == {0.75}


def test_a_sample_without_content_tokens_has_null_scores_and_is_not_detected(connection):
    one = world(
        "ccee", {"x": [[1.0], [0.5], [None], []]}, carry={"x": [0, 1, 2]}, inside={"x": [(0, 0), (1, 0), (2, 0)]}
    )
    found = run_world(connection, one)
    for sample in (2, 3):
        nothing = [("last", None), ("max", None), ("mean", None), ("random", None)]
        assert rows_of(found["sample_scores"], "aggregate", "score", sample=sample) == nothing
    assert set(rows_of(found["detection"], "tp", "fp", "fn", "tn", split="test")) == {(0, 0, 1, 1)}


def test_the_mean_is_summed_in_double_and_stored_float(connection):
    values = [1.0, 2.0**-25, 2.0**-25, 2.0**-25, 2.0**-25]  # float32 sums would lose all but the first
    found = run_world(connection, world("e", {"x": [values]}))
    assert rows_of(found["sample_scores"], "score", aggregate="mean") == [(float(np.float32((1 + 2.0**-23) / 5)),)]


def test_concepts_that_were_not_learned_have_no_scores(connection):
    one = world(
        "ce", {"x": [[1.0], [1.0]]}, concepts={"x": "ok", "y": "no_train_positives"}, carry={"x": [0], "y": [0]}
    )
    found = run_world(connection, one)
    assert {row["concept"] for row in found["sample_scores"]} == {"x"}
    assert {row["label"] for row in found["thresholds"]} == {"x"}
    empty = rows_of(found["selection"], "concept", "delta", "threshold", "f1_cal", label="y")
    assert empty == [(None, None, None, None)] * 5


def test_measure_chooses_the_column(connection):
    one = world("e", {"x": [[0.25, -0.5]]}, measure="signed_distance")
    one.others = {("x", 0, 0): np.float32(-9), ("x", 0, 1): np.float32(9)}
    assert rows_of(run_world(connection, one)["sample_scores"], "score", aggregate="max") == [(0.25,)]
    assert rows_of(run_world(connection, one)["sample_scores"], "score", aggregate="last") == [(-0.5,)]


def test_cls_scores_are_the_single_row(connection):
    one = world("ce", {}, unit="cls", labels={"x": True}, concepts={"x": "ok"}, carry={"x": [0]})
    one.scores = {("x", 0, -1): np.float32(0.5)}
    found = run_world(connection, one)
    assert rows_of(found["sample_scores"], "sample", "aggregate", "score") == [(0, "cls", 0.5), (1, "cls", None)]
    assert {row["detector"] for row in found["thresholds"]} == {"cls"}
    assert set(rows_of(found["detection"], "tp", "fp", "fn", "tn", split="test")) == {(0, 0, 0, 1)}


# thresholds


def test_superactivator_thresholds_are_quantiles_of_in_concept_cal_tokens(connection):
    # The pool: 0, 1, 2, 3, 4 on cal; the unlabelled 9, the special token and the test token stay out.
    one = world(
        "ccte",
        {"x": [[0, 1, 9, None], [2, 3, 4], [50], [60]]},
        inside={"x": [(0, 0), (0, 1), (0, 3), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0)]},
        carry={"x": [0]},
    )
    found = run_world(connection, one)
    levels = [0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
    assert thresholds_of(found, detector="superactivator") == pytest.approx([4 * level for level in levels], abs=1e-14)
    assert set(rows_of(found["thresholds"], "n_calibration", "status", detector="superactivator")) == {(5, "ok")}
    # max_token: the maxima of samples 0 and 1, over all content tokens: 9 and 4.
    assert thresholds_of(found, detector="max_token") == pytest.approx([4 + 5 * level for level in levels], abs=1e-14)
    assert thresholds_of(found, detector="last_token") == pytest.approx([4 + 5 * level for level in levels], abs=1e-14)
    assert set(rows_of(found["thresholds"], "n_calibration", "status", detector="mean_token")) == {(2, "ok")}


def test_sample_labels_are_not_asked_where_token_labels_are(connection):
    one = world("ccc", {"x": [[1.0], [2.0], [3.0]]}, inside={"x": [(0, 0)]}, carry={"x": [1, 2]})
    found = run_world(connection, one)
    assert set(thresholds_of(found, detector="superactivator")) == {1.0}
    assert set(thresholds_of(found, detector="max_token")) == {1.0}


def test_a_label_without_any_token_label_takes_the_weak_rule(connection):
    one = world("cccet", {"x": [[0, 4], [2, 8], [7, 7], [9], [99]]}, carry={"x": [0, 1, 4]}, inside={"y": [(2, 0)]})
    found = run_world(connection, one)
    levels = [0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
    for detector in ("superactivator", "max_token"):  # the maxima 4 and 8
        assert thresholds_of(found, detector=detector) == pytest.approx([4 + 4 * level for level in levels], abs=1e-14)
    assert thresholds_of(found, detector="mean_token") == pytest.approx([2 + 3 * level for level in levels], abs=1e-14)
    assert set(rows_of(found["thresholds"], "n_calibration", "status")) == {(2, "sample_labels_only")}


def test_token_labels_outside_cal_leave_a_label_without_threshold(connection):
    one = world("ce", {"x": [[1.0], [2.0]]}, inside={"x": [(1, 0)]}, carry={"x": [0, 1]})
    found = run_world(connection, one)
    assert set(rows_of(found["thresholds"], "threshold", "n_calibration", "status")) == {(None, 0, "no_cal_positives")}
    assert len(found["thresholds"]) == 5 * 12
    measures = ("tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "fpr")
    assert set(rows_of(found["detection"], *measures)) == {(None,) * 9}
    assert len(found["detection"]) == 2 * 5 * 12
    assert set(rows_of(found["selection"], "concept", "delta", "threshold", "f1_cal")) == {(None,) * 4}
    assert set(rows_of(found["summary"], "f1", "micro_f1", "n_labels", "n_positive")) == {(None, None, 0, 0)}


def test_labels_on_special_tokens_alone_give_no_threshold_and_no_weak_rule(connection):
    one = world("c", {"x": [[1.0, None]]}, inside={"x": [(0, 1)]}, carry={"x": [0]})
    found = run_world(connection, one)
    assert set(rows_of(found["thresholds"], "threshold", "status")) == {(None, "no_cal_positives")}


def test_names_that_differ_in_case_or_script_are_different_labels(connection):
    scores = {"Red": [[1.0]], "red": [[2.0]], "rouge é": [[3.0]], "日本": [[4.0]], "it's": [[5.0]], "": [[6.0]]}
    one = world("c", scores, inside={name: [(0, 0)] for name in scores}, carry={name: [0] for name in scores})
    found = run_world(connection, one, batch_rows=1)
    for name, ((value,),) in scores.items():
        assert set(rows_of(found["thresholds"], "concept", "threshold", label=name)) == {(name, value)}


def test_labels_that_are_not_evaluated_have_no_rows(connection):
    one = world("c", {"x": [[1.0]], "y": [[1.0]]}, carry={"x": [0], "y": [0]}, labels={"x": True, "y": False})
    found = run_world(connection, one)
    for table in ("thresholds", "detection", "selection"):
        assert {row["label"] for row in found[table]} == {"x"}


# detection


def test_confusion_and_ratios_by_hand(connection):
    # Threshold 0.5 at every delta. Test scores: .5 (true, hit), .4 (true, missed), .6 (false alarm), .1, .2 (quiet)
    one = world(
        "ceeeee",
        {"x": [[0.5], [0.5], [0.4], [0.6], [0.1], [0.2]]},
        carry={"x": [0, 1, 2]},
        inside={"x": [(0, 0)]},
    )
    found = run_world(connection, one)
    columns = ("tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "fpr")
    assert set(rows_of(found["detection"], *columns, split="test")) == {(1, 1, 1, 2, 0.5, 0.5, 0.5, 0.6, 1 / 3)}
    assert set(rows_of(found["detection"], *columns, split="cal")) == {(1, 0, 0, 0, 1.0, 1.0, 1.0, 1.0, 0.0)}


def test_a_score_equal_to_the_threshold_as_float_is_detected(connection):
    value = float(np.float32(0.1))
    one = world("cce", {"x": [[value], [value], [value]]}, carry={"x": [0, 1, 2]})
    assert set(rows_of(run_world(connection, one)["detection"], "tp", "fn", split="test")) == {(1, 0)}


def test_a_threshold_between_floats_is_rounded_before_it_decides(connection):
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    one = world("ccee", {"x": [[float(low)], [float(high)], [float(low)], [float(high)]]}, carry={"x": [0, 1, 2, 3]})
    found = run_world(connection, one)
    # Half-way and below rounds to one of the two floats: at level .1 to the lower, at .9 to the upper.
    assert rows_of(found["detection"], "tp", split="test", detector="max_token", delta=0.9) == [(2,)]
    assert rows_of(found["detection"], "tp", split="test", detector="max_token", delta=0.1) == [(1,)]


def test_empty_splits_count_nothing(connection):
    one = world("c", {"x": [[1.0]]}, carry={"x": [0]})
    columns = ("tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "fpr")
    assert set(rows_of(run_world(connection, one)["detection"], *columns, split="test")) == {(0, 0, 0, 0, *[0.0] * 5)}


# selection


def test_ties_go_to_the_smallest_delta_then_the_first_name(connection):
    scores = {name: [[1.0], [0.0]] for name in ("10", "2", "9")}
    one = world("cc", scores, carry={"x": [0]}, inside={"x": [(0, 0)]}, supervised=False)
    columns = ("concept", "delta", "threshold", "f1_cal")
    assert set(rows_of(run_world(connection, one)["selection"], *columns)) == {("2", 0.02, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["10", "2", "100000000000000000000", "9"], "2"),
        (["10", "0"], "0"),
        (["10", "02"], "02"),  # not plain: bytes
        (["10", "2", "x"], "10"),  # one is no number: bytes
        (["b", "B", "a", "é"], "B"),
        (["é", "z", "日"], "z"),
        (["100000000000000000001", "99999999999999999999"], "99999999999999999999"),  # beyond 64 bits
    ],
)
def test_name_order(connection, names, first):
    one = world(
        "cc", {name: [[1.0], [0.0]] for name in names}, carry={"x": [0]}, inside={"x": [(0, 0)]}, supervised=False
    )
    assert {row["concept"] for row in run_world(connection, one)["selection"]} == {first}


def test_f1_decides_before_delta_and_name(connection):
    # Concept a never separates; b does at any delta.
    one = world(
        "cccc",
        {"a": [[1], [1], [1], [1]], "b": [[5], [5], [0], [0]]},
        carry={"x": [0, 1]},
        inside={"x": [(0, 0), (1, 0)]},
        supervised=False,
    )
    found = run_world(connection, one)
    assert set(rows_of(found["selection"], "concept", "delta", "threshold", "f1_cal")) == {("b", 0.02, 5.0, 1.0)}
    assert {row["concept"] for row in found["detection"] if row["split"] == "test"} == {"b"}
    assert {row["concept"] for row in found["detection"] if row["split"] == "cal"} == {"a", "b"}


def test_two_labels_may_choose_the_same_concept(connection):
    one = world(
        "cc", {"0": [[1.0], [0.0]], "1": [[0.0], [0.0]]}, carry={"x": [0], "y": [0]},
        inside={"x": [(0, 0)], "y": [(0, 0)]}, supervised=False,
    )  # fmt: skip
    found = run_world(connection, one)["selection"]
    assert {(row["label"], row["concept"]) for row in found} == {("x", "0"), ("y", "0")}


def test_a_label_that_no_cal_sample_carries_is_not_selected_although_it_has_thresholds(connection):
    one = world("ce", {"x": [[1.0], [1.0]]}, inside={"x": [(0, 0)]}, carry={"x": [1]})
    found = run_world(connection, one)
    assert {row["status"] for row in found["thresholds"]} == {"ok"}
    assert set(rows_of(found["selection"], "concept", "delta", "threshold", "f1_cal")) == {(None,) * 4}
    assert {row["n_labels"] for row in found["summary"]} == {0}


def test_a_best_f1_of_zero_is_still_a_selection(connection):
    one = world("cc", {"x": [[1.0], [0.0]]}, inside={"x": [(0, 0)]}, carry={"x": [1]})
    found = run_world(connection, one)
    chosen = rows_of(found["selection"], "concept", "delta", "threshold", "f1_cal", detector="max_token")
    assert chosen == [("x", 0.02, 1.0, 0.0)]


# summary and outcomes


def detection_row(label: str, tp: int, fp: int, fn: int, f1: float, precision: float, recall: float) -> dict[str, Any]:
    key = {"detector": "max_token", "label": label, "concept": label, "delta": 0.5, "split": "test"}
    return {**key, "tp": tp, "fp": fp, "fn": fn, "tn": 0, "f1": f1, "precision": precision, "recall": recall}


def test_averages_by_hand(connection):
    rows = [
        detection_row("a", 3, 1, 0, 6 / 7, 3 / 4, 1.0),
        detection_row("b", 0, 0, 1, 0.0, 0.0, 0.0),
        detection_row("c", 0, 5, 0, 0.0, 0.0, 0.0),  # no test positive: not counted
        {**detection_row("a", 9, 9, 9, 0.5, 0.5, 0.5), "delta": 0.9},  # not chosen
        {**detection_row("a", 9, 9, 9, 0.5, 0.5, 0.5), "split": "cal"},
    ]
    stamp = {"method": "avg", "run": "r"}
    hold(connection, "detection", [arrow("detection", [{**row, **stamp} for row in rows])])
    pair = {"detector": "max_token", "delta": 0.5, "f1_cal": 0.5, **stamp}
    chosen = [{"label": name, "concept": name, **pair} for name in "abc"]
    hold(connection, "selection", [arrow("selection", chosen)])
    for table in ("samples", "sample_labels"):
        hold(connection, table)
    labels = [{"label": name, "source": "test", "evaluated": True} for name in "abc"]
    hold(connection, "labels", [arrow("labels", labels)])
    hold_choices(connection, [query(connection, "layer_choices", layer=7)], "token")
    rows = query(connection, "summary", unit="token", layers=[7]).to_pylist()
    found = {(row.pop("layer_choice"), row.pop("layer"), row.pop("detector")): row for row in rows}
    assert found["fixed", 7, "max_token"] == found["best", None, "max_token"]
    assert found["fixed", 7, "max_token"] == {
        "f1": pytest.approx(3 * (6 / 7) / 4, abs=1e-12),
        "precision": pytest.approx(3 * 0.75 / 4, abs=1e-12),
        "recall": 0.75,
        "macro_f1": pytest.approx(3 / 7, abs=1e-12),
        "macro_precision": 0.375,
        "macro_recall": 0.5,
        "micro_f1": 0.75,
        "micro_precision": 0.75,
        "micro_recall": 0.75,
        "n_labels": 2,
        "n_positive": 4,
    }
    detectors = ["last_token", "max_token", "mean_token", "random_token", "superactivator"]
    assert found.keys() == {(*where, name) for where in (("fixed", 7), ("best", None)) for name in detectors}
    assert found["fixed", 7, "last_token"]["f1"] is None and found["fixed", 7, "last_token"]["n_labels"] == 0


def test_outcomes_by_hand(connection):
    # Threshold 0.5; the test samples 1, 3, 4, 5 are at positions 0 to 3; the quiet true negative 5 has no row.
    one = world(
        "ceteee", {"x": [[0.5], [0.5], [9], [0.4], [0.6], [0.1]]}, carry={"x": [0, 1, 3]}, inside={"x": [(0, 0)]}
    )
    rows = rows_of(run_world(connection, one)["outcomes"], "position", "predicted", "truth", detector="max_token")
    assert rows == [(0, True, True), (1, False, True), (2, True, False)]


# batches


@pytest.mark.parametrize(
    ("rows_each", "batch_rows", "wanted"),
    [
        (10, 20, [("a", "b"), ("c", "d"), ("e", "e")]),
        (10, 1, [(name, name) for name in "abcde"]),
        (10, 10**7, [("a", "e")]),
        (0, 10, [("a", "e")]),
    ],
)
def test_batches_cut_concepts_in_name_order(rows_each, batch_rows, wanted):
    assert batches("abcde", rows_each, batch_rows) == wanted


def test_no_concepts_no_batches(connection):
    assert batches([], 0, 10) == []
    one = world("ce", {}, carry={"x": [0]}, labels={"x": True})
    bind_world(connection, one)
    detect(connection, rolled_up(connection, one), unit="token", measure="cosine", supervised=True)
    assert connection.sql("SELECT count(*) FROM detection").fetchall() == [(0,)]
    assert connection.sql("SELECT count(*), count(concept) FROM selection").fetchall() == [(5, 0)]


def test_rows_of_the_helper_match_the_schemas():
    one = world("ce", {"x": [[1.0], [None]]}, carry={"x": [0]})
    assert [len(rows) for rows in records(one).values()] == [2, 2, 1, 1, 0, 1, 1]
