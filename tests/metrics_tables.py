"""Small tables for the metric queries: a `World` bound on a connection, run through the SQL, or published in a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import oracles
import pyarrow as pa
from oracles import World

from superact.metrics.evaluate import detect
from superact.metrics.partition import add, batches, hold, hold_query, query
from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.rows import from_columns

KEYS = {"dataset": "d", "model": "m", "layer": 1, "concept_set": "avg", "unit": "token"}


def arrow(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a table from dictionaries, typed by its schema."""
    schema = tables()[table].arrow_schema()
    names = list(dict.fromkeys(name for row in rows for name in row))
    return from_columns(schema, **{name: [row[name] for row in rows] for name in names})


def records(world: World) -> dict[str, list[dict[str, Any]]]:
    """The input tables of a world, as rows."""
    swapped = world.measure == "signed_distance"
    activations = []
    for (concept, sample, token), score in sorted(world.scores.items()):
        other = world.others.get((concept, sample, token), np.float32(-1000))
        cosine, distance = (other, score) if swapped else (score, other)
        row = {"concept": concept, "sample": sample, "token": token}
        activations.append({**row, "cosine": cosine, "signed_distance": distance})
    return {
        "samples": [{"sample": s, "split": split, "modality": "text"} for s, split in world.samples.items()],
        "tokens": [{"sample": s, "token": t, "is_content": c} for (s, t), c in world.tokens.items()],
        "labels": [{"label": name, "source": "test", "evaluated": e} for name, e in world.labels.items()],
        "sample_labels": [{"sample": s, "label": name} for s, name in sorted(world.sample_labels)],
        "token_labels": [{"sample": s, "token": t, "label": name} for s, t, name in sorted(world.token_labels)],
        "concepts": [
            {"concept": name, "method": "avg", "bias": 0.0, "status": status} for name, status in world.concepts.items()
        ],
        "activations": activations,
    }


def bind_world(connection: duckdb.DuckDBPyConnection, world: World, rng: np.random.Generator | None = None) -> None:
    """Make the tables of a world temporary tables of the connection; `rng` shuffles their rows."""
    for table, rows in records(world).items():
        if rng is not None:
            rows = [rows[i] for i in rng.permutation(len(rows))]
        hold(connection, table, [arrow(table, rows)])
    for name in ("random_tokens", "calibration_tokens"):
        hold_query(connection, name, query(connection, name, seed=world.seed))


