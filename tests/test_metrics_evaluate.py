"""`evaluate`: what it publishes, what it leaves alone, what it supersedes, and how it goes on after a kill."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import oracles
import pytest
from metrics_tables import (
    KEYS,
    assert_tables,
    expected,
    expected_layers,
    expected_tokens,
    other_layer,
    publish_world,
    random_world,
    records,
    write_table,
)

from superact.errors import BadInput, Damaged, MissingTable
from superact.metrics import detect as module
from superact.metrics import partition
from superact.metrics.evaluate import Protocol, evaluate
from superact.query import Session
from superact.store import Partition, Warehouse

WORLD = replace(random_world(41, samples=30, labels=4, density=0.3, width=3), seed=0)
DETECTION = ("sample_scores", "thresholds", "detection", "selection")
SUMMARIES = ("layer_selection", "summary")
ABOUT_TOKENS = ("localization", "distributions", "separation", "superactivator_ratio")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))


def rows(warehouse: Warehouse, table: str, where: str = "true") -> list[dict]:
    return Session(warehouse).sql(f"SELECT * FROM {table} WHERE {where} ORDER BY ALL").to_dicts()


def runs_of(warehouse: Warehouse) -> dict[tuple, str]:
    """Which run wrote each derived partition."""
    return {
        (key.table, *(value for name, value in key.keys if name in ("layer", "unit"))): published.run
        for key, published in warehouse.state().partitions.items()
        if published.derived
    }


def changed(before: dict, after: dict) -> set:
    return {key for key in after if before.get(key) != after[key]}


def wanted_tables(world: oracles.World) -> dict[str, dict]:
    """Every table that eval publishes of a world, by the oracles."""
    found = expected(world) | (expected_tokens(world) if world.unit == "token" else {})
    del found["random_tokens"]
    if not world.embeddings:
        found.pop("localization_scores", None)
    return found


def assert_published(warehouse: Warehouse, world: oracles.World) -> dict[str, dict]:
    """The warehouse holds the oracle's tables of the world, and no other derived ones."""
    wanted = wanted_tables(world)
    assert {p.partition.table for p in warehouse.state().partitions.values() if p.derived} == wanted.keys()
    assert_tables({table: rows(warehouse, table) for table in wanted}, wanted)
    return wanted


def change(warehouse: Warehouse, table: str, changed_rows: list[dict], **keys) -> None:
    """Publish other rows of an input, as `--replace` does."""
    with warehouse.run("test", replace=True) as run:
        write_table(run, table, changed_rows, version=2, **{**KEYS, **keys})
        run.publish()


@pytest.mark.parametrize(
    "world",
    [
        WORLD,
        replace(random_world(42, samples=30, labels=3, clusters=6, density=0.3), seed=0),
        replace(random_world(43, samples=30, labels=3, unit="cls", density=0.3, measure="signed_distance"), seed=0),
        replace(random_world(44, samples=30, labels=5, density=0.05, width=2), seed=0),
        replace(random_world(45, samples=30, labels=3, density=0.3, measure="signed_distance", width=4), seed=0),
    ],
    ids=["supervised", "clusters", "cls", "rare", "separators"],
)
def test_published_tables_are_the_oracle_s(tmp_path, world):
    warehouse = publish_world(tmp_path / "w", world, files=2)
    written = evaluate(warehouse)
    wanted = assert_published(warehouse, world)
    assert written == {table: len(found) for table, found in wanted.items()}
    carrying = [table for table in wanted if table not in ("sample_scores", "localization_scores")]
    stamps = {(row["run"], row["method"]) for table in carrying for row in rows(warehouse, table)}
    assert stamps == {(warehouse.state().documents[-1]["run"], "avg")}


def test_layers_are_chosen_among_all_of_a_set(tmp_path):
    worlds = {layer: other_layer(WORLD, layer) for layer in (3, 1, 12)}
    for layer, world in worlds.items():
        publish_world(tmp_path / "w", world, layer=layer)
    warehouse = Warehouse(tmp_path / "w")
    evaluate(warehouse)
    wanted = expected_layers({layer: worlds[layer] for layer in sorted(worlds)})
    assert_tables({table: rows(warehouse, table) for table in SUMMARIES}, wanted)
    assert len({row["layer"] for row in rows(warehouse, "layer_selection")} - {None}) > 1


