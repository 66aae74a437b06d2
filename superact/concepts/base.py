"""What every learner returns, and where its random numbers come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

OK = "ok"
NO_TRAIN_POSITIVES = "no_train_positives"
NO_TRAIN_NEGATIVES = "no_train_negatives"


@dataclass(frozen=True, eq=False)
class Concept:
    """One learned concept, as table `concepts` holds it.

    `vector` float32 [d] in the normalised space (x - mean) / rms, None unless `status` is `ok`; `norm` its length;
    `bias` 0 for methods without one; `n_positive` and `n_negative` the train rows it was learned from; `epochs`,
    `train_f1` and `seed` None for methods that have none.
    """

    concept: str
    vector: np.ndarray | None
    bias: float
    norm: float | None
    n_positive: int
    n_negative: int
    epochs: int | None
    train_f1: float | None
    seed: int | None
    status: str


def random_generator(seed: int, concept: str, step: str) -> np.random.Generator:
    """The generator (PCG64) of one step for one concept: it depends on the run seed and the two names, on nothing else.

    So a concept comes out the same whichever others are learned with it, and at every layer the same rows are drawn.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _number(concept), _number(step)])))


def _number(name: str) -> int:
    """64 bits of SHA-256: Python's own hash of a string differs from run to run."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def length(vector: np.ndarray) -> float:
    """Euclidean norm of a float32 vector, computed in float64."""
    return float(np.linalg.norm(vector.astype(np.float64)))
