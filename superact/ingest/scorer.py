"""Scores of a block of hidden states for a matrix of concept vectors, on the model's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-8


@dataclass(frozen=True)
class Vectors:
    """The concept vectors of one set at one layer and unit: names [C], vectors float32 [C, d], biases [C]."""

    concept_set: str
    names: list[str]
    vectors: np.ndarray[Any, Any]
    biases: np.ndarray[Any, Any]


class Scorer:
    """cosine and signed distance (contract, section 4) of rows x [n, d] for all sets of one layer and unit at once.

    xhat = (x - mean) / rms; scores come out concept-major [C, n], as the files want them. float32 throughout, on `device`.
    """

    def __init__(self, sets: list[Vectors], mean: np.ndarray[Any, Any], rms: float, device: torch.device | str) -> None:
        self.sets = sets
        vectors = np.concatenate([s.vectors for s in sets])
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)

        def load(values: np.ndarray[Any, Any]) -> Tensor:
            # A copy in torch's own memory: the last bits of a product depend on how its operands are aligned.
            return torch.tensor(values, dtype=torch.float32, device=device)

        self._vectors = load(vectors)
        self._norms = load(np.maximum(norms, EPSILON))[:, None]
        self._biases = load(np.concatenate([s.biases for s in sets]))[:, None]
        self._mean = load(mean)
        self._rms = float(rms)

    @property
    def n_concepts(self) -> int:
        """Concepts over all sets."""
        return len(self._vectors)

    def normalise(self, rows: Tensor) -> Tensor:
        """Xhat of raw rows [n, d], float32."""
        return (rows.to(self._mean.device, torch.float32) - self._mean) / self._rms

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and signed distance, each float32 [C, n], of raw rows [n, d]."""
        xhat = self.normalise(rows)
        dots = self._vectors @ xhat.T
        lengths = torch.linalg.vector_norm(xhat, dim=1).clamp_min(EPSILON)
        cosine = dots / self._norms / lengths
        return cosine, (dots + self._biases) / self._norms
