"""`kmeans`: a concept is the centre of a cluster of train rows; `kmeans-linsep`: a linear separator for each such cluster.

One algorithm whatever the data (departure 7): scikit-learn's mini-batch k-means with a k-means++ start, batches of 4096 rows
drawn with replacement, ended by its own rule (10 batches without a smaller running inertia) or after 10 times as many rows
as there are. Rows may be a memory map larger than memory: batches are gathered, and the rows are then assigned to the final
centres block by block. A cluster that no train row is nearest to is dropped and counted; names are the numbers of those
that are left, as text. Source: published method, reference 01, sections 3.4 and 3.5, with departures 6 and 7.

Results depend on the rows, k and the seed, not on the number of threads. The biggest trap: cluster 17 of one seed, layer or k
has nothing to do with cluster 17 of another; only `kmeans` and `kmeans-linsep` of the same seed and k share their numbers.
The next: a separator takes a step an epoch for every 128 members, and the rates of all epochs sum to 0.025; that of a small
cluster stays near its random start, as published. `n_positive` and `train_f1` tell which.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn import config_context
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from superact.concepts.base import OK, Concept, length, random_generator
from superact.concepts.linsep import fit
from superact.errors import BadInput

BATCH, MOST_EPOCHS, PATIENCE = 4096, 10, 10
SEPARATOR_BATCH = 256
_BLOCK = 16 * 1024  # rows that are assigned at a time


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centres float32 [C, d] of the clusters that have members, and the cluster of every train row, int32 [n].

    `n_empty` is k less C: the clusters asked for that no row is nearest to, and with fewer rows than k those that could
    not be.
    """

    centres: np.ndarray
    assignment: np.ndarray
    n_empty: int

    @property
    def names(self) -> list[str]:
        """Names of the clusters: their numbers, as text."""
        return [str(number) for number in range(len(self.centres))]

    def members(self) -> list[np.ndarray]:
        """Row numbers of every cluster's members, ascending: one list a cluster, together as long as there are rows."""
        order = np.argsort(self.assignment, kind="stable")
        bounds = np.searchsorted(self.assignment[order], np.arange(len(self.centres) + 1))
        return [order[start:stop] for start, stop in pairwise(bounds)]


def cluster(rows: np.ndarray, k: int, *, seed: int) -> Clusters:
    """Cluster normalised train rows float32 [n, d], an array or a memory map, into at most k clusters.

    Raises BadInput for k below 1, and for rows that are none, of another type, or not finite.
    """
    if k < 1 or len(rows) == 0:
        raise BadInput(
            what=f"{len(rows)} train rows cannot be cut into {k} clusters.", remedy="Give at least 1 of each."
        )
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise BadInput(
            what=f"The train rows to cluster are {rows.dtype} of shape {rows.shape}.", remedy="Give float32 [n, d]."
        )
    _check_finite(rows)
    model = MiniBatchKMeans(
        n_clusters=min(k, len(rows)),
        init="k-means++",
        n_init=1,
        batch_size=min(BATCH, len(rows)),
        max_iter=MOST_EPOCHS,
        max_no_improvement=PATIENCE,
        tol=0.0,  # any other takes the variance of all rows at once
        compute_labels=False,  # would take the distances of all rows at once
        random_state=int(random_generator(seed, "kmeans", "centres").integers(2**31)),
    )
    # One thread: the rule that ends it compares sums whose last bits depend on how threads share them.
    with threadpool_limits(limits=1), config_context(assume_finite=True):
        model.fit(rows)
        assignment = np.empty(len(rows), dtype=np.int32)
        for start in range(0, len(rows), _BLOCK):
            assignment[start : start + _BLOCK] = model.predict(rows[start : start + _BLOCK])
    used = np.bincount(assignment, minlength=model.n_clusters) > 0
    number = (np.cumsum(used) - 1).astype(np.int32)
    centres = model.cluster_centers_[used].astype(np.float32)
    return Clusters(centres, number[assignment], k - len(centres))


def centre_concepts(clusters: Clusters, *, seed: int) -> list[Concept]:
    """The centres as concepts, in the order of their numbers; `n_positive` is the number of members."""
    sizes = np.bincount(clusters.assignment, minlength=len(clusters.centres))
    return [
        Concept(name, centre, 0.0, length(centre), int(n), 0, None, None, seed, OK)
        for name, centre, n in zip(clusters.names, clusters.centres, sizes, strict=True)
    ]


def separator_concepts(
    rows: np.ndarray, clusters: Clusters, *, seed: int, device: str = "cpu", max_rows: int | None = None
) -> list[Concept]:
    """A separator for each cluster: its members against as many other train rows, as `linsep.fit` with batches of 256.

    A cluster that holds every row has no separator: its status is `no_train_negatives`.
    """
    return [
        fit(rows, members, concept=name, seed=seed, device=device, batch_size=SEPARATOR_BATCH, max_rows=max_rows)
        for name, members in zip(clusters.names, clusters.members(), strict=True)
    ]


def _check_finite(rows: np.ndarray) -> None:
    for start in range(0, len(rows), _BLOCK):
        # Finite float32 values have a finite sum in float64.
        if not np.isfinite(rows[start : start + _BLOCK].sum(dtype=np.float64)):
            raise BadInput(
                what="The train rows to cluster are not finite.",
                remedy="The embeddings hold NaN or infinity: extract them again with --dtype float32.",
            )
