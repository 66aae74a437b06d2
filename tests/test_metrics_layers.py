"""Several layers of one set (layer_selection, summary, their intervals), and the best concepts of many (detection_best)."""

from dataclasses import replace
from typing import Any

import numpy as np
import oracles
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from metrics_tables import (
    arrow,
    assert_tables,
    expected,
    expected_layers,
    other_layer,
    publish_world,
    random_world,
    run_layers,
    run_world,
)

from superact.metrics.evaluate import Protocol, evaluate
from superact.metrics.layers import hold_choices
from superact.metrics.null import permuted
from superact.metrics.partition import evaluation_connection, hold, hold_query, query
from superact.query import Session

WORLDS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "samples": st.integers(0, 14),
        "most_tokens": st.integers(0, 4),
        "labels": st.integers(1, 4),
        "clusters": st.sampled_from([0, 0, 3]),
        "unit": st.sampled_from(["token", "cls"]),
        "density": st.sampled_from([0.0, 0.1, 0.4, 1.0]),
        "grid": st.sampled_from([0, 1, 4]),
    }
)


@pytest.fixture(scope="module")
def connection():
    with evaluation_connection() as connection:
        yield connection


def layers_of(world: oracles.World, numbers: list[int]) -> dict[int, oracles.World]:
    """The world at several layers; at the last one, its first concept was not learned."""
    found = {number: other_layer(world, number) for number in numbers}
    if len(numbers) > 1 and world.scored:
        name, last = world.scored[0], found[numbers[-1]]
        scores = {key: score for key, score in last.scores.items() if key[0] != name}
        found[numbers[-1]] = replace(last, concepts={**last.concepts, name: "no_train_positives"}, scores=scores)
    return found


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=WORLDS, numbers=st.lists(st.integers(0, 40), min_size=1, max_size=3, unique=True))
@example(shape={"seed": 1, "samples": 40, "labels": 4, "density": 0.3}, numbers=[3, 1, 12])
@example(shape={"seed": 2, "samples": 30, "labels": 3, "clusters": 6, "grid": 1}, numbers=[10, 9])
@example(shape={"seed": 3, "samples": 30, "labels": 4, "unit": "cls", "density": 0.3}, numbers=[0, 5, 2])
def test_layers_equal_the_oracle(connection, shape, numbers):
    worlds = layers_of(random_world(**shape), numbers)
    wanted = expected_layers(worlds) | {"null_summary": oracles.null_summary(worlds)}
    assert_tables(run_layers(connection, worlds), wanted)


def choice(layer: int, label: str, f1_cal: float | None, tp: int, fp: int, fn: int, detector: str) -> dict[str, Any]:
    own = {"layer": layer, "detector": detector, "label": label, "concept": label, "delta": layer / 100}
    return {**own, "f1_cal": f1_cal, "tp": tp, "fp": fp, "fn": fn}


