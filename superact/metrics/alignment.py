"""The vector work of localization: how the tokens of detected samples align with the superactivators of a label.

u = the softmax-weighted mean of xhat over a set of superactivators, normalised; the alignment of a token is cos(xhat, u).
`global` takes the superactivators of train and cal together, `local` those of the token's own sample. Cosines are accumulated
in DOUBLE and rounded to FLOAT, so that they do not depend on the order of summation. numpy, because SQL is poor at it; which
tokens are superactivators, and their weights, is SQL (localization_weights), asked for a span of samples at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from superact.errors import NonFinite
from superact.metrics.embeddings import Block, Embeddings
from superact.metrics.partition import query
from superact.store.rows import row_keys

EPSILON = 1e-8
FILE_ROWS = 2_000_000
"""Rows of localization_scores in one file, about."""
BLOCK_WEIGHTS = 2_000_000
"""(label, row) cells of a block at most: a few matrices of float64 hold so many."""
SPAN_WEIGHTS = 4_000_000
"""(label, token) pairs of the samples whose weights are held at a time."""

Array = np.ndarray[Any, Any]


class Alignment:
    """Localization scores of one layer, for labels [L] in name order, as files of one row group a label.

    Only the rows that are needed are normalised: superactivators first, then the tokens of detected samples. Memory: a block of
    embeddings, the weights of a span of samples, and the rows of one file.
    """

    dtype = np.float64

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, embeddings: Embeddings, labels: list[str], measure: str, layer: int
    ) -> None:
        self._embeddings, self._labels, self._layer = embeddings, labels, layer
        self._weights = Weights(connection, labels, measure)

    def files(self) -> Iterator[list[pa.Table]]:
        """Row groups (label, sample, token, global_cosine, local_cosine) of one file after the other; at least one file.

        Errors: NonFinite.
        """
        vectors = self._global_vectors()
        held: list[list[tuple[Array, ...]]] = [[] for _ in self._labels]
        rows, written = 0, False
        for block in self._embeddings:
            for number, columns in self._aligned(block, vectors):
                held[number].append(columns)
                rows += len(columns[0])
            if rows >= FILE_ROWS:
                yield self._groups(held)
                held, rows, written = [[] for _ in self._labels], 0, True
        if rows or not written:
            yield self._groups(held)

    def _global_vectors(self) -> Array:
        """The normalised weighted sum of xhat over the train and cal superactivators of every label: float64 [L, d]."""
        sums = np.zeros((len(self._labels), self._embeddings.width))
        for block in self._embeddings:
            self._check(block)
            found = self._weights.of(block)
            rows, place = np.unique(found.row, return_inverse=True)
            weights = np.zeros((len(self._labels), len(rows)))
            weights[found.label, place] = found.whole
            # BLAS is ten times faster with the long side first.
            sums += (block.normalised(rows).T @ weights.T).T
        return _normalised(sums)

    def _check(self, block: Block) -> None:
        """Raise NonFinite: one such token would make every cosine NaN, by a weight of 0, too."""
        finite = np.isfinite(block.values).all(axis=1)
        if not finite.all():
            sample = int(block.sample[np.argmin(finite)])
            raise NonFinite(kind="stored hidden state", layer=self._layer, sample=sample)

    def _aligned(self, block: Block, vectors: Array) -> Iterator[tuple[int, tuple[Array, ...]]]:
        """The columns of every label that has detected samples in the block."""
        found = self._weights.of(block)
        sizes = np.r_[block.starts[1:], len(block.sample)] - block.starts
        detected = np.zeros((len(self._labels), len(sizes)), dtype=bool)
        own = found.own > 0
        detected[found.label[own], np.searchsorted(block.starts, found.row[own], side="right") - 1] = True
        kept = np.flatnonzero(detected.any(axis=0))
        rows = np.flatnonzero(np.repeat(detected.any(axis=0), sizes))
        if not len(rows):
            return
        xhat = block.normalised(rows)
        lengths = np.maximum(np.linalg.norm(xhat, axis=1), EPSILON)
        weights = np.zeros((len(self._labels), len(rows)))
        weights[found.label[own], np.searchsorted(rows, found.row[own])] = found.own[own]
        whole = ((xhat @ vectors.T).T / lengths).astype(np.float32)
        local = np.zeros_like(whole)
        ends = np.cumsum(sizes[kept])
        for number, start, end in zip(kept, ends - sizes[kept], ends, strict=True):
            labels = np.flatnonzero(detected[:, number])
            vector = _normalised(weights[labels, start:end] @ xhat[start:end])
            local[labels, start:end] = (vector @ xhat[start:end].T) / lengths[start:end]
        for label in np.flatnonzero(detected.any(axis=1)):
            of_label = np.flatnonzero(np.repeat(detected[label, kept], sizes[kept]))
            columns = (
                block.sample[rows[of_label]],
                block.token[rows[of_label]],
                whole[label, of_label],
                local[label, of_label],
            )
            yield int(label), columns

    def _groups(self, held: list[list[tuple[Array, ...]]]) -> list[pa.Table]:
        """One row group a label."""
        groups = []
        for name, blocks in zip(self._labels, held, strict=True):
            if blocks:
                sample, token, whole, own = (np.concatenate(column) for column in zip(*blocks, strict=True))
                zeros = pa.array(np.zeros(len(sample), dtype=np.int32))
                columns = {"label": pa.DictionaryArray.from_arrays(zeros, pa.array([name])), "sample": pa.array(sample)}
                columns |= {"token": pa.array(token), "global_cosine": pa.array(whole), "local_cosine": pa.array(own)}
                groups.append(pa.table(columns))
        return groups


@dataclass(frozen=True)
class BlockWeights:
    """The superactivators among the rows of a block: label and row numbers [s], global (`whole`) and local (`own`) weights."""

    label: Array
    row: Array
    whole: Array
    own: Array


class Weights:
    """The superactivators of all labels and their softmax weights, asked of SQL for a span of samples at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, labels: list[str], measure: str) -> None:
        self._connection, self._measure = connection, measure
        self._place = {name: number for number, name in enumerate(labels)}
        counts = connection.sql(
            "SELECT sample, count(*) AS n FROM tokens WHERE is_content GROUP BY sample ORDER BY sample"
        ).to_arrow_table()
        self._samples, self._ends = counts["sample"].to_numpy(), np.cumsum(counts["n"].to_numpy())
        self._span_tokens = max(1, SPAN_WEIGHTS // max(1, len(labels)))
        self._span = (0, -1)
        self._held: tuple[Array, ...] = ()

    def of(self, block: Block) -> BlockWeights:
        """The superactivators of a block; blocks come in order."""
        first, last = int(block.sample[0]), int(block.sample[-1])
        if not (self._span[0] <= first and last <= self._span[1]):
            self._fetch(first, last)
        keys, label, whole, own = self._held
        here = slice(*np.searchsorted(keys, [(first << 32) - 1, (last + 1) << 32]))
        row = np.searchsorted(row_keys(block.sample, block.token), keys[here])
        return BlockWeights(label[here], row, whole[here], own[here])

    def _fetch(self, first: int, last: int) -> None:
        """Hold what SQL gives for the samples from `first` on, as many as a span may have, and `last` at least."""
        start = int(np.searchsorted(self._samples, first))
        before = self._ends[start - 1] if start else 0
        stop = int(np.searchsorted(self._ends, before + self._span_tokens, side="right"))
        last = max(last, int(self._samples[stop - 1]) if stop > start else last)
        rows = query(self._connection, "localization_weights", first=first, last=last, measure=self._measure)
        names = rows["label"].combine_chunks().dictionary_encode()
        numbers = np.array([self._place[name] for name in names.dictionary.to_pylist()], dtype=np.int64)
        label = numbers[names.indices.to_numpy()] if len(rows) else np.empty(0, dtype=np.int64)
        keys = row_keys(rows["sample"].to_numpy(), rows["token"].to_numpy())
        order = np.argsort(keys, kind="stable")
        columns = (keys, label, rows["global_weight"].to_numpy(), rows["local_weight"].to_numpy())
        self._span, self._held = (first, last), tuple(column[order] for column in columns)


def _normalised(vectors: Array) -> Array:
    """Rows of float64 [n, d] made of length 1; one of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), EPSILON)
