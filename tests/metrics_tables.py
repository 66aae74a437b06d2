"""Small tables for the metric queries: a `World` bound on a connection, run through the SQL, or published in a warehouse."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from metrics_checks import (
    COLUMNS,
    GRAINS,
    LAYER,
    assert_row,
    assert_tables,
    expected,
    expected_layers,
    expected_outcomes,
    expected_tokens,
)
from metrics_worlds import NAMES, other_layer, random_world
from oracles import World

from superact.metrics.detect import detect
from superact.metrics.distributions import distribute_layer
from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import DISTRIBUTIONS, LOCALIZATION, Layer, Protocol
from superact.metrics.layers import hold_choices
from superact.metrics.localize import localize_layer
from superact.metrics.partition import add, batches, hold, hold_query, query
from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.rows import from_columns

__all__ = [
    "COLUMNS", "GRAINS", "KEYS", "LAYER", "NAMES", "arrow", "assert_row", "assert_tables", "bind_world", "expected",
    "expected_layers", "expected_outcomes", "expected_tokens", "other_layer", "publish_world", "random_world", "records",
    "rolled_up", "run_layers", "run_tokens", "run_world", "sorted_rows", "write_table",
]  # fmt: skip
KEYS = {"dataset": "d", "model": "m", "layer": LAYER, "concept_set": "avg", "unit": "token"}


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
    found = {
        "samples": [{"sample": s, "split": split, "modality": "text"} for s, split in world.samples.items()],
        "tokens": [{"sample": s, "token": t, "is_content": c} for (s, t), c in world.tokens.items()],
        "labels": [{"label": name, "source": "test", "evaluated": e} for name, e in world.labels.items()],
        "sample_labels": [{"sample": s, "label": name} for s, name in sorted(world.sample_labels)],
        "token_labels": [{"sample": s, "token": t, "label": name} for s, t, name in sorted(world.token_labels)],
        "concepts": [
            {"concept": name, "method": "avg", "bias": 0.0, "norm": world.norms.get(name, 1.0), "status": status}
            for name, status in world.concepts.items()
        ],
        "activations": activations,
    }
    if world.embeddings:
        keys = sorted(world.embeddings)
        found["embeddings"] = [{"sample": s, "token": t, "embedding": world.embeddings[s, t].tolist()} for s, t in keys]
        found["layer_stats"] = [{"mean": world.mean.tolist(), "rms": world.rms, "n": len(keys)}]
    return found


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
    keep: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Every table about samples that eval makes of a world, as sorted rows of dictionaries."""
    bind_world(connection, world, rng)
    ranges = rolled_up(connection, world, batch_rows)
    detect(connection, ranges, unit=world.unit, measure=world.measure, supervised=world.supervised, keep=keep)
    found = sorted_rows(connection, "random_tokens", "calibration_tokens", "sample_scores", "thresholds")
    found |= sorted_rows(connection, "detection", "selection")
    hold_choices(connection, [query(connection, "layer_choices", layer=LAYER)], world.unit)
    found |= sorted_rows(connection, "layer_choices", "layer_selection")
    found["summary"] = query(connection, "summary", unit=world.unit, layers=[LAYER]).to_pylist()
    found["outcomes"] = [
        {"detector": detector, **row}
        for detector in world.detectors
        for row in query(connection, "outcomes", detector=detector).to_pylist()
    ]
    return found


