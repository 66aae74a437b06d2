"""The tables about tokens (localization, distributions, separation, superactivator_ratio): against the oracles, and by hand."""

from dataclasses import replace

import numpy as np
import oracles_tokens
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from metrics_tables import assert_tables, expected_tokens, random_world, run_tokens
from oracles import LEVELS, World

from superact.metrics import chosen, embeddings
from superact.metrics.partition import evaluation_connection, hold, hold_query, query

WORLDS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "samples": st.integers(0, 24),
        "most_tokens": st.integers(0, 5),
        "labels": st.integers(1, 3),
        "clusters": st.sampled_from([0, 0, 3]),
        "density": st.sampled_from([0.0, 0.1, 0.4, 0.7, 1.0]),
        "grid": st.sampled_from([0, 1, 4, 1000]),
        "measure": st.sampled_from(["cosine", "signed_distance"]),
        "width": st.integers(0, 3),
    }
)
RICH = {"samples": 30, "most_tokens": 5, "labels": 4, "density": 0.4, "width": 2}


@pytest.fixture(scope="module")
def connection():
    with evaluation_connection() as connection:
        yield connection


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=WORLDS, negative=st.booleans())
@example(shape={"seed": 1, **RICH}, negative=False)
@example(shape={"seed": 2, **RICH, "clusters": 4, "grid": 1, "measure": "signed_distance"}, negative=True)
@example(shape={"seed": 3, **RICH, "width": 1, "grid": 1000, "measure": "signed_distance"}, negative=False)
@example(shape={"seed": 4, **RICH, "density": 1.0, "grid": 1}, negative=True)
def test_every_table_equals_the_oracle(connection, shape, negative):
    world = random_world(**shape)
    if negative:
        world = replace(world, scores={key: -score for key, score in world.scores.items()})
    assert_tables(run_tokens(connection, world), expected_tokens(world))


def lacking(what: str) -> World:
    """A world of four labels and 30 samples that lacks something."""
    world = random_world(5, **RICH)
    splits = {"cal": "cal", "test": "test", "everything": "train"}
    if what in splits:  # samples of special tokens alone: padding
        gone = {s for s, split in world.samples.items() if split == splits[what] or what == "everything"}
        tokens = {key: content and key[0] not in gone for key, content in world.tokens.items()}
        scores = {key: score for key, score in world.scores.items() if key[1] not in gone}
        vectors = {key: vector for key, vector in world.embeddings.items() if key[0] not in gone}
        return replace(world, tokens=tokens, scores=scores, embeddings=vectors)
    label = world.evaluated[0]
    others = {row for row in world.token_labels if row[2] != label}
    carried = {row for row in world.sample_labels if row[1] != label}
    if what == "tokens without the label":  # single class: every token and sample carries it
        every = {(*key, label) for key in world.tokens}
        return replace(world, token_labels=others | every, sample_labels=carried | {(s, label) for s in world.samples})
    if what == "samples with the label":
        return replace(world, token_labels=others, sample_labels=carried)
    if what == "token labels":
        return replace(world, token_labels=set())
    if what == "test samples with the label":
        own = {row for row in world.sample_labels if world.samples[row[0]] != "test"}
        inside = {row for row in world.token_labels if world.samples[row[0]] != "test"}
        return replace(world, token_labels=inside, sample_labels=own)
    assert what == "embeddings"
    return replace(world, embeddings={})


@pytest.mark.parametrize(
    "what",
    [
        *("cal", "test", "everything", "tokens without the label", "samples with the label", "token labels"),
        *("test samples with the label", "embeddings"),
    ],
)
def test_worlds_that_lack_something(connection, what):
    world = lacking(what)
    found = run_tokens(connection, world)
    assert_tables(found, expected_tokens(world))
    localizers = {row["localizer"] for row in found["localization"]}
    if what in ("cal", "everything", "token labels"):
        assert localizers == set()
    else:
        assert ("superactivator_local" in localizers) == (what != "embeddings")
    assert len(found["separation"]) == len(world.evaluated)


@pytest.mark.parametrize(("files", "labels_each", "clusters"), [(1, 1, 0), (7, 2, 0), (3, 2, 3), (2, 3, 2)])
def test_small_blocks_and_batches_change_nothing(connection, monkeypatch, files, labels_each, clusters):
    """Blocks of five rows, batches of some labels, several of which share a concept where there are clusters."""
    world = random_world(6, **{**RICH, "most_tokens": 9, "labels": 7, "clusters": clusters})
    monkeypatch.setattr(embeddings, "BLOCK_BYTES", 2 * 8 * 5)
    monkeypatch.setattr(chosen, "LABEL_ROWS", labels_each * sum(world.tokens.values()))
    assert_tables(run_tokens(connection, world, files=files), expected_tokens(world))


