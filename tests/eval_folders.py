"""Small generated warehouses for the tests of eval as a whole, and what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from folders import write_folder

from superact.ingest.import_folder import import_folder
from superact.ingest.score import score
from superact.metrics.evaluate import STAGES, Protocol, evaluate
from superact.query import Session
from superact.store import Partition, Warehouse
from superact.store.rows import from_columns

LABELS = ("blue", "green", "red")
WHERE = {"dataset": "toys", "model": "tiny"}
JUDGED = ("thresholds", "detection", "selection")
LOCALIZATION = ("localization_scores", "localization")
DISTRIBUTIONS = ("distributions", "separation", "superactivator_ratio")
SUMMARIES = ("layer_selection", "summary")

WRITTEN = {
    "detect": {"activations", "sample_scores", *JUDGED},
    "localize": set(LOCALIZATION),
    "layers": set(SUMMARIES),
    "distributions": set(DISTRIBUTIONS),
}

Key = tuple[str, ...]


def folder_of_toys(path: Path, *, seed: int = 0, samples: int = 24, tokens: int = 5, **options: Any) -> Path:
    """An import folder whose samples carry about half of the labels, on one or two of their content tokens."""
    options = {"labels": LABELS, "sets": ("avg", "kmeans"), "clusters": 5, **options}
    write_folder(path, seed=seed, samples=samples, tokens=tokens, **options)
    rng = np.random.default_rng(seed + 1)
    carried = [
        (sample, int(token), label)
        for sample in range(samples)
        for label in options["labels"]
        if rng.random() < 0.5
        for token in rng.permutation(tokens - 1)[: rng.integers(1, 3)]
    ]
    frame = pl.DataFrame(carried, schema=["sample", "token", "label"], orient="row")
    frame.write_csv(path / "token_labels.csv")
    frame.select("sample", "label").unique(maintain_order=True).write_csv(path / "sample_labels.csv")
    return path


def scored_toys(root: Path, *, keep: str = "selected", **options: Any) -> Warehouse:
    """A warehouse of such a folder, imported and scored; unit cls at layer 1 alone."""
    warehouse = Warehouse(root / "warehouse")
    import_folder(warehouse, folder_of_toys(root / "folder", **options))
    concepts = [p.partition for p in warehouse.state().select("concepts", unit="cls")]
    warehouse.remove([partition for partition in concepts if dict(partition.keys)["layer"] != 1], "test")
    score(warehouse, keep=keep)
    return warehouse


def evaluated_toys(
    warehouse: Warehouse, *stages: str, seed: int = 0, replicates: int = 20, **more: Any
) -> dict[str, int]:
    """Run eval on one thread, with few replicates; `all_pairs` and `labels` are options of the protocol."""
    options = {name: more.pop(name) for name in ("all_pairs", "labels") if name in more}
    protocol = Protocol(seed=seed, replicates=replicates, **options)
    return evaluate(warehouse, stages or STAGES, protocol=protocol, threads=1, **more)


def drop(warehouse: Warehouse, *tables: str) -> None:
    """Remove all partitions of tables."""
    state = warehouse.state()
    warehouse.remove([p.partition for table in tables for p in state.select(table)], "drop")


def ask(warehouse: Warehouse, query: str) -> list[tuple]:
    """The rows of one SELECT."""
    session = Session(warehouse, threads=1)
    try:
        return session.sql(query).rows()
    finally:
        session.connection.close()


def runs_of(warehouse: Warehouse) -> dict[Key, str]:
    """Which run wrote each derived partition: by table, concept set and, as far as they are in its path, layer and unit."""
    return {
        key_of(published.partition): published.run
        for published in warehouse.state().partitions.values()
        if published.derived
    }


def key_of(partition: Partition) -> Key:
    """The table of a partition, its concept set, layer and unit."""
    keys = dict(partition.keys)
    return partition.table, *(str(keys[name]) for name in ("concept_set", "layer", "unit") if name in keys)


def layer_keys(tables: Sequence[str], concept_set: str, layers: Sequence[int], *unit: str) -> set[Key]:
    """Keys of tables a layer; those about tokens have no unit."""
    return {(table, concept_set, str(layer), *unit) for table in tables for layer in layers}


def set_keys(tables: Sequence[str], concept_set: str, unit: str) -> set[Key]:
    """Keys of tables over layers."""
    return {(table, concept_set, unit) for table in tables}


def computed_again(before: dict[Key, str], warehouse: Warehouse) -> set[Key]:
    """What other runs have written since."""
    return {key for key, run in runs_of(warehouse).items() if before.get(key) != run}


def republish(warehouse: Warehouse, table: str, rows: pa.Table | list[dict[str, Any]], **keys: Any) -> None:
    """Publish other rows under the keys of a partition, as another identity of the same input."""
    published = warehouse.state().get(table, **keys)
    assert published is not None
    with warehouse.run("test", replace=True) as run:
        part = run.partition(table, {**published.identity, "changed": published.generation}, **keys)
        part.meta.update(published.meta)
        if not isinstance(rows, pa.Table) and rows:
            schema = published.partition.schema.arrow_schema()
            rows = from_columns(schema, **{name: [row[name] for row in rows] for name in rows[0]})
        part.write(0, [rows] if len(rows) else [])
        run.publish()


def stored(warehouse: Warehouse, table: str, **keys: Any) -> list[dict[str, Any]]:
    """The rows of a partition without its path keys."""
    published = warehouse.state().get(table, **keys)
    assert published is not None
    return pa.concat_tables(
        [pq.read_table(warehouse.root / file.path, partitioning=None) for file in published.files]
    ).to_pylist()


def without_a_token_label(warehouse: Warehouse) -> None:
    """Change an input: one token label less."""
    republish(warehouse, "token_labels", stored(warehouse, "token_labels", **WHERE)[1:], **WHERE)
