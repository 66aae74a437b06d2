"""Eval over the sparse table of an autoencoder: rows in and out, the oracles on the dense matrix, and the ordinary path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import oracles
import pyarrow as pa
import pytest
from metrics_tables import (
    COLUMNS,
    GRAINS,
    arrow,
    assert_tables,
    expected,
    expected_layers,
    expected_tokens,
    other_layer,
    publish_world,
)
from oracles import World
from sae_worlds import SAE, active_rows, kept, publish_sae, sparse_world, units_of

from superact.errors import MissingTable, StaleInput
from superact.metrics import chosen as chosen_module
from superact.metrics import detect as detect_module
from superact.metrics.evaluate import Protocol, evaluate
from superact.metrics.null import evaluate_null, permuted
from superact.metrics.partition import counted_batches, evaluation_connection, hold, hold_query, query
from superact.query import Session
from superact.store import Warehouse
from superact.store.stale import stale

UNIT_COLUMNS = ("n_active", "share_active", "max_activation", "mean_activation", "p95", "p99", "status")
GRAINS["sae_units"], COLUMNS["sae_units"] = ("concept",), UNIT_COLUMNS


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with evaluation_connection() as connection:
        yield connection


def rows_of(warehouse: Warehouse, table: str, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
    session = Session(warehouse, threads=1)
    found = session.sql(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY ALL").to_dicts()
    session.connection.close()
    return found


# Each query, rows in and rows out


def bound(
    connection: duckdb.DuckDBPyConnection, active: list[tuple[int, int, int, float]], **tables: list[tuple]
) -> None:
    """Hold sae_activations (feature, sample, token, activation) and other tables from tuples in the order of NAMES."""
    names = ("feature", "sample", "token", "activation")
    rows = [dict(zip(names, row, strict=True)) for row in active]
    hold(connection, "sae_activations", [arrow("sae_activations", rows)] if rows else ())
    for table, given in tables.items():
        typed = [dict(zip(NAMES[table], row, strict=True)) | MORE.get(table, {}) for row in given]
        hold(connection, table, [arrow(table, typed)] if typed else ())


NAMES = {
    "samples": ("sample", "split", "modality"),
    "labels": ("label", "evaluated"),
    "tokens": ("sample", "token", "is_content"),
    "token_labels": ("sample", "token", "label"),
    "concepts": ("concept", "status"),
    "selection": ("detector", "label", "concept"),
}
MORE = {
    "labels": {"source": "test"},
    "concepts": {"method": "sae", "bias": 0.0, "norm": 1.0},
    "selection": {"method": "sae", "run": "r"},
}


def test_statistics_count_active_cal_rows_alone(connection: duckdb.DuckDBPyConnection) -> None:
    active = [(3, 0, 0, 1.0), (3, 0, 1, 2.0), (3, 1, 0, 9.0), (4, 0, 0, 5.0), (7, 0, 1, 1.0), (9, 1, 0, 3.0)]
    bound(connection, active, samples=[(0, "cal", "text"), (1, "test", "text")])
    rows = query(connection, "sae_statistics", first=3, last=6).sort_by("feature").to_pylist()
    assert rows == [
        # rank .95 * 1 between 1 and 2
        {"feature": 3, "n_active": 2, "max_activation": 2.0, "mean_activation": 1.5, "quantiles": [1.95, 1.99]},
        {"feature": 4, "n_active": 1, "max_activation": 5.0, "mean_activation": 5.0, "quantiles": [5.0, 5.0]},
    ]


def statuses(
    connection: duckdb.DuckDBPyConnection, counts: dict[int, tuple[int, float]], labelled: list[int], modality: str
) -> dict[str, str]:
    """What features with so many active cal tokens and such a p99 are, beside labels on so many of 2000 cal tokens."""
    labels = [(f"l{number}", True) for number in range(len(labelled))]
    inside = [(0, token, f"l{number}") for number, n in enumerate(labelled) for token in range(n)]
    beside = [(0, 3000, "l0"), (1, 0, "l0"), (0, 0, "not evaluated")] if labelled else [(0, 0, "not evaluated")]
    bound(
        connection,
        [],
        samples=[(0, "cal", modality), (1, "test", modality)],
        labels=[*labels, ("not evaluated", False), ("nowhere", True)],
        tokens=[*((0, token, True) for token in range(2000)), (0, 3000, False), (1, 0, True)],
        token_labels=[*inside, *beside],  # a special token, and one of test: neither is counted
    )
    features = list(counts)
    hold_query(
        connection,
        "sae_statistics",
        arrow_statistics(features, [n for n, _ in counts.values()], [p99 for _, p99 in counts.values()]),
    )
    rows = query(connection, "sae_units_token").to_pylist()
    assert [row["share_active"] for row in rows] == [counts[int(row["concept"])][0] / 2000 for row in rows]
    return {row["concept"]: row["status"] for row in rows}


def arrow_statistics(features: list[int], counts: list[int], p99: list[float]) -> pa.Table:
    """Rows of sae_statistics of which only the counts and p99 matter."""
    return pa.table(
        {
            "feature": pa.array(features, pa.int32()),
            "n_active": pa.array(counts, pa.int64()),
            "max_activation": pa.array(p99, pa.float32()),
            "mean_activation": pa.array(p99, pa.float64()),
            "quantiles": pa.array([[0.0, value] for value in p99], pa.list_(pa.float64())),
        }
    )


@pytest.mark.parametrize(
    ("labelled", "modality", "dead", "ubiquitous"),
    [
        ([50, 201], "image", 37, 252),  # 3/4 of 50 is 37.5: 37 is enough; 5/4 of 201 is 251.25
        ([50, 201], "text", 10, 252),
        ([1600, 1200], "text", 12, 2001),  # 1 % of 1200
        ([1], "image", 1, 2),
        ([], "image", 200, 41),  # without a labelled token: 2 % of 2000 tokens
        ([], "text", 500, 61),
    ],
)
def test_rules_of_dead_and_ubiquitous_units(
    connection: duckdb.DuckDBPyConnection, labelled: list[int], modality: str, dead: int, ubiquitous: int
) -> None:
    counts = {1: (dead, 1.0), 2: (dead - 1, 1.0), 3: (ubiquitous, 1.0), 4: (ubiquitous - 1, 1.0)}
    counts = {feature: own for feature, own in counts.items() if own[0]}
    alive = "kept" if dead < ubiquitous else "ubiquitous"
    wanted = {"1": alive, "2": "dead", "3": "ubiquitous" if dead <= ubiquitous else "dead"}
    wanted["4"] = "kept" if dead < ubiquitous else "dead"
    found = statuses(connection, counts, labelled, modality)
    assert found == {name: wanted[name] for name in sorted(map(str, counts))}


@pytest.mark.parametrize(
    ("labels", "modality", "level"),
    [(1, "text", 0.5), (2, "text", 0.6), (9, "image", 0.6), (10, "text", 0.7), (29, "text", 0.7), (30, "image", 0.8)],
)
def test_units_below_a_quantile_of_the_others_are_weak(
    connection: duckdb.DuckDBPyConnection, labels: int, modality: str, level: float
) -> None:
    # p99 of 1 to 41, so that the quantile at each level is one of them; dead and ubiquitous units have no say.
    counts = {feature: (30, float(feature)) for feature in range(1, 42)} | {100: (1, 0.5), 101: (1500, 99.0)}
    found = statuses(connection, counts, [40] * labels, modality)
    cut = 1 + 40 * level
    assert found == {
        **{str(feature): "weak" if feature < cut - 1e-9 else "kept" for feature in range(1, 42)},
        "100": "dead",
        "101": "ubiquitous",
    }
    assert list(found) == sorted(found)


@pytest.mark.parametrize(("modality", "level"), [("image", 0.75), ("text", 0.7)])
def test_levels_without_a_labelled_token(connection: duckdb.DuckDBPyConnection, modality: str, level: float) -> None:
    monkey = {feature: (feature, float(feature)) for feature in (38, 39, 40)}
    assert set(statuses(connection, monkey, [], modality).values()) == {"dead"}
    # Nothing can be active on 200 of 2000 tokens and on at most 2 % of them: the level shows on more tokens.
    query_text = "SELECT unnest(generate_series(0, 49999)) AS token"
    rows = connection.sql(f"SELECT 0 AS sample, token::INTEGER AS token, true AS is_content FROM ({query_text})")
    hold_query(connection, "tokens", rows.to_arrow_table())
    hold_query(connection, "sae_statistics", arrow_statistics([1, 2, 3, 4, 5], [600] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]))
    found = [row["status"] for row in query(connection, "sae_units_token").to_pylist()]
    assert found == ["weak" if 1 + place < 1 + 4 * level else "kept" for place in range(5)]


def test_every_active_feature_of_a_cls_set_is_kept(connection: duckdb.DuckDBPyConnection) -> None:
    bound(connection, [], samples=[(s, "cal", "text") for s in range(4)] + [(4, "test", "text")])
    hold_query(connection, "sae_statistics", arrow_statistics([2, 10], [1, 4], [1.0, 2.0]))
    rows = query(connection, "sae_units_cls").to_pylist()
    assert [(row["concept"], row["share_active"], row["status"]) for row in rows] == [
        ("10", 1.0, "kept"),
        ("2", 0.25, "kept"),
    ]


def test_sample_scores_are_those_above_0(connection: duckdb.DuckDBPyConnection) -> None:
    active = [(3, 0, 1, 2.0), (3, 0, 2, 1.0), (3, 1, 0, 8.0), (10, 0, 0, 5.0), (11, 0, 0, 7.0)]
    tokens = [(0, 0, True), (0, 1, True), (0, 2, True), (0, 3, False), (1, 0, True), (1, 1, True), (2, 0, True)]
    bound(connection, active, tokens=tokens, concepts=[("3", "ok"), ("10", "ok"), ("4", "ok")])
    drawn = connection.sql("SELECT * FROM (VALUES (0, 1), (1, 1), (2, 0)) AS t (sample, token)").to_arrow_table()
    hold_query(connection, "random_tokens", drawn)
    rows = query(connection, "sample_scores_sae_token", first="10", last="4").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("10", 0, "max", 5.0),
        ("10", 0, "mean", np.float32(5 / 3)),
        ("3", 0, "last", 1.0),  # token 3 is no content token
        ("3", 0, "max", 2.0),
        ("3", 0, "mean", 1.0),
        ("3", 0, "random", 2.0),
        ("3", 1, "max", 8.0),
        ("3", 1, "mean", 4.0),
    ]
    found = query(connection, "sample_scores_sae_token", first="3", last="3").to_pylist()
    assert {row["concept"] for row in found} == {"3"}


def test_sample_scores_of_cls_rows(connection: duckdb.DuckDBPyConnection) -> None:
    bound(connection, [(3, 1, -1, 2.0), (4, 0, -1, 1.0), (5, 0, -1, 1.0)], concepts=[("3", "ok"), ("4", "ok")])
    rows = query(connection, "sample_scores_sae_cls", first="3", last="4").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("3", 1, "cls", 2.0), ("4", 0, "cls", 1.0)]


def test_calibration_holds_labelled_cal_tokens_of_kept_units(connection: duckdb.DuckDBPyConnection) -> None:
    active = [(3, 0, 0, 1.0), (3, 0, 1, 2.0), (3, 1, 0, 3.0), (4, 0, 0, 4.0), (12, 0, 0, 5.0)]
    bound(connection, active, concepts=[("3", "ok"), ("12", "ok")])
    places = connection.sql("SELECT * FROM (VALUES ('a', 0, 0), ('b', 0, 0), ('b', 1, 5)) AS t (label, sample, token)")
    hold_query(connection, "calibration_tokens", places.to_arrow_table())
    rows = query(connection, "calibration_sae").sort_by("concept").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("12", 0, 0, 5.0, 5.0), ("3", 0, 0, 1.0, 1.0)]


def test_kept_units_are_the_concepts(connection: duckdb.DuckDBPyConnection) -> None:
    bound(connection, [], concepts=[("1", "ok"), ("2", "zero_vector"), ("3", "ok"), ("10", "ok")])
    units = connection.sql(
        "SELECT * FROM (VALUES ('1', 'kept'), ('2', 'kept'), ('3', 'weak'), ('10', 'kept')) AS u (concept, status)"
    )
    hold_query(connection, "sae_units", units.to_arrow_table())
    assert query(connection, "concepts_kept")["concept"].to_pylist() == ["1", "10"]


def test_chosen_activations_and_the_zeros_between(connection: duckdb.DuckDBPyConnection) -> None:
    active = [(3, 0, 1, 2.0), (3, 1, 0, 1.0), (4, 0, 0, 7.0), (5, 2, 0, 6.0), (5, 2, 1, 6.5)]
    selection = [("superactivator", "a", "3"), ("superactivator", "b", "3"), ("superactivator", "c", "5")]
    selection += [("max_token", "a", "4"), ("superactivator", "d", None)]
    bound(
        connection, active, selection=selection,
        samples=[(0, "cal", "text"), (1, "train", "text"), (2, "test", "text")],
        tokens=[(0, 0, True), (0, 1, True), (0, 2, False), (1, 0, True), (2, 0, True)],
    )  # fmt: skip
    rows = query(connection, "activations_chosen")
    hold_query(connection, "chosen_activations", rows)
    assert sorted(tuple(row.values()) for row in rows.to_pylist()) == [
        ("3", 0, 1, 2.0, 2.0), ("3", 1, 0, 1.0, 1.0), ("5", 2, 0, 6.0, 6.0), ("5", 2, 1, 6.5, 6.5)
    ]  # fmt: skip
    batch = connection.sql("SELECT * FROM (VALUES ('a', '3'), ('b', '3')) AS t (label, concept)").to_arrow_table()
    hold_query(connection, "chosen_labels", batch)
    filled = [tuple(row.values()) for row in query(connection, "activations_filled").to_pylist()]
    assert sorted(filled) == [("3", 0, 0, 0.0, 0.0), ("3", 0, 1, 2.0, 2.0), ("3", 2, 0, 0.0, 0.0)]


def test_ranges_hold_counted_rows() -> None:
    assert counted_batches(["a", "b", "c", "d"], [3, 2, 9, 1], 5) == [("a", "b"), ("c", "c"), ("d", "d")]
    assert counted_batches([1, 2, 3], [1, 1, 1], 100) == [(1, 3)]
    assert counted_batches([], [], 5) == []


# The whole pipeline against the oracles on the dense matrix


def wanted_tables(world: World, modality: str) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """Every table that eval publishes of a world."""
    dense = kept(world, modality)
    found = expected(dense) | (expected_tokens(dense) if world.unit == "token" else {})
    del found["random_tokens"]
    if not world.embeddings:
        found.pop("localization_scores", None)
    found["sample_scores"] = {key: row for key, row in found["sample_scores"].items() if row[0]}
    found["sae_units"] = units_of(world, modality)
    best = oracles.detection_best(dense, 20)
    found["detection"] = {key: row for key, row in found["detection"].items() if key[-1] == "test" or key[:3] in best}
    return found


WORLDS = {
    "text": (sparse_world(88, labels=4, width=3, density=0.5, samples=90), "text"),
    "image": (sparse_world(87, labels=3, width=2, density=0.3), "image"),
    "rare": (sparse_world(83, labels=5, density=0.1, samples=80), "image"),
    "one label": (sparse_world(84, labels=1), "text"),
    "unlabelled": (replace(sparse_world(85, labels=3), token_labels=set()), "text"),
    "cls": (sparse_world(86, unit="cls", labels=4), "image"),
    "nothing active": (replace(sparse_world(80, labels=2, samples=20), scores={}), "text"),
}


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("files", "batch_rows"), [(1, 10_000_000), (3, 40)])
def test_every_table_is_the_oracle_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: int, batch_rows: int
) -> None:
    world, modality = WORLDS[name]
    monkeypatch.setattr(chosen_module, "LABEL_ROWS", batch_rows)
    warehouse = publish_sae(tmp_path / "w", world, modality=modality, files=files)
    written = evaluate(warehouse, batch_rows=batch_rows, protocol=Protocol(replicates=20))
    wanted = wanted_tables(world, modality)
    assert {p.partition.table for p in warehouse.state().partitions.values() if p.derived} == wanted.keys()
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)
    assert written == {table: len(rows) for table, rows in wanted.items()}
    assert {row["method"] for row in rows_of(warehouse, "sae_units")} <= {"sae"}
    assert evaluate(warehouse, protocol=Protocol(replicates=20)) == {}
    assert stale(warehouse.state()) == []


def test_the_worlds_have_units_of_every_kind() -> None:
    found = {name: {row[-1] for row in units_of(*world).values()} for name, world in WORLDS.items()}
    assert found["text"] == found["image"] == {"dead", "ubiquitous", "weak", "kept"}
    assert found["unlabelled"] == {"dead"} and found["cls"] == {"kept"} and found["nothing active"] == set()
    for name in ("text", "image", "rare", "one label", "cls"):
        dense = kept(*WORLDS[name])
        chosen = [row for row in oracles.selection(dense).values() if row is not None]
        assert len(dense.concepts) > 0 and len(chosen) > 0
        assert any(value == 0 for value in dense.scores.values())
    assert any(cut is None for cut, _, _ in oracles.thresholds(kept(*WORLDS["image"])).values())
    assert len(kept(*WORLDS["cls"]).concepts) > 20
    weak = {status for name in WORLDS for _, _, status in oracles.thresholds(kept(*WORLDS[name])).values()}
    assert weak == {"ok", "no_cal_positives", "sample_labels_only"}


def test_layers_and_intervals_are_the_oracle_s(tmp_path: Path) -> None:
    world = sparse_world(88, labels=3)
    worlds = {layer: other_layer(world, layer) for layer in (2, 1, 5)}
    for layer, own in worlds.items():
        publish_sae(tmp_path / "w", own, layer=layer)
    warehouse = Warehouse(tmp_path / "w")
    evaluate(warehouse, protocol=Protocol(replicates=40))
    dense = {layer: kept(own) for layer, own in sorted(worlds.items())}
    wanted = expected_layers(dense)
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)
    for row in rows_of(warehouse, "summary"):
        judged = oracles.judged_best(dense) if row["layer"] is None else oracles.judged(dense[row["layer"]])
        found = oracles.matrices(judged, row["detector"])
        assert found is not None
        values = oracles.bootstrap(*found, 0, 40)
        interval = np.quantile(values, [0.025, 0.975])
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(interval, abs=1e-12)


# The ordinary path


def positive_world(unit: str) -> World:
    """Every feature is active everywhere and as strong as the others; one label is on every token."""
    world = sparse_world(91, labels=3, features=9, unit=unit, width=3, samples=40)
    rng = np.random.default_rng(1)
    content = [key for key, is_content in world.tokens.items() if is_content]
    scores = {key: np.float32(rng.integers(1, 8) * 1.5) for key in world.scores}
    cal = [key for key in world.scores if world.samples[key[1]] == "cal"]
    scores |= {key: np.float32(12) for key in cal if rng.random() < 0.3}
    everywhere = {(*key, "everywhere") for key in content}
    return replace(
        world,
        scores=scores,
        labels={**world.labels, "everywhere": True},
        token_labels=world.token_labels | everywhere,
    )


@pytest.mark.parametrize("unit", ["token", "cls"])
def test_where_nothing_is_0_the_tables_are_those_of_stored_activations(tmp_path: Path, unit: str) -> None:
    world = positive_world(unit)
    assert len(kept(world).concepts) == len(world.concepts) == 9
    sparse = publish_sae(tmp_path / "sparse", world)
    # Of separators the weights of localization are logits: a norm of 1 makes them the scores.
    stored = publish_world(
        tmp_path / "stored", replace(world, measure="signed_distance", norms=dict.fromkeys(world.concepts, 1.0))
    )
    protocol = Protocol(replicates=30)
    evaluate(sparse, protocol=protocol), evaluate(stored, protocol=protocol)
    compared = [*("sample_scores", "thresholds", "detection", "selection", "layer_selection", "summary")]
    if unit == "token":
        compared += ["localization_scores", "localization", "distributions", "separation", "superactivator_ratio"]
    for table in compared:
        known = set(rows_of(stored, table)[0]) & {"method", "run"}
        columns = "* EXCLUDE (" + ", ".join(["concept_set", *sorted(known)]) + ")"
        where = "score IS NOT NULL" if table == "sample_scores" else "true"  # samples without content tokens
        found, wanted = (rows_of(warehouse, table, columns, where) for warehouse in (sparse, stored))
        assert found == wanted and len(found) > 0, table


# Null, views, resume, stale


def test_shuffled_labels_leave_the_units_alone(tmp_path: Path) -> None:
    world = sparse_world(92, labels=3, most_tokens=4)
    warehouse = publish_sae(tmp_path / "w", world)
    with pytest.raises(MissingTable, match="superact eval detect"):
        evaluate_null(warehouse, shuffles=1)
    evaluate(warehouse, ["detect"])
    dense = kept(world)
    found = evaluate_null(warehouse, shuffles=2)
    assert found == {"null_summary": 2 * 2 * 5}
    samples = pa.table({"sample": list(world.samples), "split": list(world.samples.values())})
    for shuffle in range(2):
        moved = dict(zip(*(permuted(samples, 0, shuffle)[c].to_pylist() for c in ("sample", "target")), strict=True))
        content = {
            sample: [t for (s, t), is_content in sorted(world.tokens.items()) if s == sample and is_content]
            for sample in world.samples
        }
        labels = set()
        for sample, token, label in world.token_labels:
            here, there = content[sample], content[moved[sample]]
            if token in here and there:
                labels.add((moved[sample], there[here.index(token) * len(there) // len(here)], label))
        shuffled = replace(
            dense, token_labels=labels, sample_labels={(moved[sample], label) for sample, label in world.sample_labels}
        )
        wanted = {"null_summary": oracles.null_summary({1: shuffled})}
        assert_tables({"null_summary": rows_of(warehouse, "null_summary", where=f"shuffle = {shuffle}")}, wanted)


def test_superactivators_are_the_tokens_that_reach_a_threshold(tmp_path: Path) -> None:
    world, _ = WORLDS["text"]
    warehouse = publish_sae(tmp_path / "w", world)
    publish_world(tmp_path / "w", replace(world, measure="signed_distance", others={}), concept_set="other")
    evaluate(warehouse)
    dense = kept(world)
    wanted = {
        (label, sample, token, float(score), row[2], (sample, token, label) in world.token_labels)
        for (detector, label), row in oracles.selection(dense).items()
        if detector == "superactivator" and row is not None
        for (concept, sample, token), score in dense.scores.items()
        if concept == row[0] and score >= np.float32(row[2])
    }
    columns = "label, sample, token, score, threshold, in_concept"
    found = rows_of(warehouse, "superactivators", columns, "concept_set = 'sae'")
    assert {tuple(row.values()) for row in found} == wanted
    assert len(found) == len(wanted) > 0
    assert rows_of(warehouse, "superactivators", columns, "concept_set = 'other'") != []
    assert rows_of(warehouse, "scores", "count(*) AS n", "concept_set = 'sae'") == [{"n": 0}]


def test_what_is_encoded_anew_is_evaluated_anew(tmp_path: Path) -> None:
    world, _ = WORLDS["text"]
    warehouse = publish_sae(tmp_path / "w", world)
    evaluate(warehouse)
    derived = {p.partition for p in warehouse.state().partitions.values() if p.derived}
    other = replace(other_layer(world, 7), seed=0)
    publish_sae(tmp_path / "w", other, version=2)
    assert {p.partition for p in stale(warehouse.state())} == derived
    with pytest.raises(StaleInput, match="superact eval detect"):
        evaluate(warehouse, ["localize"])
    evaluate(warehouse)
    assert stale(warehouse.state()) == []
    wanted = wanted_tables(other, "text")
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)


@pytest.mark.parametrize("stages", [["detect"], ["localize"], ["distributions"], ["layers"]])
def test_stages_may_run_one_by_one(tmp_path: Path, stages: list[str]) -> None:
    world, _ = WORLDS["image"]
    warehouse = publish_sae(tmp_path / "w", world, modality="image")
    if stages != ["detect"]:
        with pytest.raises(MissingTable, match="superact eval detect"):
            evaluate(warehouse, stages)
        evaluate(warehouse, ["detect"])
    written = evaluate(warehouse, stages)
    wanted = {table: rows for table, rows in wanted_tables(world, "image").items() if table in written}
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)
    assert wanted.keys() == written.keys() != set()


def test_a_roll_up_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = WORLDS["text"]
    warehouse = publish_sae(tmp_path / "w", world, files=2)
    asked: list[str] = []

    def failing(connection: Any, name: str, **parameters: Any) -> Any:
        if name == "sample_scores_sae_token":
            if len(asked) == 2:
                raise KeyboardInterrupt
            asked.append(parameters["first"])
        return query(connection, name, **parameters)

    monkeypatch.setattr(detect_module, "query", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(warehouse, batch_rows=40)
    assert len(asked) == 2 and [p for p in warehouse.state().partitions.values() if p.derived] == []
    first, asked[:] = asked[0], []
    monkeypatch.setattr(detect_module, "query", query)
    evaluate(warehouse, batch_rows=40)
    wanted = wanted_tables(world, "text")
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)
    assert first == min(kept(world).concepts)


def test_labels_that_are_asked_for_leave_the_units_alone(tmp_path: Path) -> None:
    world, _ = WORLDS["text"]
    warehouse = publish_sae(tmp_path / "w", world)
    one, *_ = world.evaluated
    evaluate(warehouse, protocol=Protocol(labels=(one,)))
    wanted = wanted_tables(world, "text")
    assert {row["label"] for row in rows_of(warehouse, "selection")} == {one}
    assert_tables({"sae_units": rows_of(warehouse, "sae_units")}, {"sae_units": wanted["sae_units"]})
    written = evaluate(warehouse)
    assert "sae_units" not in written and "sample_scores" not in written
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)


def test_without_its_activations_a_set_is_named(tmp_path: Path) -> None:
    world, _ = WORLDS["text"]
    warehouse = publish_sae(tmp_path / "w", world)
    state = warehouse.state()
    warehouse.remove([p.partition for p in state.select("sae_activations")], "test")
    with pytest.raises(MissingTable, match=r"sae_activations .*superact sae encode"):
        evaluate(warehouse)
    publish_world(tmp_path / "w", replace(world, measure="cosine"), concept_set="avg")
    said: list[str] = []
    evaluate(warehouse, say=said.append)
    assert [text for text in said if "left out" in text] == [
        "d m 1 sae token is left out: it is unsupervised, and its sae_activations are gone"
    ]


def test_encoded_from_other_embeddings_is_refused(tmp_path: Path) -> None:
    world, _ = WORLDS["text"]
    warehouse = publish_sae(tmp_path / "w", world)
    state = warehouse.state()
    (published,) = state.select("sae_activations")
    keys = {name: SAE[name] for name, _ in published.partition.keys}
    with warehouse.run("test", replace=True) as run:
        part = run.partition("sae_activations", {**published.identity, "input:embeddings": "others"}, **keys)
        part.write(0, [arrow("sae_activations", active_rows(world))])
        run.publish()
    with pytest.raises(StaleInput, match=r"embeddings.*superact sae encode d m SAE --layer 1 --unit token --replace"):
        evaluate(warehouse)