# Localization by hand


def world_by_hand() -> World:
    """Threshold 4 at every delta: sample 0 (cal) and 2 (test) are detected, sample 1 (cal) is not."""
    scores = {(0, 0): 4, (0, 1): 1, (1, 0): 0, (1, 1): 2, (2, 0): 3, (2, 1): 5}
    xhat = {(0, 0): (1, 0), (0, 1): (0, 1), (1, 0): (1, 0), (1, 1): (1, 0), (2, 0): (1, 0), (2, 1): (1, 1)}
    return World(
        samples={0: "cal", 1: "cal", 2: "test"},
        tokens=dict.fromkeys(scores, True),
        labels={"x": True},
        sample_labels={(0, "x"), (2, "x")},
        token_labels={(0, 0, "x"), (2, 1, "x")},
        concepts={"x": "ok"},
        scores={("x", *key): np.float32(score) for key, score in scores.items()},
        embeddings={key: np.array(row, dtype=np.float32) * 2 + 1 for key, row in xhat.items()},
        mean=np.ones(2, dtype=np.float32),
        rms=2.0,
    )


def localized(found, localizer, split):
    rows = [row for row in found["localization"] if (row["localizer"], row["split"]) == (localizer, split)]
    return sorted((row["quantile"], row["tp"], row["fp"], row["fn"], row["tn"]) for row in rows)


def test_localization_by_hand(connection):
    found = run_tokens(connection, world_by_hand())
    # concept_vector: one threshold, so delta .02, whose level is .98, is chosen; undetected samples are counted.
    assert localized(found, "concept_vector", "cal") == [(level, 1, 0, 0, 3) for level in sorted(LEVELS.values())]
    assert localized(found, "concept_vector", "test") == [(0.98, 1, 0, 0, 1)]
    # u = (1, 0); cal cosines 1 and 0, test cosines 1 and .707: the wrong test token is the most aligned.
    assert localized(found, "superactivator_global", "cal") == [(q, 1, 0, 0, 3) for q in sorted(LEVELS)]
    assert localized(found, "superactivator_global", "test") == [(0.02, 0, 1, 1, 0)]
    # From the sample's own superactivator, token 1: cosines .707 and 1.
    assert localized(found, "superactivator_local", "test") == [(0.02, 1, 0, 0, 1)]
    assert localized(found, "always", "cal") == [(0.0, 1, 3, 0, 0)]
    assert localized(found, "never", "test") == [(1.0, 0, 0, 1, 1)]
    (row,) = (r for r in found["localization"] if r["localizer"] == "superactivator_global" and r["split"] == "test")
    assert (row["concept"], row["delta"], row["f1"], row["accuracy"], row["iou"]) == ("x", 0.02, 0.0, 0.0, 0.0)
    (row,) = (r for r in found["localization"] if r["localizer"] == "always" and r["split"] == "cal")
    assert (row["concept"], row["delta"]) == (None, None)
    assert (row["precision"], row["recall"], row["f1"], row["accuracy"], row["iou"]) == (0.25, 1.0, 0.4, 0.25, 0.25)


def test_alignment_by_hand(connection):
    found = {(r["sample"], r["token"]): r for r in run_tokens(connection, world_by_hand())["localization_scores"]}
    root = float(np.float32(0.5**0.5))
    assert {key: row["global_cosine"] for key, row in found.items()} == {
        (0, 0): 1.0, (0, 1): 0.0, (2, 0): 1.0, (2, 1): root
    }  # fmt: skip
    assert {key: row["local_cosine"] for key, row in found.items()} == {
        (0, 0): 1.0, (0, 1): 0.0, (2, 0): root, (2, 1): 1.0
    }  # fmt: skip


