"""`avg`: a concept is the mean of the normalised embeddings of its train positives.

Normalising is affine, so mean((x - mu) / rho) = (mean(x) - mu) / rho: raw rows can be summed in the same pass that
computes mu and rho. Not unit-normalised, no negatives, no balancing. Source: published method, reference 01, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from superact.concepts.base import NO_TRAIN_POSITIVES, OK, Concept, length
from superact.errors import BadInput


class MeanPrototype:
    """Sums of the positive rows of each label, in float64, one block of rows after another.

    >>> prototypes = MeanPrototype(["red"], width=2)
    >>> prototypes.add(np.array([[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]]), [np.array([0, 1])])
    >>> prototypes.finish(mean=np.array([1.0, 0.0]), rms=2.0)[0].vector
    array([0.5, 0. ], dtype=float32)
    """

    def __init__(self, labels: Sequence[str], width: int) -> None:
        self.labels = list(labels)
        self._sums = np.zeros((len(self.labels), width), dtype=np.float64)
        self._counts = np.zeros(len(self.labels), dtype=np.int64)

    def add(self, rows: np.ndarray | torch.Tensor, membership: Sequence[np.ndarray]) -> None:
        """Add a block of train rows [n, d], raw or normalised (the same kind in every call), of any float dtype.

        `membership[i]` holds the numbers, inside this block, of the rows that carry label i; repeats count once.
        Raises BadInput when shapes or numbers do not fit.
        """
        if rows.ndim != 2 or rows.shape[1] != self._sums.shape[1] or len(membership) != len(self.labels):
            raise BadInput(
                what=f"A block of shape {tuple(rows.shape)} with {len(membership)} memberships does not fit "
                f"{len(self.labels)} labels of width {self._sums.shape[1]}.",
                remedy="Give rows [n, d] and one index array a label.",
            )
        for label, members in enumerate(membership):
            chosen = np.unique(np.asarray(members, dtype=np.int64))
            if len(chosen) == 0:
                continue
            if chosen[0] < 0 or chosen[-1] >= len(rows):
                raise BadInput(
                    what=f"Label {self.labels[label]!r} names rows outside the block of {len(rows)}.",
                    remedy="Number the rows from 0 inside each block.",
                )
            self._sums[label] += _sum(rows, chosen)
            self._counts[label] += len(chosen)

    def finish(self, mean: np.ndarray | None = None, rms: float = 1.0) -> list[Concept]:
        """The concepts, in the order of the labels. `mean` [d] and `rms` are the train statistics for raw rows, and are
        left out when the rows were already normalised.

        A label without positives has status `no_train_positives` and no vector. `n_negative` is 0: none is used.
        """
        if not rms > 0:
            raise BadInput(what=f"The train rms is {rms}.", remedy="It must be positive: are all embeddings zero?")
        centre = np.zeros(self._sums.shape[1]) if mean is None else np.asarray(mean, dtype=np.float64)
        return [self._concept(label, centre, rms) for label in range(len(self.labels))]

    def _concept(self, label: int, centre: np.ndarray, rms: float) -> Concept:
        name, count = self.labels[label], int(self._counts[label])
        if count == 0:
            return Concept(name, None, 0.0, None, 0, 0, None, None, None, NO_TRAIN_POSITIVES)
        vector = ((self._sums[label] / count - centre) / rms).astype(np.float32)
        return Concept(name, vector, 0.0, length(vector), count, 0, None, None, None, OK)


def _sum(rows: np.ndarray | torch.Tensor, chosen: np.ndarray) -> np.ndarray:
    if isinstance(rows, torch.Tensor):
        index = torch.from_numpy(chosen).to(rows.device)
        return rows.index_select(0, index).double().sum(dim=0).cpu().numpy()
    return rows[chosen].sum(axis=0, dtype=np.float64)
