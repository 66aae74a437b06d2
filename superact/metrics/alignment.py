"""The vector work of localization: how the tokens of detected samples align with the superactivators of a label.

u = the softmax-weighted mean of xhat over a set of superactivators, normalised; the alignment of a token is cos(xhat, u).
`global` takes the superactivators of train and cal together, `local` those of the token's own sample. Cosines are accumulated
in DOUBLE and rounded to FLOAT, so that they do not depend on the order of summation. numpy, because SQL is poor at it; which
tokens are superactivators, and their weights, is SQL (localization_weights), asked for a block of samples at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from superact.errors import NonFinite
from superact.metrics.dense import row_keys
from superact.metrics.embeddings import Block, Embeddings
from superact.metrics.partition import query

EPSILON = 1e-8
FILE_ROWS = 2_000_000
"""Rows of localization_scores in one file, about."""

Array = np.ndarray[Any, Any]


class Alignment:
    """Localization scores of one layer, for labels [L] in name order, as files of one row group a label.

    Memory: a block of embeddings, its weights, and the rows of one file.
    """

    dtype = np.float64

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, embeddings: Embeddings, labels: list[str], measure: str, layer: int
    ) -> None:
        self._connection, self._embeddings, self._labels, self._measure = connection, embeddings, labels, measure
        self._layer = layer

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
            weights, _ = self._weights(block)
            sums += weights @ block.xhat
        return _normalised(sums)

    def _check(self, block: Block) -> None:
        """Raise NonFinite: one such token would make every cosine NaN, by a weight of 0, too."""
        finite = np.isfinite(block.xhat).all(axis=1)
        if not finite.all():
            sample = int(block.sample[np.argmin(finite)])
            raise NonFinite(kind="stored hidden state", layer=self._layer, sample=sample)

    def _weights(self, block: Block) -> tuple[Array, Array]:
        """Global and local weight of every (label, row) of a block, float64 [L, n]; 0 where it is no superactivator."""
        samples = block.samples
        rows = query(
            self._connection,
            "localization_weights",
            first=int(samples[0]),
            last=int(samples[-1]),
            measure=self._measure,
        )
        names = rows["label"].combine_chunks().dictionary_encode()
        place = {name: number for number, name in enumerate(self._labels)}
        numbers = np.array([place[name] for name in names.dictionary.to_pylist()], dtype=np.int64)
        label = numbers[names.indices.to_numpy()] if len(rows) else np.empty(0, dtype=np.int64)
        keys = row_keys(rows["sample"].to_numpy(), rows["token"].to_numpy())
        row = np.searchsorted(row_keys(block.sample, block.token), keys)
        weights = np.zeros((2, len(self._labels), len(block.sample)))
        weights[0, label, row] = rows["global_weight"].to_numpy()
        weights[1, label, row] = rows["local_weight"].to_numpy()
        return weights[0], weights[1]

    def _aligned(self, block: Block, vectors: Array) -> Iterator[tuple[int, tuple[Array, ...]]]:
        """The columns of every label that has detected samples in the block."""
        _, weights = self._weights(block)
        detected = np.add.reduceat(weights, block.starts, axis=1) > 0
        lengths = np.maximum(np.linalg.norm(block.xhat, axis=1), EPSILON)
        whole = (vectors @ block.xhat.T) / lengths
        own = np.zeros_like(whole)
        ends = np.r_[block.starts[1:], len(block.sample)]
        for number, (start, end) in enumerate(zip(block.starts, ends, strict=True)):
            labels = np.flatnonzero(detected[:, number])
            if len(labels):
                xhat = block.xhat[start:end]
                local = _normalised(weights[labels, start:end] @ xhat)
                own[labels, start:end] = (local @ xhat.T) / lengths[start:end]
        sizes = ends - block.starts
        for label in np.flatnonzero(detected.any(axis=1)):
            rows = np.flatnonzero(np.repeat(detected[label], sizes))
            cosines = (whole[label, rows].astype(np.float32), own[label, rows].astype(np.float32))
            yield int(label), (block.sample[rows], block.token[rows], *cosines)

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


def _normalised(vectors: Array) -> Array:
    """Rows of float64 [n, d] made of length 1; one of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), EPSILON)