@pytest.mark.parametrize(("measure", "scale"), [("cosine", 1.0), ("signed_distance", 3.0)])
def test_superactivators_are_weighed_by_the_softmax_of_raw_logits(connection, measure, scale):
    """Two superactivators on cal, scores 1 and 2 and at right angles: u = (1, e^scale), whatever the vector's norm is."""
    one = World(
        samples={0: "cal", 1: "test"},
        tokens={(0, 0): True, (0, 1): True, (1, 0): True},
        labels={"x": True},
        sample_labels={(0, "x")},
        token_labels={(0, 0, "x"), (0, 1, "x")},
        concepts={"x": "ok"},
        scores={("x", 0, 0): np.float32(1), ("x", 0, 1): np.float32(2), ("x", 1, 0): np.float32(-9)},
        measure=measure,
        norms={"x": 3.0},
        embeddings={key: np.array(row, dtype=np.float32) for key, row in {(0, 0): (5, 0), (0, 1): (0, 5)}.items()}
        | {(1, 0): np.array((1, 1), dtype=np.float32)},
        mean=np.zeros(2, dtype=np.float32),
    )
    run_tokens(connection, one)
    # The selected threshold, 1.98, leaves one of the two.
    connection.execute("UPDATE selection SET threshold = 1 WHERE detector = 'superactivator'")
    hold_query(connection, "localization_labels", query(connection, "localization_labels", measure=measure))
    rows = query(connection, "localization_weights", first=0, last=1, measure=measure).to_pylist()
    found = {(row["sample"], row["token"]): (row["global_weight"], row["local_weight"]) for row in rows}
    assert found == {
        (0, 0): pytest.approx((np.exp(-scale), np.exp(-scale)), abs=1e-15),
        (0, 1): pytest.approx((1.0, 1.0)),
    }


def test_random_floor_is_drawn_by_splitmix(connection):
    world = replace(random_world(8, **{**RICH, "labels": 1}), seed=2**63 - 1)
    found = run_tokens(connection, world)
    (label,) = oracles_tokens.localized(world)
    inside = oracles_tokens.labelled(world, label)
    cal = oracles_tokens.content(world, "cal")
    rate = sum(key in inside for key in cal) / len(cal)
    for split in ("cal", "test"):
        keys = oracles_tokens.content(world, split)
        drawn = {key for key in keys if oracles_tokens.drawn(world, key) / 2**64 < rate}
        assert 0 < len(drawn) < len(keys)
        tp = len(drawn & inside)
        missed = len(inside.intersection(keys)) - tp
        row = (1.0 - rate, tp, len(drawn) - tp, missed, len(keys) - len(drawn) - missed)
        assert localized(found, "random", split) == [row]


def test_ties_go_to_the_smallest_delta_and_the_smallest_q(connection):
    """Counts made up: F1 ties between two rows of the grid; the better one on test must not be chosen."""
    counts = {"label": [], "localizer": [], "split": [], "quantile": [], "tp": [], "fp": [], "positives": [], "n": []}
    for localizer in ("concept_vector", "superactivator_local"):
        for quantile, tp, test in ((0.9, 2, 0), (0.5, 2, 1), (0.2, 1, 4)):
            for split, own in (("cal", tp), ("test", test)):
                row = {"label": "x", "localizer": localizer, "split": split, "quantile": quantile, "tp": own}
                for name, value in {**row, "fp": 0, "positives": 4, "n": 9}.items():
                    counts[name].append(value)
    run_tokens(connection, world_by_hand())
    hold_query(connection, "localization_counts", pa.table(counts))
    rows = query(connection, "localization").to_pylist()
    own = {row["localizer"]: (row["quantile"], row["tp"]) for row in rows if row["split"] == "test"}
    # Of delta the smallest, whose level is the largest.
    assert (own["concept_vector"], own["superactivator_local"]) == ((0.9, 0), (0.5, 1))
    assert sum(row["split"] == "cal" for row in rows) == 2 * 3 + 3  # and the floors


# Distributions and separation by hand


def described(connection, inside, outside, within=(), threshold=None):
    """Rows of distributions and separation of test scores by population, a sample a population."""
    rows = [(0, score, True, True) for score in inside]
    rows += [(1, score, False, False) for score in outside] + [(0, score, False, True) for score in within]
    scores = {
        "label": ["x"] * len(rows),
        "sample": [row[0] for row in rows],
        "token": list(range(len(rows))),
        "split": ["test"] * len(rows),
        "score": np.array([row[1] for row in rows], dtype=np.float32),
        "in_concept": np.array([row[2] for row in rows], dtype=bool),
        "carries": np.array([row[3] for row in rows], dtype=bool),
    }
    hold_query(connection, "label_scores", pa.table(scores))
    schema = pa.schema([(name, pa.string()) for name in ("label", "concept")])
    schema = schema.append(pa.field("delta", pa.float64())).append(pa.field("threshold", pa.float64()))
    choice = {"label": "x", "concept": "x", "delta": None if threshold is None else 0.5, "threshold": threshold}
    hold_query(connection, "chosen_labels", pa.Table.from_pylist([choice], schema=schema))
    hold(connection, "samples", [pa.table({"sample": [0, 1, 2], "split": ["test"] * 3, "modality": ["text"] * 3})])
    hold(connection, "sample_labels", [pa.table({"sample": [0, 2], "label": ["x", "x"]})])
    (separation,) = query(connection, "separation").to_pylist()
    return query(connection, "distributions").to_pylist(), separation


