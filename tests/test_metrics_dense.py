"""Unsupervised sets scored from their embeddings: every table against the oracles, on numbers whose scores are exact."""

from dataclasses import replace

import numpy as np
import oracles
import oracles_tokens
import pytest
from metrics_tables import KEYS, assert_tables, expected, expected_tokens, random_world, records, write_table
from oracles import World

from superact.errors import NonFinite
from superact.metrics import dense, embeddings
from superact.metrics.evaluate import Protocol, evaluate
from superact.query import Session
from superact.store import Warehouse

ROWS = [(3, 4), (4, 3), (0, 5), (6, 8), (5, 12), (1, 0), (0, 2)]
"""Embeddings of whole lengths: dividing by them rounds once, as it does in the oracle."""
VECTORS = {"cosine": [(1, 0), (0, 2), (4, 0), (0, 8)], "signed_distance": [(1, 0), (0, 2), (3, 4), (4, 3), (8, 6)]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))


def clustered(seed: int, unit: str, measure: str, clusters: int) -> tuple[World, list[dict]]:
    """A world whose scores are those of its embeddings, and its rows of table concepts."""
    world = random_world(
        seed, samples=40, most_tokens=5, labels=3, clusters=clusters, unit=unit, measure=measure, width=2
    )
    rng = np.random.default_rng(seed)
    vectors = {name: VECTORS[measure][rng.integers(len(VECTORS[measure]))] for name in world.concepts}
    biases = {name: float(rng.integers(0, 4)) for name in world.concepts}
    rows = {key: ROWS[rng.integers(len(ROWS))] for key in sorted(world.embeddings)}
    scores = {}
    for name, vector in vectors.items():
        for key, row in rows.items():
            dot, norm, length = np.dot(vector, row), np.hypot(*vector), np.hypot(*row)
            exact = dot / norm / length if measure == "cosine" else (dot + biases[name]) / norm
            scores[name, *key] = np.float32(exact)
    world = replace(
        world, scores=scores, mean=np.zeros(2, dtype=np.float32), rms=1.0, seed=0,
        embeddings={key: np.array(row, dtype=np.float32) for key, row in rows.items()},
        norms={name: float(np.hypot(*vector)) for name, vector in vectors.items()},
    )  # fmt: skip
    concepts = [
        {**row, "method": "kmeans", "vector": list(map(float, vectors[row["concept"]])), "bias": biases[row["concept"]]}
        for row in records(world)["concepts"]
    ]
    return world, concepts


def publish(root, world: World, concepts: list[dict]) -> Warehouse:
    """The world without activations."""
    keys = {**KEYS, "concept_set": "kmeans", "unit": world.unit}
    warehouse = Warehouse(root)
    with warehouse.run("test") as run:
        for table, rows in {**records(world), "concepts": concepts}.items():
            if table != "activations":
                write_table(run, table, rows, **keys)
        facts = {"method": "kmeans", "supervised": False, "score": world.measure}
        write_table(run, "concept_sets", [facts], **keys)
        run.publish()
    return warehouse


def rows_of(warehouse: Warehouse, table: str) -> list[dict]:
    return Session(warehouse).sql(f"SELECT * FROM {table}").to_dicts()


@pytest.mark.parametrize("unit", ["token", "cls"])
@pytest.mark.parametrize("measure", ["cosine", "signed_distance"])
@pytest.mark.parametrize(("clusters", "block"), [(7, 1 << 20), (24, 60)])
def test_every_table_equals_the_oracle(tmp_path, monkeypatch, unit, measure, clusters, block):
    world, concepts = clustered(61, unit, measure, clusters)
    monkeypatch.setattr(embeddings, "BLOCK_BYTES", block)
    monkeypatch.setattr(dense, "FILE_ROWS", 30 * block)
    monkeypatch.setattr(dense, "CALIBRATION_ROWS", 10 * block)
    warehouse = publish(tmp_path / "w", world, concepts)
    evaluate(warehouse)
    wanted = expected(world) | (expected_tokens(world) if unit == "token" else {})
    del wanted["random_tokens"]
    best = oracles.detection_best(world, 20)
    wanted["detection"] = {key: row for key, row in wanted["detection"].items() if key[-1] == "test" or key[:3] in best}
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)
    assert_activations(rows_of(warehouse, "activations"), world)
    evaluate(warehouse, protocol=Protocol(all_pairs=True))
    wanted["detection"] = expected(world)["detection"]
    assert_tables({"detection": rows_of(warehouse, "detection")}, {"detection": wanted["detection"]})


def assert_activations(rows: list[dict], world: World) -> None:
    """Those of every concept that some label chose, and of no other."""
    chosen = {row[0] for row in oracles.selection(world).values() if row is not None}
    own = {(row["concept"], row["sample"], row["token"]): row for row in rows}
    assert own.keys() == {key for key in world.scores if key[0] in chosen}
    assert len(own) == len(rows) > 0
    for key, row in own.items():
        assert row[world.measure] == world.scores[key]


def test_a_label_that_nothing_was_chosen_for_has_no_concept(tmp_path):
    world, concepts = clustered(62, "token", "cosine", 3)
    label = world.evaluated[0]
    carried = {row for row in world.sample_labels if row[1] != label or world.samples[row[0]] != "cal"}
    world = replace(world, sample_labels=carried)
    warehouse = publish(tmp_path / "w", world, concepts)
    evaluate(warehouse)
    assert oracles_tokens.described(world)[label] == (None, None)
    wanted = expected_tokens(world)
    assert_tables({table: rows_of(warehouse, table) for table in wanted}, wanted)
    (row,) = (row for row in rows_of(warehouse, "separation") if row["label"] == label)
    assert {name for name, value in row.items() if value is not None} == {
        *("dataset", "model", "layer", "concept_set", "method", "label", "run")
    }


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["embedding", "vector", "bias"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, where, value):
    world, concepts = clustered(63, "token", "signed_distance", 3)
    sample, token = next(key for key, content in sorted(world.tokens.items()) if content and key[0] > 5)
    if where == "embedding":
        world.embeddings[sample, token] = np.array([value, 1], dtype=np.float32)
    else:
        concepts[1][where] = [float(value), 1.0] if where == "vector" else float(value)
    warehouse = publish(tmp_path / "w", world, concepts)
    with pytest.raises(NonFinite, match=f"sample {sample}" if where == "embedding" else "score"):
        evaluate(warehouse)
    assert [p for p in warehouse.state().partitions.values() if p.derived] == []
