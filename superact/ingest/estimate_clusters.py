"""What clusters cost beside what `estimate` counts: the time to make them, and the activations that eval will select."""

from __future__ import annotations

import math
import time

import numpy as np
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from superact.concepts.kmeans import BATCH, MOST_EPOCHS
from superact.ingest.estimate import Probe, clusters, train_rows
from superact.ingest.job import Job
from superact.ingest.recipe import Recipe
from superact.store.shards import shard_tokens

DETECTORS = {"token": 5, "cls": 1}
"""Detectors of a unit: each selects a concept of its own for a label."""
_FEW = 8


def selected_activations(job: Job, recipe: Recipe, probe: Probe) -> tuple[int, int]:
    """Rows and bytes of activations that eval stores at most for the recipe's sets of clusters: (rows, bytes).

    Which clusters are selected is not known beforehand: at most one a detector and label, fewer where they agree.
    """
    rows = size = 0.0
    for unit in job.units:
        n, found = job.counts.rows(unit), clusters(job, recipe, unit)
        chosen = min(found, DETECTORS[unit] * len(job.dataset.labels))
        groups = -(-n // shard_tokens(chosen)) * chosen
        for name in recipe.concept_sets(recipe.unsupervised):
            for layer in job.layers:
                rows += n * chosen
                size += probe.bytes("activations", (unit, name), layer, n * chosen, groups)
    return round(rows), round(size)


def clustering_seconds(job: Job, recipe: Recipe) -> float:
    """About what it takes on this machine at most to cluster the train rows of every layer and unit; 0 without clusters.

    As if no run ended before its last epoch. The separators of kmeans-linsep come on top: how long each trains is not known.
    """
    if not recipe.unsupervised:
        return 0.0
    each = (_seconds(train_rows(job, unit), job.model.width, clusters(job, recipe, unit)) for unit in job.units)
    return len(job.layers) * sum(each)


def _seconds(n: int, width: int, k: int) -> float:
    """One clustering of n rows, from a start among few centres and one batch that are timed on random rows."""
    rows = np.random.default_rng(0).normal(size=(min(n, BATCH), width)).astype(np.float32)
    few = min(k, _FEW)
    with threadpool_limits(limits=1):
        started = time.perf_counter()
        kmeans_plusplus(rows, few, random_state=0)
        start = (time.perf_counter() - started) * _draws(k) / _draws(few) * min(n, 3 * BATCH) / len(rows)
        model = MiniBatchKMeans(k, init=rows[np.arange(k) % len(rows)], n_init=1).partial_fit(rows)
        started = time.perf_counter()
        model.partial_fit(rows)
        batch = time.perf_counter() - started
    return start + batch * (MOST_EPOCHS + 1) * n / len(rows)


def _draws(k: int) -> float:
    """Candidates that k-means++ looks at for k centres."""
    return k * (2 + int(math.log(k)))
