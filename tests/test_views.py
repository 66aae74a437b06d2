"""The views scores and superactivators over a small published warehouse, rows in, rows out."""

import re
from dataclasses import replace

import numpy as np
import oracles
import pytest
from metrics_tables import publish_world, random_world
from oracles import World

from superact.metrics.evaluate import evaluate
from superact.query import Session
from superact.query.session import VIEWS, sql_file

# Two concepts, one of them named like the other in capitals; sample 1 has a special token that carries the label.
WORLD = World(
    samples={0: "cal", 1: "cal", 2: "test"},
    tokens={(0, 0): True, (0, 1): True, (1, 0): False, (1, 1): True, (2, 0): True},
    labels={"red": True, "Red": True},
    sample_labels={(0, "red"), (2, "red")},
    token_labels={(0, 0, "red"), (1, 0, "red"), (1, 1, "Red")},
    concepts={"red": "ok", "Red": "ok"},
    scores={
        ("red", 0, 0): np.float32(0.5), ("red", 0, 1): np.float32(0.25), ("red", 1, 1): np.float32(0.125),
        ("red", 2, 0): np.float32(0.75), ("Red", 0, 0): np.float32(-1), ("Red", 0, 1): np.float32(-1),
        ("Red", 1, 1): np.float32(1), ("Red", 2, 0): np.float32(0),
    },
)  # fmt: skip
CLS = replace(
    WORLD,
    unit="cls",
    scores={(c, s, -1): np.float32(s) for c in ("red", "Red") for s in range(3)},
    measure="signed_distance",
)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    root = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        publish_world(root / "w", WORLD)
        publish_world(root / "w", WORLD, layer=2)
        warehouse = publish_world(root / "w", CLS)
        evaluate(warehouse)
        yield Session(warehouse)


def test_scores_of_tokens(session):
    columns = "concept, sample, token, split, score, in_concept"
    found = session.sql(f"SELECT {columns} FROM scores WHERE unit = 'token' AND layer = 1 ORDER BY ALL").rows()
    assert found == [
        ("Red", 0, 0, "cal", -1.0, False),
        ("Red", 0, 1, "cal", -1.0, False),
        ("Red", 1, 1, "cal", 1.0, True),
        ("Red", 2, 0, "test", 0.0, False),
        ("red", 0, 0, "cal", 0.5, True),
        ("red", 0, 1, "cal", 0.25, False),
        ("red", 1, 1, "cal", 0.125, False),
        ("red", 2, 0, "test", 0.75, False),  # the sample carries the label, its token does not
    ]


def test_scores_of_cls_are_the_method_s_own_and_ask_sample_labels(session):
    columns = "concept, sample, token, split, score, signed_distance, in_concept"
    found = session.sql(f"SELECT {columns} FROM scores WHERE unit = 'cls' AND concept = 'red' ORDER BY ALL").rows()
    assert found == [
        ("red", 0, -1, "cal", 0.0, 0.0, True),
        ("red", 1, -1, "cal", 1.0, 1.0, False),
        ("red", 2, -1, "test", 2.0, 2.0, True),
    ]


def test_superactivators_reach_the_selected_threshold(session):
    columns = "label, sample, token, split, score, threshold, in_concept"
    found = session.sql(f"SELECT {columns} FROM superactivators WHERE layer = 1 ORDER BY ALL").rows()
    # red: the pool is token (0, 0) alone, so the threshold is .5 at every delta; Red: no cal sample carries it, no selection.
    assert found == [("red", 0, 0, "cal", 0.5, 0.5, True), ("red", 2, 0, "test", 0.75, 0.5, False)]
    assert session.sql("SELECT DISTINCT layer FROM superactivators ORDER BY 1").rows() == [(1,), (2,)]


@pytest.mark.parametrize("view", VIEWS)
def test_the_declared_grain_is_unique(session, view):
    grain = re.search(r"^-- grain: (.+)$", sql_file("superact.query.views", view), re.MULTILINE)[1]
    counts = f"SELECT count(*), count(DISTINCT ({grain})) FROM {view}"
    ((rows, distinct),) = session.sql(counts).rows()
    assert rows == distinct > 0


def test_joins_keep_every_activation_once(session):
    assert session.sql("SELECT count(*) FROM scores").rows() == session.sql("SELECT count(*) FROM activations").rows()


def test_views_are_typed_and_empty_in_a_warehouse_without_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    session = Session(publish_world(tmp_path / "w", WORLD))
    kinds = dict(session.sql("DESCRIBE superactivators").select("column_name", "column_type").rows())
    assert kinds["threshold"] == "DOUBLE" and kinds["layer"] == "INTEGER" and kinds["in_concept"] == "BOOLEAN"
    assert session.sql("SELECT * FROM superactivators").rows() == []
    assert len(session.sql("SELECT * FROM scores")) == len(WORLD.scores)


def test_superactivators_of_clusters_equal_the_oracle(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world = replace(random_world(51, samples=30, labels=3, clusters=4, density=0.3, measure="signed_distance"), seed=0)
    warehouse = publish_world(tmp_path / "w", world)
    evaluate(warehouse)
    wanted = {
        (label, sample, token, (sample, token, label) in world.token_labels)
        for (detector, label), row in oracles.selection(world).items()
        if detector == "superactivator" and row is not None
        for (concept, sample, token), score in world.scores.items()
        if concept == row[0] and score >= np.float32(row[2])
    }
    found = Session(warehouse).sql("SELECT label, sample, token, in_concept FROM superactivators").rows()
    assert set(found) == wanted
    assert len(found) == len(wanted) > 0