def test_intervals_are_the_naive_bootstrap_s(tmp_path):
    warehouse = publish_world(tmp_path / "w", WORLD)
    evaluate(warehouse, protocol=Protocol(seed=0, replicates=40))
    chosen, samples = oracles.selection(WORLD), WORLD.split("test")
    assert len(rows(warehouse, "summary")) == 10  # the layer, and the best of this one layer
    for row in rows(warehouse, "summary"):
        cuts = {
            (detector, label, choice[0]): choice[2]
            for (detector, label), choice in chosen.items()
            if choice and detector == row["detector"]
        }
        truth, predicted = oracles.outcomes_of(WORLD, samples, cuts)
        values = oracles.bootstrap(truth, predicted, 0, 40)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12)


def two_units(root, layers=(1, 2)) -> Warehouse:
    """Layers of unit token, and one cls partition."""
    for layer in layers:
        publish_world(root, WORLD, layer=layer)
    cls = random_world(41, samples=30, labels=4, density=0.3, unit="cls")
    cls = replace(
        cls, samples=WORLD.samples, tokens=WORLD.tokens, labels=WORLD.labels, token_labels=WORLD.token_labels,
        sample_labels=WORLD.sample_labels,
    )  # fmt: skip
    return publish_world(root, cls, layer=1)


def of_layers(tables, *layers: int, unit: tuple[str, ...] = ("token",)) -> set[tuple]:
    """Keys as `runs_of` gives them: tables about tokens have no unit in their path."""
    return {(table, layer, *unit) for table in tables for layer in layers}