def rolled_up(
    connection: duckdb.DuckDBPyConnection, world: World, batch_rows: int = 10_000_000
) -> list[tuple[str, str]]:
    """Fill sample_scores in batches, as evaluate does, and return the batches."""
    names = sorted(world.scored, key=str.encode)
    ranges = batches(names, len(world.scores) // max(1, len(names)), batch_rows)
    hold(connection, "sample_scores")
    for first, last in ranges:
        rows = query(connection, f"sample_scores_{world.unit}", first=first, last=last, measure=world.measure)
        add(connection, "sample_scores", rows)
    return ranges


def run_world(
    connection: duckdb.DuckDBPyConnection,
    world: World,
    batch_rows: int = 10_000_000,
    rng: np.random.Generator | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Every table that eval makes of a world, as sorted rows of dictionaries."""
    bind_world(connection, world, rng)
    ranges = rolled_up(connection, world, batch_rows)
    detect(connection, ranges, unit=world.unit, measure=world.measure, supervised=world.supervised)
    found = {}
    for table in ("random_tokens", "calibration_tokens", "sample_scores", "thresholds", "detection", "selection"):
        found[table] = connection.sql(f"FROM {table}").to_arrow_table().to_pylist()
    found["summary"] = query(connection, "summary", unit=world.unit, layer=1).to_pylist()
    found["outcomes"] = [
        {"detector": detector, **row}
        for detector in world.detectors
        for row in query(connection, "outcomes", detector=detector).to_pylist()
    ]
    return {table: sorted(rows, key=lambda row: repr(list(row.values())[:5])) for table, rows in found.items()}


def write_table(run: Run, table: str, rows: list[dict[str, Any]], version: int = 1, **keys: Any) -> None:
    """Publish rows as one file of a partition."""
    own = {key: value for key, value in keys.items() if key in tables()[table].path}
    part = run.partition(table, {"test": table, "version": version}, **own)
    if not part.current:
        part.write(0, [arrow(table, rows)] if rows else [])


def publish_world(
    root: Path, world: World, *, files: int = 1, version: int = 1, rng: np.random.Generator | None = None, **keys: Any
) -> Warehouse:
    """Publish a world under these keys (default KEYS): activations in so many files, rows shuffled by `rng`."""
    keys = {**KEYS, "unit": world.unit, **keys}
    warehouse = Warehouse(root)
    with warehouse.run("test") as run:
        for table, rows in records(world).items():
            if table == "activations":
                order = range(len(rows)) if rng is None else rng.permutation(len(rows))
                part = run.partition(table, {"test": table, "version": version}, **keys)
                for shard in range(files):
                    own = [rows[i] for i in order[shard::files]]
                    if not part.current:
                        part.write(shard, [arrow(table, own)] if own else [])
            else:
                write_table(run, table, rows, version, **keys)
        facts = {"method": "avg", "supervised": world.supervised, "score": world.measure}
        write_table(run, "concept_sets", [facts], version, **keys)
        run.publish()
    return warehouse


def random_world(
    seed: int,
    *,
    samples: int = 12,
    most_tokens: int = 4,
    labels: int = 3,
    clusters: int = 0,
    unit: str = "token",
    density: float = 0.4,
    grid: int = 4,
    measure: str = "cosine",
) -> World:
    """A world of random shapes: ties, samples without content tokens, special tokens that carry labels, labels without tokens,
    token labels without sample labels. `clusters` 0: supervised.

    Scores are positive multiples of 1.5, whose means over up to four tokens are short in binary, so that no threshold lies
    half-way between two floats or cancels to nearly 0, where the last bit of the quantile, which is DuckDB's own, would decide.
    """
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.permutation(NAMES)[:labels]]
    splits = {s: str(rng.choice(["train", "cal", "test"], p=[0.2, 0.4, 0.4])) for s in range(samples)}
    lengths = rng.integers(0, most_tokens + 1, samples)
    tokens = {(s, t): bool(rng.random() < 0.75) for s in range(samples) for t in range(lengths[s])}
    with_tokens = [name for name in names if rng.random() < 0.75]
    concepts = dict.fromkeys(names, "ok") if not clusters else {str(i): "ok" for i in range(5, 5 + clusters)}
    if not clusters and rng.random() < 0.3:
        concepts[names[0]] = "no_train_positives"
    places = [(s, -1) for s in range(samples)] if unit == "cls" else [key for key, content in tokens.items() if content]
    keys = [(c, s, t) for c, status in concepts.items() if status == "ok" for s, t in places]
    return World(
        samples=splits,
        tokens=tokens,
        labels={name: bool(rng.random() < 0.9) for name in names},
        sample_labels={(s, name) for s in range(samples) for name in names if rng.random() < density},
        token_labels={(*key, name) for key in tokens for name in with_tokens if rng.random() < density},
        concepts=concepts,
        scores={key: np.float32(rng.integers(1, 2 * grid + 2) * 1.5) for key in keys},
        others={key: np.float32(rng.normal()) for key in keys},
        supervised=not clusters,
        unit=unit,
        seed=int(rng.integers(0, 2**63)),
        measure=measure,
    )


NAMES = ["red", "Red", "rouge vif é", "2", "10", "a'b", "shape::cube", "日本", "", "%s $first"]
"""Label names that differ in case alone, look like numbers, or would break careless quoting."""

GRAINS = {
    "random_tokens": ("sample",),
    "sample_scores": ("concept", "sample", "aggregate"),
    "thresholds": ("detector", "label", "concept", "delta"),
    "detection": ("detector", "label", "concept", "delta", "split"),
    "selection": ("detector", "label"),
    "summary": ("detector",),
}


def expected(world: World) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """The oracle's tables: grain to the other columns."""
    chosen = oracles.selection(world)
    detection: dict[Any, tuple[Any, ...]] = {}
    for split in ("cal", "test"):
        for key, row in oracles.detection(world, split).items():
            selected = chosen[key[0], key[1]]
            if split == "cal" or world.supervised or (selected is not None and selected[0] == key[2]):
                detection[(*key, split)] = row or (None,) * 9
    return {
        "random_tokens": {(s,): (token,) for s, token in oracles.random_tokens(world).items()},
        "sample_scores": {key: (value,) for key, value in oracles.sample_scores(world).items()},
        "thresholds": dict(oracles.thresholds(world)),
        "detection": detection,
        "selection": {key: row or (None,) * 4 for key, row in chosen.items()},
        "summary": {(key,): row for key, row in oracles.summary(world).items()},
    }


COLUMNS = {
    "random_tokens": ("token",),
    "sample_scores": ("score",),
    "thresholds": ("threshold", "n_calibration", "status"),
    "detection": ("tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "fpr"),
    "selection": ("concept", "delta", "threshold", "f1_cal"),
    "summary": (
        *("f1", "precision", "recall", "macro_f1", "macro_precision", "macro_recall"),
        *("micro_f1", "micro_precision", "micro_recall", "n_labels", "n_positive"),
    ),
}  # fmt: skip


def assert_tables(found: dict[str, list[dict[str, Any]]], wanted: dict[str, dict[Any, tuple[Any, ...]]]) -> None:
    """Equal key sets, equal counts, names and choices; reals within 1e-12."""
    for table, rows in wanted.items():
        own = {tuple(row[k] for k in GRAINS[table]): tuple(row[c] for c in COLUMNS[table]) for row in found[table]}
        assert len(own) == len(found[table]), f"{table}: a key occurs twice"
        assert own.keys() == rows.keys(), table
        for key, values in rows.items():
            assert_row(own[key], values, (table, key))


def assert_row(found: tuple[Any, ...], wanted: tuple[Any, ...], where: Any) -> None:
    """Equal values of one row; reals within 1e-12."""
    for a, b in zip(found, wanted, strict=True):
        if isinstance(a, float) and b is not None:
            assert abs(a - float(b)) <= 1e-12, (where, found, wanted)
        else:
            assert a == b and (a is None) == (b is None), (where, found, wanted)