def test_layers_by_hand(connection):
    rows = [
        # a: a tie on cal, which the smaller layer wins although the larger is better on test
        choice(12, "a", 0.75, 4, 0, 0, "max_token"),
        choice(3, "a", 0.75, 1, 1, 3, "max_token"),
        choice(1, "a", 0.5, 4, 0, 0, "max_token"),
        # another detector judges by its own rows
        choice(12, "a", 0.9, 2, 2, 2, "mean_token"),
        choice(3, "a", 0.8, 4, 0, 0, "mean_token"),
        # b: calibrated at one layer
        choice(12, "b", 0.0, 0, 0, 1, "max_token"),
        # c: no test positive, which enters no average
        choice(1, "c", 1.0, 0, 7, 0, "max_token"),
    ]
    labels = [{"label": name, "source": "test", "evaluated": name != "e"} for name in "abcde"]
    hold(connection, "labels", [arrow("labels", labels)])
    samples = [{"sample": s, "split": "test" if s else "cal", "modality": "text"} for s in range(5)]
    hold(connection, "samples", [arrow("samples", samples)])
    carried = [{"sample": s, "label": "a"} for s in range(5)] + [{"sample": 1, "label": name} for name in "bd"]
    hold(connection, "sample_labels", [arrow("sample_labels", carried)])
    hold_choices(connection, [pa.Table.from_pylist(rows[:3]), pa.Table.from_pylist(rows[3:])], "token")
    found = connection.sql("FROM layer_selection").to_arrow_table().to_pylist()
    columns = ("layer", "concept", "delta", "f1_cal", "f1_test", "precision_test", "recall_test", "n_positive")
    own = {(row["detector"], row["label"]): tuple(row[name] for name in columns) for row in found}
    assert len(own) == len(found) == 5 * 4
    assert own["max_token", "a"] == (3, "a", 0.03, 0.75, 2 / 6, 0.5, 0.25, 4)
    assert own["mean_token", "a"] == (12, "a", 0.12, 0.9, 0.5, 0.5, 0.5, 4)
    assert own["max_token", "b"] == (12, "b", 0.12, 0.0, 0.0, 0.0, 0.0, 1)
    assert own["max_token", "c"] == (1, "c", 0.01, 1.0, 0.0, 0.0, 0.0, 0)
    assert own["max_token", "d"] == (*[None] * 7, 1)
    assert own["superactivator", "a"] == (*[None] * 7, 4)
    summary = query(connection, "summary", unit="token", layers=[1, 3, 12, 99]).to_pylist()
    averages = {(r["layer"], r["detector"]): (r["f1"], r["macro_f1"], r["n_labels"], r["n_positive"]) for r in summary}
    assert averages[None, "max_token"] == (pytest.approx((2 / 6 * 4 + 0) / 5), pytest.approx(1 / 6), 2, 5)
    assert averages[None, "mean_token"] == (0.5, 0.5, 1, 4)
    assert averages[12, "max_token"] == (0.8, 0.5, 2, 5)
    assert averages[1, "max_token"] == (1.0, 1.0, 1, 4)
    assert averages[99, "max_token"] == averages[None, "last_token"] == (None, None, 0, 0)
    assert len(summary) == 5 * (4 + 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_intervals_of_fixed_and_best_layers_are_the_naive_bootstrap_s(tmp_path, monkeypatch, seed):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world = replace(random_world(seed, samples=40, labels=4, density=0.3), seed=7)
    worlds = layers_of(world, [2, 5, 11])
    for layer, own in worlds.items():
        warehouse = publish_world(tmp_path / "w", own, layer=layer)
    evaluate(warehouse, protocol=Protocol(seed=7, replicates=40))
    session = Session(warehouse)
    found = {
        table: session.sql(f"SELECT * FROM {table}").to_dicts() for table in ("layer_selection", "summary", "detection")
    }
    assert_tables(found, expected_layers(worlds))
    assert len({row["layer"] for row in found["layer_selection"]}) > 1
    judged = {layer: oracles.judged(own) for layer, own in worlds.items()} | {None: oracles.judged_best(worlds)}
    for row in found["summary"]:
        truth, predicted = oracles.matrices(judged[row["layer"]], row["detector"])
        values = oracles.bootstrap(truth, predicted, 7, 40)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12)
    assert len(found["summary"]) == 5 * 4


# detection_best


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    clusters=st.integers(1, 9),
    keep=st.integers(1, 4),
    batch_rows=st.sampled_from([1, 60, 10**7]),
    density=st.sampled_from([0.0, 0.1, 0.5]),
    unit=st.sampled_from(["token", "cls"]),
)
@example(seed=4, clusters=9, keep=2, batch_rows=1, density=0.5, unit="token")
def test_the_best_concepts_are_kept(connection, seed, clusters, keep, batch_rows, density, unit):
    world = random_world(seed, samples=14, labels=3, clusters=clusters, grid=1, density=density, unit=unit)
    found, wanted = run_world(connection, world, batch_rows, keep=keep), expected(world)
    best = oracles.detection_best(world, keep)
    wanted["detection"] = {key: row for key, row in wanted["detection"].items() if key[-1] == "test" or key[:3] in best}
    assert_tables(found, wanted)  # the choice, and what follows from it, is that of all pairs


