"""Arrow tables from the arrays that stages produce, in the shape the schemas ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa


def lists(values: np.ndarray[Any, Any]) -> pa.Array:
    """A FLOAT[] column from float32 [n, d], without copying the values."""
    n, width = values.shape
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(width))
    return pa.ListArray.from_arrays(offsets, flat, type=pa.list_(pa.field("element", pa.float32(), nullable=False)))


def optional_lists(values: list[np.ndarray[Any, Any] | None]) -> pa.Array:
    """A FLOAT[] column from vectors of one width, NULL where there is none."""
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False))
    return pa.array([None if value is None else value.astype(np.float32) for value in values], kind)


def row_keys(sample: np.ndarray[Any, Any], token: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One integer a row, int64 [n], ascending in (sample, token) order; token -1 (unit cls) comes first in its sample."""
    return (sample.astype(np.int64) << 32) + token.astype(np.int64)


def embedding_rows(
    sample: np.ndarray[Any, Any], token: np.ndarray[Any, Any], embedding: np.ndarray[Any, Any]
) -> pa.Table:
    """Rows of table embeddings: sample [n], token [n], embedding float32 [n, d]."""
    return pa.table({"sample": pa.array(sample), "token": pa.array(token), "embedding": lists(embedding)})


def activation_rows(
    concepts: list[str],
    sample: np.ndarray[Any, Any],
    token: np.ndarray[Any, Any],
    cosine: np.ndarray[Any, Any],
    signed_distance: np.ndarray[Any, Any],
) -> list[pa.Table]:
    """Row groups of table activations, one a concept in name order, from score matrices float32 [concepts, n].

    `sample` and `token` [n] are in (sample, token) order and shared by all groups; nothing is copied.
    """
    where = {"sample": pa.array(sample), "token": pa.array(token)}
    zeros = pa.array(np.zeros(len(sample), dtype=np.int32))
    groups = []
    # UTF-8 byte order, which is DuckDB's.
    for row in sorted(range(len(concepts)), key=lambda i: concepts[i].encode()):
        name = pa.DictionaryArray.from_arrays(zeros, pa.array([concepts[row]]))
        scores = {"cosine": pa.array(cosine[row]), "signed_distance": pa.array(signed_distance[row])}
        groups.append(pa.table({"concept": name, **where, **scores}))
    return groups


def from_columns(schema: pa.Schema, **columns: Any) -> pa.Table:
    """A table from columns by name; a column that is left out is NULL throughout."""
    n = max((len(column) for column in columns.values()), default=0)
    arrays = []
    for field in schema:
        column = columns.pop(field.name, None)
        arrays.append(pa.nulls(n, field.type) if column is None else pa.array(column, field.type))
    if columns:
        raise ValueError(f"not columns of this table: {sorted(columns)}")
    return pa.Table.from_arrays(arrays, schema=schema)