JUDGED = DETECTION[1:]
SUMMARY = {(table, "token") for table in SUMMARIES}
SUMMARY_CLS = {(table, "cls") for table in SUMMARIES}
DOWNSTREAM = of_layers([*ABOUT_TOKENS, "localization_scores"], 1, 2, unit=())
TOKEN_METRICS = of_layers(JUDGED, 1, 2) | DOWNSTREAM | SUMMARY
CLS_METRICS = of_layers(JUDGED, 1, unit=("cls",)) | SUMMARY_CLS


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Two layers of tokens and one of cls, evaluated."""
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        evaluate(two_units(folder / "w"))
    return folder / "w"


@pytest.fixture
def warehouse(tmp_path, evaluated) -> Warehouse:
    """A copy of it, to change."""
    return Warehouse(shutil.copytree(evaluated, tmp_path / "w"))


def test_everything_is_there_once(warehouse):
    scores = {("sample_scores", 1, "token"), ("sample_scores", 2, "token"), ("sample_scores", 1, "cls")}
    assert runs_of(warehouse).keys() == TOKEN_METRICS | CLS_METRICS | scores


def test_changed_token_labels_supersede_token_metrics_alone(warehouse):
    before = runs_of(warehouse)
    change(warehouse, "token_labels", [])
    evaluate(warehouse)
    assert changed(before, runs_of(warehouse)) == TOKEN_METRICS
    assert {row["status"] for row in rows(warehouse, "thresholds", "unit = 'token'")} <= {
        "sample_labels_only",
        "no_cal_positives",
    }
    assert rows(warehouse, "localization") == []  # no token label, no truth


def test_changed_activations_supersede_their_layer_and_the_summary(warehouse):
    before = runs_of(warehouse)
    other = replace(WORLD, scores={key: -value for key, value in WORLD.scores.items()})
    change(warehouse, "activations", records(other)["activations"], layer=2)
    evaluate(warehouse)
    own = of_layers(DETECTION, 2) | of_layers([*ABOUT_TOKENS, "localization_scores"], 2, unit=())
    assert changed(before, runs_of(warehouse)) == own | SUMMARY


def test_another_seed_supersedes_what_draws(warehouse):
    before = runs_of(warehouse)
    evaluate(warehouse, protocol=Protocol(seed=5))
    draws = {("sample_scores", layer, "token") for layer in (1, 2)} | {("summary", "cls")}
    alignments = {("localization_scores", layer) for layer in (1, 2)}  # which follow superactivator alone
    assert changed(before, runs_of(warehouse)) == (TOKEN_METRICS | draws) - alignments
    found = rows(warehouse, "sample_scores", "unit = 'token' AND layer = 1 AND aggregate = 'random'")
    wanted = oracles.sample_scores(replace(WORLD, seed=5))
    assert {(r["concept"], r["sample"], "random"): r["score"] for r in found} == {
        key: value for key, value in wanted.items() if key[2] == "random"
    }


def test_intervals_repeat_and_differ_by_seed(tmp_path):
    found: list[list[tuple[float, float]]] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 9)):
        warehouse = publish_world(tmp_path / name, replace(WORLD, unit="token"))
        evaluate(warehouse, protocol=Protocol(seed=seed))
        found.append([(row["ci_low"], row["ci_high"]) for row in rows(warehouse, "summary")])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_narrowing_by_layer_keeps_the_other_layers_in_the_summary(tmp_path):
    warehouse = two_units(tmp_path / "w", layers=(1, 2, 3))
    evaluate(warehouse, layer=2, unit="token")
    assert {row["layer"] for row in rows(warehouse, "summary", "layer_choice = 'fixed'")} == {2}
    evaluate(warehouse, layer=[1], unit="token")
    assert {row["layer"] for row in rows(warehouse, "summary", "layer_choice = 'fixed'")} == {1, 2}
    assert {row["layer"] for row in rows(warehouse, "detection")} == {1, 2}
    evaluate(warehouse)
    assert {(row["layer"], row["unit"]) for row in rows(warehouse, "summary")} == {
        (1, "token"), (2, "token"), (3, "token"), (None, "token"), (1, "cls"), (None, "cls"),
    }  # fmt: skip


def test_a_narrowed_call_brings_stale_layers_of_the_summary_up_to_date(warehouse):
    change(warehouse, "token_labels", [])
    evaluate(warehouse, layer=1, unit="token")
    assert {row["status"] for row in rows(warehouse, "thresholds", "unit = 'token' AND layer = 2")} <= {
        "sample_labels_only",
        "no_cal_positives",
    }


def test_a_concept_that_was_not_learned_gives_a_null_selection(tmp_path):
    label = WORLD.evaluated[0]
    scores = {key: value for key, value in WORLD.scores.items() if key[0] != label}
    world = replace(WORLD, concepts={**WORLD.concepts, label: "no_train_positives"}, scores=scores)
    warehouse = publish_world(tmp_path / "w", world)
    evaluate(warehouse)
    chosen = rows(warehouse, "selection", f"label = '{label}'")
    assert len(chosen) == 5
    assert {(r["concept"], r["delta"], r["threshold"], r["f1_cal"]) for r in chosen} == {(None, None, None, None)}
    assert rows(warehouse, "thresholds", f"label = '{label}'") == []


@pytest.mark.parametrize("missing", ["cal", "test", "train", "all concepts"])
def test_datasets_that_lack_something(tmp_path, missing):
    world = replace(WORLD, samples={s: "train" if split == missing else split for s, split in WORLD.samples.items()})
    if missing == "all concepts":
        world = replace(world, concepts=dict.fromkeys(world.concepts, "no_train_positives"), scores={})
    warehouse = publish_world(tmp_path / "w", world)
    evaluate(warehouse)
    assert_published(warehouse, world)
    if missing != "train":
        assert {(r["f1"], r["ci_low"], r["ci_high"]) for r in rows(warehouse, "summary")} == {(None, None, None)}
    assert evaluate(warehouse) == {}


def test_a_killed_run_goes_on_whatever_the_batch_size(tmp_path, monkeypatch):
    warehouse = publish_world(tmp_path / "w", WORLD)
    calls = []

    def killed(connection, name, **parameters):
        calls.append(name)
        if calls.count("sample_scores_token") == 3:
            raise KeyboardInterrupt
        return partition.query(connection, name, **parameters)

    with monkeypatch.context() as patch:
        patch.setattr(module, "query", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(warehouse, batch_rows=1)
    assert warehouse.state().select("sample_scores") == []
    evaluate(warehouse)  # all concepts that are left in one batch
    assert_published(warehouse, WORLD)


def test_metric_rows_are_cut_into_files(tmp_path, monkeypatch):
    monkeypatch.setattr(partition, "PIECE_ROWS", 7)
    warehouse = publish_world(tmp_path / "w", WORLD)
    evaluate(warehouse)
    wanted = assert_published(warehouse, WORLD)
    files = warehouse.state().get("thresholds", **KEYS).files
    assert [file.rows for file in files] == [7] * (len(wanted["thresholds"]) // 7) + [len(wanted["thresholds"]) % 7]


def test_missing_inputs_are_named(tmp_path):
    warehouse = publish_world(tmp_path / "w", WORLD)
    with pytest.raises(BadInput, match=r"no layer 9\. The nearest: 1\."):
        evaluate(warehouse, layer=9)
    warehouse.remove([Partition.of("token_labels", dataset="d", model="m")], "test")
    with pytest.raises(MissingTable, match="token_labels"):
        evaluate(warehouse)


@pytest.mark.parametrize("table", ["activations", "concepts", "concept_sets", "samples", "sample_labels", "tokens"])
def test_a_damaged_input_is_refused(tmp_path, table):
    warehouse = publish_world(tmp_path / "w", WORLD)
    path = Path(warehouse.paths(table)[0])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=table):
        evaluate(warehouse)
    assert warehouse.state().select("summary") == []