def test_best_by_hand(connection):
    """F1 first, then delta, then name (by value), and concepts without measures last."""
    values = {"2": (0.5, 0.5), "10": (0.5, 0.5), "1": (0.25, 0.5), "9": (0.5, 0.75), "7": (None, None), "8": (0.1, 0.1)}
    rows = [
        {"detector": "max_token", "label": "x", "concept": concept, "delta": delta, "split": "cal", "f1": f1}
        for concept, own in values.items()
        for delta, f1 in zip((0.02, 0.05), own, strict=True)
    ]
    stamp = {"method": "kmeans", "run": "r"}
    hold(connection, "detection", [arrow("detection", [{**row, **stamp} for row in rows])])
    concepts = [{"concept": name, "method": "kmeans", "bias": 0.0, "status": "ok"} for name in values]
    hold(connection, "concepts", [arrow("concepts", concepts)])
    order = ["9", "2", "10", "1", "8", "7"]
    for keep in range(1, 8):
        found = query(connection, "detection_best", keep=keep).to_pylist()
        assert sorted({row["concept"] for row in found}) == sorted(order[:keep])
        assert len(found) == 2 * min(keep, 6)
    # One name that is no number: all are compared as text.
    hold(connection, "concepts", [arrow("concepts", [*concepts, {**concepts[0], "concept": "x"}])])
    found = query(connection, "detection_best", keep=2).to_pylist()
    assert {row["concept"] for row in found} == {"9", "10"}


# eval --null


def test_shuffled_samples_stay_in_their_split(connection):
    splits = ["cal", "test", "cal", "train", "test", "cal", "test", "train", "cal", "test"]
    samples = arrow("samples", [{"sample": s, "split": split, "modality": "text"} for s, split in enumerate(splits)])
    targets = [permuted(samples, 3, shuffle).to_pylist() for shuffle in (0, 0, 1)]
    assert targets[0] == targets[1] != targets[2]
    for rows in targets:
        assert sorted(row["target"] for row in rows) == [row["sample"] for row in rows] == list(range(10))
        assert all(splits[row["sample"]] == splits[row["target"]] for row in rows)


def test_shuffled_token_labels_by_hand(connection):
    """Sample 0 has content tokens 1, 2, 4, 6; sample 1 tokens 0 and 5; sample 2 none."""
    content = {0: [1, 2, 4, 6], 1: [0, 5], 2: []}
    rows = [{"sample": s, "token": t, "is_content": t in own} for s, own in content.items() for t in range(7)]
    hold(connection, "tokens", [arrow("tokens", rows)])
    inside = [(0, 1, "a"), (0, 6, "a"), (0, 2, "b"), (0, 3, "b"), (1, 5, "a"), (1, 0, "c")]
    rows = [{"sample": s, "token": t, "label": label} for s, t, label in inside]
    hold(connection, "token_labels", [arrow("token_labels", rows)])

    def shuffled(targets: dict[int, int]) -> list[tuple[str, int, int]]:
        rows = [{"sample": sample, "target": target} for sample, target in targets.items()]
        hold_query(connection, "shuffled_samples", pa.Table.from_pylist(rows))
        return [tuple(row.values()) for row in query(connection, "shuffled_token_labels").to_pylist()]

    # Four places onto two: 0 and 1 to the first, 2 and 3 to the second; two onto four: 0 to 0, 1 to 2.
    assert shuffled({0: 1, 1: 0, 2: 2}) == [("a", 0, 4), ("a", 1, 0), ("a", 1, 5), ("b", 1, 0), ("c", 0, 1)]
    assert shuffled({0: 2, 1: 1, 2: 0}) == [("a", 1, 5), ("c", 1, 0)]
    assert shuffled({0: 0, 1: 1, 2: 2}) == [("a", 0, 1), ("a", 0, 6), ("a", 1, 5), ("b", 0, 2), ("c", 1, 0)]
