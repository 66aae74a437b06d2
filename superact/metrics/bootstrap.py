"""Seeded bootstrap intervals of the weighted F1, from per-sample outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

REPLICATES = 1000
BLOCK_BYTES = 16 << 20
"""What one block of replicates, and one block of labels, may take as float32."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcomes:
    """What one detector said of the test samples, as rows; a (sample, label) without a row is a true negative.

    `sample` [m] counts test samples from 0, `label` [m] counts labels from 0, `predicted` and `truth` are bool [m].
    """

    sample: Array
    label: Array
    predicted: Array
    truth: Array

    def columns(self, first: int, last: int, n: int) -> tuple[Array, Array, Array]:
        """Labels first to last - 1 as 0/1 matrices float32 [n, last - first]: hit, predicted, true."""
        own = (self.label >= first) & (self.label < last)
        sample, label = self.sample[own], self.label[own] - first
        predicted = np.zeros((n, last - first), dtype=np.float32)
        truth = np.zeros_like(predicted)
        predicted[sample, label] = self.predicted[own]
        truth[sample, label] = self.truth[own]
        return predicted * truth, predicted, truth


def draws(n: int, seed: int, replicates: int = REPLICATES) -> Iterator[Array]:
    """How often each of n samples is drawn in each replicate, in blocks: float32 [block, n], whole numbers.

    Samples are drawn with replacement by numpy's PCG64(seed), a replicate after the other; the same draws serve every row of
    a (dataset, model), so that rows can be compared pairwise. The numbers do not depend on the size of a block.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    size = max(1, BLOCK_BYTES // (4 * max(n, 1)))
    for start in range(0, replicates, size):
        counts = np.empty((min(size, replicates - start), n), dtype=np.float32)
        for replicate in counts:
            replicate[:] = np.bincount(generator.integers(0, n, size=n), minlength=n)
        yield counts


def weighted_f1(n: int, seed: int, outcomes: Mapping[str, Outcomes], replicates: int = REPLICATES) -> dict[str, Array]:
    """F1 of every replicate, averaged over labels weighted by the replicate's own positives: float64 [replicates] each.

    `n` is the number of test samples. Only labels with a positive among them are averaged; a name without any is left out.
    A label whose F1 is 0/0 counts as 0, and so does a replicate without any positive (it has nothing to weigh by).
    """
    counted = {name: rows for name, rows in map(_with_positives, outcomes.items()) if rows.truth.any()}
    found: dict[str, list[Array]] = {name: [] for name in counted}
    if counted:
        for counts in draws(n, seed, replicates):
            for name, rows in counted.items():
                found[name].append(_weighted_f1(counts, rows))
    return {name: np.concatenate(blocks) for name, blocks in found.items()}


def sample_f1(n: int, rows: Outcomes) -> float:
    """The weighted F1 of the n test samples themselves, around which the replicates scatter; there must be a positive."""
    _, counted = _with_positives(("", rows))
    return float(_weighted_f1(np.ones((1, n), dtype=np.float32), counted)[0])


def _with_positives(item: tuple[str, Outcomes]) -> tuple[str, Outcomes]:
    """Drop labels without a positive, and count the others from 0."""
    name, rows = item
    kept, label = np.unique(rows.label[rows.truth]), rows.label
    own = np.isin(label, kept)
    label = np.searchsorted(kept, label[own])
    return name, Outcomes(rows.sample[own], label, rows.predicted[own], rows.truth[own])


def _weighted_f1(counts: Array, rows: Outcomes) -> Array:
    """One block: counts [block, n] to weighted F1 [block]. Sums of counts below 2**24 are exact in float32."""
    n = counts.shape[1]
    labels = int(rows.label.max()) + 1
    size = max(1, BLOCK_BYTES // (4 * n))
    numerator, mass = np.zeros(len(counts)), np.zeros(len(counts))
    for first in range(0, labels, size):
        matrices = rows.columns(first, min(first + size, labels), n)
        hits, fired, positives = ((counts @ matrix).astype(np.float64) for matrix in matrices)
        # 2 tp / (2 tp + fp + fn) = 2 tp / (fired + positives)
        f1 = np.divide(2 * hits, fired + positives, out=np.zeros_like(hits), where=fired + positives > 0)
        numerator += (f1 * positives).sum(axis=1)
        mass += positives.sum(axis=1)
    return np.divide(numerator, mass, out=np.zeros_like(mass), where=mass > 0)


def interval(values: Array) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles, linearly interpolated."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
