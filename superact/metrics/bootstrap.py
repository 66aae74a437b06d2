"""Seeded bootstrap intervals of the weighted F1, from per-sample outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np

REPLICATES = 1000
Array = np.ndarray[Any, Any]


def draws(n: int, seed: int, replicates: int = REPLICATES) -> Array:
    """How often each of n samples is drawn in each replicate: uint16 [replicates, n].

    Samples are drawn with replacement by numpy's PCG64(seed), a replicate after the other; the same draws serve every row of
    a (dataset, model), so that rows can be compared pairwise.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    counts = np.empty((replicates, n), dtype=np.uint16)
    for replicate in counts:
        replicate[:] = np.bincount(generator.integers(0, n, size=n), minlength=n)
    return counts


def weighted_f1(counts: Array, predicted: Array, truth: Array) -> Array:
    """F1 of every replicate, averaged over labels weighted by the replicate's own positives: float64 [replicates].

    `counts` is [replicates, n]; `predicted` and `truth` are bool [n, labels]. A label whose F1 is 0/0 counts as 0, and so
    does a replicate without any positive (it has nothing to weigh by).
    """
    weights = counts.astype(np.float32)  # exact: counts are far below 2**24

    def total(mask: Array) -> Array:
        return (weights @ mask.astype(np.float32)).astype(np.float64)

    hits = total(predicted & truth)
    fired = total(predicted)
    positives = total(truth)
    # 2 tp / (2 tp + fp + fn) = 2 tp / (fired + positives)
    f1 = np.divide(2 * hits, fired + positives, out=np.zeros_like(hits), where=fired + positives > 0)
    mass = positives.sum(axis=1)
    return np.divide((f1 * positives).sum(axis=1), mass, out=np.zeros_like(mass), where=mass > 0)


def interval(values: Array) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles, linearly interpolated."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
