"""What of the samples fits into a report: how many samples, and for which concept sets, layers and labels their scores.

Sizes of what is planned are known to the byte before anything is read: scores are written as base64 of float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from superact.figures.report.choose import FEWEST
from superact.figures.report.files import floats_size
from superact.figures.report.scope import ABSENT_IS_ZERO, SUPERACTIVATOR, ConceptSet, Dataset, Model

WRAP = 400
"""More bytes than a data file has beside its numbers: names, brackets, what the page says of it."""
THUMBNAIL = 9_000
"""Bytes that a thumbnail is taken to have before any is made."""
MOST_ROWS = 100_000_000
"""Rows of activations that are read for one report."""


@dataclass(frozen=True)
class Piece:
    """The scores of the chosen samples for one label at one layer: of samples, or (`tokens`) of their tokens.

    `size` is bytes in the report, `rows` those of the warehouse that are read for it, at most.
    """

    dataset: Dataset
    model: Model
    set: ConceptSet
    layer: int
    label: int
    tokens: bool
    size: int
    rows: int

    @property
    def name(self) -> str:
        """The name of its data file."""
        kind = "tokens" if self.tokens else "scores"
        return f"{kind}/{self.dataset.name}/{self.model.name}/{self.set.name}/{self.layer}/{self.label}"

    @property
    def scan(self) -> tuple[str | int, ...]:
        """What its rows are read with: of a sparse autoencoder, those of all labels at the layer are read at once."""
        own = () if self.set.measure == ABSENT_IS_ZERO else (self.label,)
        return (self.dataset.name, self.model.name, self.set.name, self.layer, *own)


@dataclass(frozen=True)
class Shown:
    """The chosen samples of one dataset under one model: how many tokens they have, and where token scores are stored."""

    samples: int
    tokens: int
    stored: dict[tuple[str, int], int]
    """By (concept set, layer): rows of one concept, where token scores are stored."""


def pieces(dataset: Dataset, model: Model, shown: Shown) -> list[tuple[int, Piece]]:
    """Every piece of one model with its rank: 0 for a label's best layer of a set, then the next best, and so on."""
    found = []
    for one in model.sets:
        for label in range(len(dataset.labels)):
            for rank, layer in enumerate(one.ranked_layers(label)):
                n = sum((layer, detector, label) in one.choices for detector in one.detectors(layer))
                size = WRAP + n * (floats_size(shown.samples) + 40)
                found.append((rank, Piece(dataset, model, one, layer, label, False, size, 0)))
                rows = shown.stored.get((one.name, layer))
                if rows is not None and (layer, SUPERACTIVATOR, label) in one.choices:
                    size = WRAP + floats_size(shown.tokens)
                    found.append((rank, Piece(dataset, model, one, layer, label, True, size, rows)))
    return found


def fit(found: Iterable[tuple[int, Piece]], budget: int, most_rows: int = MOST_ROWS) -> tuple[list[Piece], list[Piece]]:
    """The pieces that are written within the budget of bytes and rows, and those that are left out.

    All best layers first, the scores of samples before those of tokens, then all other layers likewise. What does not fit ends
    it, so that what is there is there for a reason, not by its size.
    """
    ordered = sorted(found, key=lambda item: (min(item[0], 1), item[1].tokens, item[0]))
    kept: list[Piece] = []
    scans: dict[tuple[str | int, ...], int] = {}
    for number, (_, piece) in enumerate(ordered):
        if piece.tokens:
            scans[piece.scan] = piece.rows
        if piece.size > budget or sum(scans.values()) > most_rows:
            return kept, [piece for _, piece in ordered[number:]]
        budget -= piece.size
        kept.append(piece)
    return kept, []


@dataclass(frozen=True)
class Need:
    """What one more sample of a dataset takes, in bytes: `always`, and `scores` if all best layers are to be complete."""

    n_test: int
    always: float
    scores: float


def numbers(needs: Sequence[Need], budget: float, most: int, *, exact: bool = False) -> list[int]:
    """How many test samples of each dataset to show, `most` a dataset: as many as fit with the scores of all best layers.

    All datasets get the same number, or all they have. Never under FEWEST for the sake of scores, and at least one; `exact`:
    nor under `most`, as long as there is room without any scores.
    """

    def cost(n: int, *, scores: bool) -> float:
        return sum(min(n, need.n_test) * (need.always + (need.scores if scores else 0)) for need in needs)

    def largest(*, scores: bool) -> int:
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if cost(middle, scores=scores) <= budget else (low, middle - 1)
        return low

    n = max(largest(scores=True), min(most if exact else FEWEST, largest(scores=False)), 1)
    return [min(n, need.n_test) for need in needs]
