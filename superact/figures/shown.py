"""One sample as a terminal shows it, gathered from the warehouse. `superact.figures.terminal` sets it in lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superact.figures.frames import PACKAGE, Strings, run
from superact.figures.samples import check_samples, tokens_of
from superact.figures.selected import Place, Selected, carried_by, labels_for, place
from superact.figures.wording import limit_of

if TYPE_CHECKING:
    import polars as pl

    from superact.figures.frames import Source

COLUMNS = {
    "label": "VARCHAR",
    "layer": "INTEGER",
    "concept": "VARCHAR",
    "sample": "INTEGER",
    "token": "INTEGER",
    "text": "VARCHAR",
    "char_start": "INTEGER",
    "char_end": "INTEGER",
    "row": "INTEGER",
    "col": "INTEGER",
    "score": "FLOAT",
    "threshold": "DOUBLE",
    "in_concept": "BOOLEAN",
    "superactivator": "BOOLEAN",
}
"""The columns of `Shown.records`, and the DuckDB type of each."""


@dataclass(frozen=True)
class Seen:
    """A sample as one label sees it: `score` is its largest token score, None without a content token."""

    choice: Selected
    tokens: pl.DataFrame
    positive: bool

    @property
    def score(self) -> float | None:
        """The sample's score for detector superactivator."""
        best: Any = self.tokens["score"].max()
        return None if best is None else float(best)

    @property
    def detected(self) -> bool:
        """Whether a token reaches the threshold."""
        return bool(self.tokens["superactivator"].any())

    @property
    def limit(self) -> float:
        """Where colours end on both sides of 0: the larger of the threshold and the largest score."""
        return limit_of(self.choice, self.tokens)


@dataclass(frozen=True)
class Shown:
    """A sample with the labels it is shown for. `text` is None for an image, and where the text is not stored."""

    at: Place
    sample: int
    split: str
    is_image: bool
    text: str | None
    seen: tuple[Seen, ...]
    others: tuple[str, ...]
    """Labels that could be shown too."""

    def records(self) -> list[dict[str, Any]]:
        """The token rows, one a (label, token), with the columns COLUMNS."""
        found = []
        for one in self.seen:
            choice = one.choice
            shared = {"label": choice.label, "layer": choice.layer, "concept": choice.concept}
            shared |= {"threshold": choice.threshold}
            found += [{**shared, **row} for row in one.tokens.to_dicts()]
        return found

    @property
    def chosen(self) -> str:
        """What is shown, in words, for whoever left it out."""
        layers = {one.choice.layer for one in self.seen}
        where = ", ".join(f"{one.choice.label} at {one.choice.layer}" for one in self.seen)
        layer = f"layer {layers.pop()}" if len(layers) == 1 else f"layers: {where}"
        return f"dataset {self.at.dataset}, model {self.at.model}, concept set {self.at.concept_set}, {layer}"


def show(
    source: Source,
    sample: int,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: Strings = None,
    delta: float | None = None,
) -> Shown:
    """Gather a sample and its token scores for some labels.

    `label`: by default those that the sample carries, filled up to three. `layer`: by default each label's best on cal for
    detector superactivator. Errors: BadInput for names and samples that are not there, MissingTable where nothing was
    evaluated.
    """
    at = place(source, None, dataset, model, concept_set)
    check_samples(at.session, at.dataset, [sample])
    facts = run(at.session, PACKAGE, "sample_facts", dataset=at.dataset, samples=[sample]).to_dicts()[0]
    names = labels_for(at, [sample], label, layer)
    carried = set(carried_by(at, [sample])["label"])
    choices = [at.of(name, layer, delta) for name in names]
    seen = tuple(Seen(one, tokens_of(at.session, one, [sample]), one.label in carried) for one in choices)
    every = labels_for(at, [sample], None, layer, fewest=2**31)
    others = tuple(name for name in every if name not in names)
    return Shown(at, sample, facts["split"], facts["modality"] == "image", facts["text"], seen, others)
