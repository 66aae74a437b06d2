"""`linsep`: a concept is the weight vector of a linear separator between train rows with the label and without it.

    L(w) = mean over a balanced sample of [log(1 + exp(w.x)) - y w.x],  by mini-batch Adam, no bias

with n = min(positives, negatives) rows of each kind drawn without replacement, batches of 64 reshuffled each epoch, initial
weights uniform in +-1/sqrt(d), learning rate 1e-3 * 0.8^(epoch // 5), L2-coupled weight decay 1e-4, and the stop rule of
`StopRule`. The last epoch's weights are the result. Source: published method, reference 01, section 3.3, with departures 5
(a label that cannot be learned has a status, not a random vector) and 6 (seeded); the test split is not touched at all.

The biggest trap: an easy concept reaches F1 0.99 within an epoch or two and is then still mostly its random start (cosine
0.3 with a converged logistic regression on well-separated clouds; above 0.9 on overlapping ones). `epochs` tells which.
The length of the vector grows with the number of steps, so raw logits of two concepts are not comparable; signed distances
divide by it. Results do not depend on the number of threads or on the other labels of a call.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from superact.concepts.base import NO_TRAIN_NEGATIVES, NO_TRAIN_POSITIVES, OK, Concept, length, random_generator
from superact.concepts.descent import Sample, Separator, make_separator
from superact.errors import BadInput

LEARNING_RATE, DECAY, DECAY_EVERY = 1e-3, 0.8, 5
ENOUGH_F1, PATIENCE, LEAST_GAIN = 0.99, 20, 1e-3
MEMORY_BUDGET = 1 << 30
_STEP = "linsep"


class StopRule:
    """When training ends; asked once after each epoch with the loss and F1 over the balanced train rows.

    In this order: (1) F1 >= 0.99; (2) from the second epoch on, 20 epochs in a row that were not better than the best
    loss before them by 1e-3; (3) the best loss is updated. The last allowed epoch ends training in any case.
    """

    def __init__(self, max_epochs: int = 1000) -> None:
        self._max_epochs, self._epoch = max_epochs, 0
        self._best, self._stalled = float("inf"), 0

    def after_epoch(self, loss: float, f1: float) -> bool:
        """Whether training stops after this epoch."""
        self._epoch += 1
        if f1 >= ENOUGH_F1:
            return True
        if self._epoch > 1 and self._best - loss < LEAST_GAIN:
            self._stalled += 1
            if self._stalled >= PATIENCE:
                return True
        else:
            self._stalled = 0
        self._best = min(self._best, loss)
        return self._epoch >= self._max_epochs


def learning_rate(epoch: int) -> float:
    """Of the 0-based epoch."""
    return LEARNING_RATE * DECAY ** (epoch // DECAY_EVERY)


def fit(
    rows: np.ndarray,
    positives: np.ndarray,
    *,
    concept: str,
    seed: int,
    device: str = "cpu",
    batch_size: int = 64,
    max_epochs: int = 1000,
    max_rows: int | None = None,
    memory_budget: int = MEMORY_BUDGET,
) -> Concept:
    """Learn one separator from normalised train rows.

    `rows` float32 [n, d], an array or a memory map, may be larger than memory; `positives` the numbers of the rows with
    the label (a set: repeats count once), every other row is a candidate negative. `max_rows` caps the drawn rows, both
    kinds together. Drawn rows of up to `memory_budget` bytes are held in memory, else gathered batch by batch, with the
    same result. `n_positive` and `n_negative` of the answer are the rows drawn.

    Status `no_train_positives` or `no_train_negatives`, without a vector, when one kind is missing. Raises BadInput for
    rows of another type, row numbers out of range, and rows that are not finite.
    """
    _check(rows, concept, batch_size, max_epochs, max_rows)
    chosen = np.unique(np.asarray(positives, dtype=np.int64))
    if len(chosen) and (chosen[0] < 0 or chosen[-1] >= len(rows)):
        raise BadInput(
            what=f"The positives of {concept!r} name rows outside 0..{len(rows) - 1}.",
            remedy="Number train rows from 0.",
        )
    generator = random_generator(seed, concept, _STEP)
    if len(chosen) == 0 or len(chosen) == len(rows):
        status = NO_TRAIN_POSITIVES if len(chosen) == 0 else NO_TRAIN_NEGATIVES
        return Concept(concept, None, 0.0, None, len(chosen), len(rows) - len(chosen), None, None, seed, status)
    sample = draw(rows, chosen, generator, max_rows, memory_budget)
    initial = initial_weights(generator, rows.shape[1])
    # One BLAS thread: sums do not depend on the machine, and a step is too small for two threads to help.
    with threadpool_limits(limits=1, user_api="blas"):
        separator = make_separator(sample, initial, batch_size, device)
        epochs, train_f1 = _train(separator, len(sample.chosen), generator, batch_size, max_epochs, concept)
    vector = separator.weights()
    n = len(sample.chosen) // 2
    return Concept(concept, vector, 0.0, length(vector), n, n, epochs, train_f1, seed, OK)


def fit_many(
    rows: np.ndarray,
    positives_by_label: Mapping[str, np.ndarray],
    *,
    seed: int,
    device: str = "cpu",
    batch_size: int = 64,
    max_epochs: int = 1000,
    max_rows: int | None = None,
    memory_budget: int = MEMORY_BUDGET,
) -> list[Concept]:
    """`fit` for every label, in the order of the mapping; each comes out as it would alone."""
    return [
        fit(
            rows,
            positives,
            concept=label,
            seed=seed,
            device=device,
            batch_size=batch_size,
            max_epochs=max_epochs,
            max_rows=max_rows,
            memory_budget=memory_budget,
        )
        for label, positives in positives_by_label.items()
    ]


def draw(
    rows: np.ndarray, positives: np.ndarray, generator: np.random.Generator, max_rows: int | None, memory_budget: int
) -> Sample:
    """As many positives as negatives, without replacement; the drawn rows in ascending order."""
    candidate = np.ones(len(rows), dtype=bool)
    candidate[positives] = False
    negatives = np.flatnonzero(candidate)
    n = min(len(positives), len(negatives))
    if max_rows is not None:
        n = min(n, max_rows // 2)
    drawn = np.concatenate(
        [generator.choice(positives, n, replace=False), generator.choice(negatives, n, replace=False)]
    )
    order = np.argsort(drawn)
    targets = (order < n).astype(np.float32)
    held = 2 * n * rows.shape[1] * rows.itemsize <= memory_budget
    return Sample(rows, drawn[order], targets, held)


def initial_weights(generator: np.random.Generator, width: int) -> np.ndarray:
    """Uniform in +-1/sqrt(d), float32 [d]: what torch gives a linear layer of one output."""
    bound = width**-0.5
    return generator.uniform(-bound, bound, width).astype(np.float32)


def _train(
    separator: Separator, n: int, generator: np.random.Generator, batch_size: int, max_epochs: int, concept: str
) -> tuple[int, float]:
    """Run epochs until the stop rule says so; returns how many there were and the last train F1."""
    rule, epoch = StopRule(max_epochs), 0
    while True:
        rate, order = learning_rate(epoch), generator.permutation(n)
        for start in range(0, n, batch_size):
            separator.step(order[start : start + batch_size], rate)
        loss, train_f1 = separator.evaluate(batch_size)
        if not np.isfinite(loss):
            raise BadInput(
                what=f"Training the separator of {concept!r} gave a loss of {loss}.",
                remedy="The embeddings hold NaN or infinity: extract them again with --dtype float32.",
            )
        epoch += 1
        if rule.after_epoch(loss, train_f1):
            return epoch, train_f1


def _check(rows: np.ndarray, concept: str, batch_size: int, max_epochs: int, max_rows: int | None) -> None:
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise BadInput(
            what=f"The train rows for {concept!r} are {rows.dtype} of shape {rows.shape}.",
            remedy="Give float32 [n, d].",
        )
    if batch_size < 1 or max_epochs < 1 or (max_rows is not None and max_rows < 2):
        raise BadInput(
            what=f"batch_size {batch_size}, max_epochs {max_epochs} and max_rows {max_rows} cannot be used.",
            remedy="Give at least 1, 1 and 2.",
        )
