"""Where the hidden states of a stage come from: the embeddings table, or a forward pass when it was not kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import torch

from superact.errors import MissingTable
from superact.store import Published, State, Warehouse
from superact.store.parquet import streamed

Block = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], torch.Tensor]
"""sample [n], token [n] and raw rows float32 [n, d], in (sample, token) order."""

READ_ROWS = 16 * 1024


def stored_blocks(warehouse: Warehouse, embeddings: Published, size: int = READ_ROWS) -> Iterator[Block]:
    """The rows of an embeddings partition, file by file, in blocks of at most `size`."""
    width = embeddings.meta["width"]
    for file in embeddings.files:
        with streamed(warehouse.root / file.path) as reader:
            for batch in reader.iter_batches(size):
                rows = torch.from_numpy(np.array(batch.column("embedding").flatten())).reshape(batch.num_rows, width)
                yield batch.column("sample").to_numpy(), batch.column("token").to_numpy(), rows


def needed(warehouse: Warehouse, state: State, stage: str, table: str, **keys: Any) -> Published:
    """A published partition that a stage reads. Errors: MissingTable naming the command that makes it."""
    published = state.get(table, **keys)
    if published is None:
        command = {"concepts": "superact learn", "activations": "superact score"}.get(table, "superact extract")
        where = " ".join(map(str, keys.values()))
        raise MissingTable(stage=stage, table=table, where=where, warehouse=warehouse.root, command=command)
    return published


def frame(warehouse: Warehouse, published: Published, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows of a small partition."""
    paths = [warehouse.root / file.path for file in published.files]
    return pl.read_parquet(paths, columns=columns, hive_partitioning=False)


def read_stats(warehouse: Warehouse, stats: Published) -> tuple[np.ndarray[Any, Any], float, int]:
    """Mean float32 [d], RMS norm and count of a layer_stats partition."""
    row = pq.read_table(warehouse.root / stats.files[0].path).to_pylist()[0]
    return np.array(row["mean"], dtype=np.float32), float(row["rms"]), int(row["n"])