def test_separation_by_hand(connection):
    bins, row = described(connection, [1, 2], [0, 2], threshold=2)
    assert row == {
        "label": "x",
        "concept": "x",
        "delta": 0.5,
        "overlap": 0.5,  # bins 50 and 99 against 0 and 99
        "auc": 0.625,  # 1 > 0, 2 > 0, and 2 = 2
        "cohens_d": pytest.approx(0.5 / 1.25**0.5, abs=1e-12),
        "tail_mass": 0.5,
        "tail_coverage": 0.5,  # sample 2 carries the label and has no token
        "tail_precision": 0.5,
        "n_in": 2,
        "n_out": 2,
    }
    counted = [(b["population"], b["bin"], b["lo"], b["hi"], b["n"], b["mass"]) for b in bins if b["n"]]
    assert counted == [
        ("in_concept", 50, 1.0, 1.02, 1, 0.5),
        ("in_concept", 99, 1.98, 2.0, 1, 0.5),
        ("out_of_concept", 0, 0.0, 0.02, 1, 0.5),
        ("out_of_concept", 99, 1.98, 2.0, 1, 0.5),
    ]
    assert len(bins) == 300


@pytest.mark.parametrize(
    ("inside", "outside", "within", "wanted"),
    [
        # overlap, auc, cohens_d, tail_mass, tail_coverage, tail_precision; the threshold is 2
        ([], [], [], (None, None, None, 0.0, 0.0, 0.0)),
        ([3], [], [], (None, None, None, 1.0, 0.5, 1.0)),
        ([], [3, 1], [], (None, None, None, 0.0, 0.0, 0.0)),
        ([], [1], [3], (None, None, None, 0.0, 0.5, 0.0)),  # covered by a token without the label
        ([3], [1], [], (0.0, 1.0, None, 1.0, 0.5, 1.0)),  # one value has no deviation
        ([3], [1, 2], [], (0.0, 1.0, None, 1.0, 0.5, 0.5)),
        ([3, 3], [1, 1], [], (0.0, 1.0, None, 1.0, 0.5, 1.0)),  # no deviation at all
        ([1, 1], [1, 1], [], (1.0, 0.5, None, 0.0, 0.0, 0.0)),  # one point: bin 0
        ([1, 1], [3, 3], [], (0.0, 0.0, None, 0.0, 0.0, 0.0)),
    ],
)
def test_separation_of_small_groups(connection, inside, outside, within, wanted):
    names = ("overlap", "auc", "cohens_d", "tail_mass", "tail_coverage", "tail_precision")
    _, row = described(connection, inside, outside, within, threshold=2)
    assert tuple(row[name] for name in names) == wanted
    assert (row["n_in"], row["n_out"]) == (len(inside), len(outside))
    _, row = described(connection, inside, outside, within)
    assert tuple(row[name] for name in names) == (*wanted[:3], None, None, None)


def test_bins_without_any_token_have_no_edges(connection):
    bins, _ = described(connection, [], [])
    assert {(row["lo"], row["hi"], row["n"], row["mass"]) for row in bins} == {(None, None, 0, 0.0)}
    bins, _ = described(connection, [2], [], [2])
    assert [(row["population"], row["bin"], row["mass"]) for row in bins if row["n"]] == [
        ("in_concept", 0, 1.0),
        ("in_sample_not_token", 0, 1.0),
    ]
    assert {(row["lo"], row["hi"]) for row in bins} == {(2.0, 2.0)}


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), sizes=st.tuples(*[st.integers(0, 200)] * 3))
def test_histograms_are_numpy_s(connection, seed, sizes):
    rng = np.random.default_rng(seed)
    groups = [rng.normal(size=size).astype(np.float32) for size in sizes]
    every = np.concatenate(groups).astype(np.float64)
    bins, _ = described(connection, groups[0], groups[1], groups[2])
    for name, group in zip(("in_concept", "out_of_concept", "in_sample_not_token"), groups, strict=True):
        rows = [row for row in bins if row["population"] == name]
        assert [row["bin"] for row in rows] == list(range(100))
        if not len(every):
            assert {row["n"] for row in rows} == {0}
            continue
        counts, edges = np.histogram(group.astype(np.float64), bins=100, range=(every.min(), every.max()))
        if every.min() < every.max():  # numpy widens a range of one point
            assert [row["n"] for row in rows] == counts.tolist()
            assert np.abs(np.array([row["lo"] for row in rows]) - edges[:-1]).max() < 1e-12
        assert sum(row["mass"] for row in rows) == pytest.approx(1.0 if len(group) else 0.0)
