"""What is to be learned: the methods, their settings, and the names of the concept sets they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from superact.concepts.kmeans import BATCH, MOST_EPOCHS, PATIENCE, SEPARATOR_BATCH
from superact.errors import BadInput
from superact.ingest.concept_rows import SCORES, SUPERVISED
from superact.store.layout import check_slug

METHODS = {method: SCORES[method] for method in ("avg", "linsep", "kmeans", "kmeans-linsep")}
"""The methods learned here and the score each is judged by."""

LINSEP = {"batch_size": 64, "max_epochs": 1000, "learning_rate": 1e-3, "weight_decay": 1e-4, "stop_f1": 0.99}
KMEANS = {
    "init": "k-means++",
    "kmeans_batch_size": BATCH,
    "kmeans_max_epochs": MOST_EPOCHS,
    "kmeans_patience": PATIENCE,
}


@dataclass(frozen=True)
class Recipe:
    """How concepts are learned. `suffix` names a second set of the same method (another seed or k): linsep-seed1.

    `clusters` and `cls_clusters` are how many clusters kmeans and kmeans-linsep ask for among tokens and whole samples.
    """

    methods: tuple[str, ...] = ("avg", "linsep")
    seed: int = 0
    max_rows: int | None = None
    suffix: str = ""
    clusters: int = 1000
    cls_clusters: int = 50

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise BadInput(what=f"{method!r} is not a method.", remedy=f"Choose among {', '.join(METHODS)}.")
        for option, k in (("clusters", self.clusters), ("cls-clusters", self.cls_clusters)):
            if k < 1:
                raise BadInput(what=f"--{option} {k} asks for no cluster.", remedy="Give at least 1.")

    @property
    def unsupervised(self) -> list[str]:
        """The methods that look at no label."""
        return [method for method in self.methods if method not in SUPERVISED]

    def concept_set(self, method: str) -> str:
        """Path key of the set of a method."""
        return check_slug(f"{method}-{self.suffix}" if self.suffix else method, "concept set")

    def concept_sets(self, methods: Iterable[str] | None = None) -> list[str]:
        """Path keys of the sets of some methods, or of all."""
        return [self.concept_set(method) for method in (self.methods if methods is None else methods)]

    def k(self, unit: str) -> int:
        """How many clusters of a unit are asked for."""
        return self.clusters if unit == "token" else self.cls_clusters

    def hyperparameters(self, method: str, unit: str) -> dict[str, Any]:
        """What the vectors of a method depend on beside the rows and the seed."""
        separator = {**LINSEP, "max_rows": self.max_rows}
        if method in SUPERVISED:
            return {} if method == "avg" else separator
        clustering = {"k": self.k(unit), **KMEANS}
        return clustering if method == "kmeans" else {**clustering, **separator, "batch_size": SEPARATOR_BATCH}