def sorted_rows(connection: duckdb.DuckDBPyConnection, *names: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of held tables as dictionaries."""
    found = {table: connection.sql(f"FROM {table}").to_arrow_table().to_pylist() for table in names}
    return {table: sorted(rows, key=lambda row: repr(list(row.values())[:5])) for table, rows in found.items()}


def run_layers(
    connection: duckdb.DuckDBPyConnection, worlds: dict[int, World], rng: np.random.Generator | None = None
) -> dict[str, list[dict[str, Any]]]:
    """layer_selection and summary of one set at several layers, and the null_summary of labels that nobody shuffled."""
    choices = []
    for layer, world in worlds.items():
        bind_world(connection, world, rng)
        ranges = rolled_up(connection, world)
        detect(connection, ranges, unit=world.unit, measure=world.measure, supervised=world.supervised)
        choices.append(query(connection, "layer_choices", layer=layer))
    hold_choices(connection, choices, world.unit)
    found = sorted_rows(connection, "layer_selection")
    for table in ("summary", "null_summary"):
        found[table] = query(connection, table, unit=world.unit, layers=list(worlds), shuffle=0).to_pylist()
    return found


class HeldEvaluation(Evaluation):
    """One whose tables are held on the connection already, and whose results stay there."""

    def bind(self, table: str, **keys: str | int) -> None: ...

    def bind_dataset(self, layer: Layer) -> None: ...

    def bind_of(self, layer: Layer, *names: str) -> None: ...

    def write_held(self, layer: Layer, table: str) -> None: ...

    def paths(self, published: Any) -> list[Path]:
        return list(published)


class HeldPart:
    """Takes what is written of a table into a temporary table of the connection."""

    current = False

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        self._connection, self._table = connection, table
        hold(connection, table)

    def write(self, shard: int, groups: Sequence[pa.Table]) -> None:
        for rows in groups:
            add(self._connection, self._table, rows)


def run_tokens(
    connection: duckdb.DuckDBPyConnection,
    world: World,
    rng: np.random.Generator | None = None,
    batch_rows: int = 10_000_000,
    files: int = 1,
) -> dict[str, list[dict[str, Any]]]:
    """Every table about tokens that eval makes of a world: stages localize and distributions, after detect."""
    bind_world(connection, world, rng)
    ranges = rolled_up(connection, world, batch_rows)
    detect(connection, ranges, unit=world.unit, measure=world.measure, supervised=world.supervised)
    evaluation = HeldEvaluation(None, Protocol(seed=world.seed), None, connection)  # type: ignore[arg-type]
    wanted = [*LOCALIZATION, *DISTRIBUTIONS]
    if not world.embeddings:
        wanted.remove("localization_scores")
    parts = {table: HeldPart(connection, table) for table in wanted}
    with tempfile.TemporaryDirectory() as folder:
        sources = write_embeddings(Path(folder), world, files)
        identities = {key: {} for key in wanted}
        layer = Layer(KEYS, sources, "avg", world.measure, world.supervised, "activations", None, identities, parts)  # type: ignore[arg-type]
        localize_layer(evaluation, layer)
        distribute_layer(evaluation, layer)
    return {"localization_scores": [], **sorted_rows(connection, *wanted)}


def write_embeddings(folder: Path, world: World, files: int) -> dict[str, list[Path]]:
    """The files of tables embeddings and layer_stats, the first cut into so many anywhere."""
    found: dict[str, list[Path]] = {}
    for table, rows in records(world).items():
        if table in ("embeddings", "layer_stats"):
            count = files if table == "embeddings" else 1
            bounds = [len(rows) * i // count for i in range(count + 1)]
            found[table] = [folder / f"{table}-{i}.parquet" for i in range(count)]
            for path, start, stop in zip(found[table], bounds, bounds[1:], strict=False):
                pq.write_table(arrow(table, rows[start:stop]), path)
    return found


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
            if table in ("activations", "embeddings"):
                # Activations may come in any order, embeddings come in theirs.
                order = rng.permutation(len(rows)) if rng is not None and table == "activations" else range(len(rows))
                shards = [order[shard::files] for shard in range(files)]
                if table == "embeddings":
                    shards = [order[len(rows) * i // files : len(rows) * (i + 1) // files] for i in range(files)]
                own = {key: value for key, value in keys.items() if key in tables()[table].path}
                part = run.partition(table, {"test": table, "version": version}, **own)
                for shard, places in enumerate(shards):
                    if not part.current:
                        part.write(shard, [arrow(table, [rows[i] for i in places])] if len(places) else [])
            else:
                write_table(run, table, rows, version, **keys)
        facts = {"method": "avg", "supervised": world.supervised, "score": world.measure}
        write_table(run, "concept_sets", [facts], version, **keys)
        run.publish()
    return warehouse
