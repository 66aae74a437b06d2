"""One lesson of stage learn: the train rows of a layer and unit, and the concept vectors that are learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from superact.concepts import Clusters, Concept, MeanPrototype, centre_concepts, cluster, fit, separator_concepts
from superact.ingest.describe import arrow
from superact.ingest.recipe import Recipe
from superact.ingest.train_rows import TrainRows
from superact.store import Warehouse
from superact.store.rows import optional_lists
from superact.store.scratch import scratch_matrix
from superact.store.staging import StagedPartition

N_EMPTY = "n_empty"
"""Where the meta of a concepts partition says how many of the clusters asked for it does not have."""

Array = np.ndarray[Any, Any]


@dataclass
class Lesson:
    """One (layer, unit) to learn: its statistics, its rows, and the partitions of the methods still to be learned."""

    layer: int
    unit: str
    mean: Array
    rms: float
    rows: TrainRows
    parts: dict[str, StagedPartition]
    matrix: Array | None = None

    @property
    def todo(self) -> list[str]:
        """Methods that are neither published nor staged."""
        return [method for method, part in self.parts.items() if not part.current and 0 not in part.done]

    @property
    def current(self) -> bool:
        """True when every method is published."""
        return all(part.current for part in self.parts.values())

    def open_matrix(self, warehouse: Warehouse, together: int = 1) -> Array:
        """Make room for the rows; see `scratch_matrix`."""
        self.matrix = scratch_matrix(warehouse.root, len(self.rows.sample), len(self.mean), together)
        return self.matrix

    def normalise(self, rows: torch.Tensor) -> torch.Tensor:
        """Xhat of raw rows, float32, where the rows are."""
        mean = torch.from_numpy(self.mean).to(rows.device)
        return (rows.float() - mean) / self.rms


def teach(recipe: Recipe, lesson: Lesson, device: str) -> None:
    """Learn what is missing of a lesson whose matrix is filled, stage it, and let the matrix go.

    The rows are clustered once for both methods that need it; the separators are those of the same clusters.
    """
    assert lesson.matrix is not None
    rows, positives, seed = lesson.matrix, lesson.rows.positives, recipe.seed
    clusters: Clusters | None = None
    for method in lesson.todo:
        note = {}
        if method == "avg":
            concepts = _prototypes(rows, positives)
        elif method == "linsep":
            concepts = [
                fit(rows, numbers, concept=label, seed=seed, device=device, max_rows=recipe.max_rows)
                for label, numbers in positives.items()
            ]
        else:
            clusters = clusters or cluster(rows, recipe.k(lesson.unit), seed=seed)
            note[N_EMPTY] = clusters.n_empty
            if method == "kmeans":
                concepts = centre_concepts(clusters, seed=seed)
            else:
                concepts = separator_concepts(rows, clusters, seed=seed, device=device, max_rows=recipe.max_rows)
        part = lesson.parts[method]
        part.write(0, [concept_rows(method, concepts)], note)  # the note outlives a kill, the meta does not
        part.meta.update(note)
    lesson.matrix = None


def _prototypes(rows: Array, positives: dict[str, Array]) -> list[Concept]:
    prototypes = MeanPrototype(list(positives), rows.shape[1])
    block = 64 * 1024
    for start in range(0, len(rows), block):
        bounds = [np.searchsorted(numbers, [start, start + block]) for numbers in positives.values()]
        members = [numbers[a:b] - start for numbers, (a, b) in zip(positives.values(), bounds, strict=True)]
        prototypes.add(rows[start : start + block], members)
    return prototypes.finish()


def concept_rows(method: str, concepts: list[Concept]) -> Any:
    """Rows of table concepts, in name order."""
    ordered = sorted(concepts, key=lambda concept: concept.concept.encode())
    columns: dict[str, Any] = {"method": [method] * len(ordered), "vector": optional_lists([c.vector for c in ordered])}
    for name in ("concept", "bias", "norm", "n_positive", "n_negative", "epochs", "train_f1", "seed", "status"):
        columns[name] = [getattr(concept, name) for concept in ordered]
    return arrow("concepts", **columns)
