"""The views over a small published warehouse, rows in, rows out, and against scikit-learn."""

import json
import re
from dataclasses import replace

import numpy as np
import oracles
import pytest
from metrics_tables import other_layer, publish_world, random_world, write_table
from oracles import AGGREGATES, LEVELS, World
from sklearn.metrics import precision_recall_curve
from typer.testing import CliRunner

from superact.cli.main import app
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


@pytest.fixture(scope="module")
def random_session(tmp_path_factory):
    """Two layers of a random world, four clusters and labels without positives among them, and the worlds."""
    root = tmp_path_factory.mktemp("curves")
    base = replace(random_world(4, samples=40, labels=4, clusters=4, measure="signed_distance"), seed=0)
    test = set(base.split("test"))
    (lost, *_) = base.evaluated
    base = replace(base, sample_labels={(s, name) for s, name in base.sample_labels if name != lost or s not in test})
    worlds = {1: base, 3: other_layer(base, 5)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        for layer, world in worlds.items():
            warehouse = publish_world(root / "w", world, layer=layer, concept_set="kmeans")
        publish_world(root / "w", worlds[1], layer=1, concept_set="other")
        evaluate(warehouse)
        yield Session(warehouse), worlds, lost


def test_precision_recall_is_scikit_learn_s_curve(random_session):
    session, worlds, lost = random_session
    curves = 0
    for layer, world in worlds.items():
        rolled, test = oracles.sample_scores(world), world.split("test")
        for (detector, label), chosen in oracles.selection(world).items():
            keys = f"layer = {layer} AND concept_set = 'kmeans' AND detector = '{detector}' AND label = '{label}'"
            columns = "threshold, precision, recall, f1, n_detected"
            found = session.sql(f"SELECT {columns} FROM precision_recall WHERE {keys}")
            if chosen is None:
                assert found.is_empty()
                continue
            scores = [rolled[chosen[0], sample, AGGREGATES["token"][detector]] for sample in test]
            truth = np.array([(sample, label) in world.sample_labels for sample in test])
            # A sample without a score stands below all others, and no threshold of ours is that low.
            filled = np.array([-1000 if score is None else score for score in scores], dtype=np.float32)
            distinct = sorted({score for score in scores if score is not None}, reverse=True)
            assert found["threshold"].to_list() == [float(score) for score in distinct]
            assert found["n_detected"].to_list() == [int((filled >= threshold).sum()) for threshold in distinct]
            if label == lost:
                assert found.select("precision", "recall", "f1").unique().rows() == [(0.0, 0.0, 0.0)]
                continue
            precision, recall, thresholds = precision_recall_curve(truth, filled)
            kept = thresholds[::-1] > -1000
            np.testing.assert_allclose(found["precision"], precision[:-1][::-1][kept], rtol=0, atol=1e-12)
            np.testing.assert_allclose(found["recall"], recall[:-1][::-1][kept], rtol=0, atol=1e-12)
            both = found["precision"] + found["recall"]
            harmonic = 2 * found["precision"] * found["recall"] / both.replace(0.0, 1.0)
            np.testing.assert_allclose(found["f1"], harmonic, rtol=0, atol=1e-12)
            curves += 1
    assert curves > 10


def scans(node):
    """What every scan of files in a query plan says of itself."""
    if "Scanning Files" in node.get("extra_info", {}):
        yield node["extra_info"]
    for child in node.get("children", []):
        yield from scans(child)


def test_filters_of_precision_recall_reach_the_files(random_session):
    session, *_ = random_session
    keys = "layer = 3 AND concept_set = 'kmeans' AND unit = 'token' AND label = 'a' AND detector = 'max_token'"
    query = f"EXPLAIN (FORMAT json) SELECT * FROM precision_recall WHERE dataset = 'd' AND model = 'm' AND {keys}"
    plan = json.loads(session.connection.execute(query).fetchall()[0][1])
    found = [scan for node in plan for scan in scans(node)]
    by_layer = [scan for scan in found if "layer" in scan["Projections"]]
    assert [scan["Scanning Files"] for scan in by_layer] == ["1/3", "1/3"]
    (selection,) = [
        re.sub("[ ()]", "", "".join(scan["Filters"])) for scan in by_layer if "label" in scan["Projections"]
    ]
    assert "label='a'" in selection and "detector='max_token'" in selection


def test_delta_histogram_counts_the_labels_of_each_delta(random_session):
    session, worlds, _ = random_session
    best = oracles.layer_selection(worlds)
    wanted = {}
    choices = {("fixed", layer): oracles.selection(world) for layer, world in worlds.items()}
    for detector in AGGREGATES["token"]:
        for delta in LEVELS:
            for where, chosen in choices.items():
                own = [row[1] for (name, _), row in chosen.items() if name == detector and row]
                wanted[detector, *where, delta] = own.count(delta)
            own = [row[2] for (name, _), row in best.items() if name == detector]
            wanted[detector, "best", None, delta] = own.count(delta)
    rows = session.sql(
        "SELECT detector, layer_choice, layer, delta, n_labels FROM delta_histogram WHERE concept_set = 'kmeans'"
    ).rows()
    assert {row[:-1]: row[-1] for row in rows} == wanted
    assert len(rows) == len(wanted) == 5 * 3 * 12
    keys = session.sql("SELECT DISTINCT dataset, model, unit FROM delta_histogram").rows()
    assert keys == [("d", "m", "token")]


def test_floors_are_the_label_floors_weighted_by_their_positives(random_session):
    session, worlds, lost = random_session
    world, rows = worlds[1], session.sql("SELECT label, always_f1, coin_f1, n_positive FROM label_floors").rows()
    test, cal = world.split("test"), world.split("cal")
    assert {row[0] for row in rows} == set(world.evaluated) - {lost}
    for label, always, coin, n in rows:
        p, q = (sum((s, label) in world.sample_labels for s in split) / len(split) for split in (test, cal))
        assert n == p * len(test) and q > 0
        assert (always, coin) == pytest.approx((2 * p / (p + 1), 2 * p * q / (p + q)), abs=1e-12)
    total = sum(n for *_, n in rows)
    weighted = [sum(row[column] * row[3] for row in rows) / total for column in (1, 2)]
    ((*floors, n_labels, n_positive),) = session.sql(
        "SELECT always_f1, coin_f1, n_labels, n_positive FROM floors"
    ).rows()
    assert floors == pytest.approx(weighted, abs=1e-12) and (n_labels, n_positive) == (len(rows), total)


def test_stale_tables_are_named_through_the_views_that_read_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    warehouse = publish_world(tmp_path / "w", WORLD)
    evaluate(warehouse)
    with warehouse.run("test", replace=True) as run:
        write_table(run, "sample_labels", [{"sample": 0, "label": "red"}], 2, dataset="d")
        run.publish()
    said = {}
    for view in ("scores", "floors", "superactivators", "precision_recall", "delta_histogram"):
        shown = CliRunner().invoke(app, ["sql", f"FROM {view}", "--warehouse", str(warehouse.root)])
        assert shown.exit_code == 0
        said[view] = re.findall(r"of (\w+) older", shown.stderr)
    assert said == {
        "scores": [],
        "floors": [],
        "superactivators": ["selection"],
        "precision_recall": ["selection"],
        "delta_histogram": ["layer_selection", "selection"],
    }
