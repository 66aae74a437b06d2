"""Texts with what a concept sees in them: `text_concepts` and `top_tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from superact.figures.frames import PACKAGE, Numbers, Strings, run
from superact.figures.galleries import one_choice, strongest
from superact.figures.html import TextFigure
from superact.figures.passages import Passage, Piece, number, pieces_of
from superact.figures.samples import tokens_of
from superact.figures.selected import Place, Selected, carried_by, labels_for, place
from superact.figures.wording import (
    MEASURES,
    layers_named,
    limit_of,
    samples_for,
    samples_named,
    threshold_named,
    verdict,
)

if TYPE_CHECKING:
    from superact.figures.frames import Source

AROUND = 70
"""Characters before and behind a top token, at most, cut at white space."""


def text_concepts(
    source: Source,
    *,
    sample: Numbers = None,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: Strings = None,
    delta: float | None = None,
) -> TextFigure:
    """The text of a sample once for each label: tokens coloured by score, superactivators boxed, ground truth underlined.

    `sample`: one or several; by default the test sample that carries the most labels. `label`: by default those that the
    samples carry, filled up to three. `layer`: by default each label's best on cal. `delta`: by default the selected one. The
    colours of a passage are symmetric about 0 up to the larger of its threshold and its largest score. The published figure:
    plot_multi_concept_heatmaps. Errors: BadInput for names and samples that are not there, MissingTable where nothing was
    evaluated.
    """
    at = place(source, "text", dataset, model, concept_set)
    samples = samples_for(at, sample)
    passages, choices = passages_for(at, samples, labels_for(at, samples, label, layer), layer, delta)
    which = samples_named(at, samples)
    counts = ". ".join(f"{p.group}, {p.heading}: {'; '.join(p.notes[:-1])}" for p in passages)
    return TextFigure(
        title=f"{at.about.title} | {which}",
        measured=(
            f"{at.concept_set}, {MEASURES[choices[0].measure]} of each token at {layers_named(at, choices)}, "
            f"thresholds at {'the delta selected on cal' if delta is None else f'delta {delta:g}'}.",
        ),
        passages=tuple(passages),
        description=f"{which} of {at.about.dataset}. {counts}.",
    )


def top_tokens(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: str | None = None,
    delta: float | None = None,
    k: int = 12,
    per_sample: int | None = 1,
) -> TextFigure:
    """The `k` tokens of test texts with the largest scores for a label, each in bold amid the words around it.

    `label`: by default the first in name order. `layer`: by default the label's best on cal. `per_sample`: at most so many
    tokens of one text, None for any number. All passages share one colour scale. The published figure:
    plot_tokens_in_context_byconcept. Errors: as `text_concepts`.
    """
    at, choice = one_choice(source, "text", dataset, model, layer, concept_set, label, delta)
    top = strongest(at, choice, k, per_sample)
    samples = sorted(set(top["sample"].to_list()))
    texts, tokens = texts_of(at, samples), tokens_of(at.session, choice, samples)
    limit = limit_of(choice, tokens)
    passages = []
    for rank, (sample, token, score, in_concept, is_superactivator) in enumerate(top.iter_rows(), 1):
        pieces = pieces_of(texts[sample], tokens.filter(tokens["sample"] == sample))
        notes = [f"sample {sample}, token {token}", "in concept" if in_concept else "not in concept"]
        notes += ["superactivator" if is_superactivator else "no superactivator"]
        passages.append(Passage(f"{rank}. score {number(score)}", tuple(notes), around(pieces, token), limit))
    share = f"{top['in_concept'].sum()} of {top.height} carry the label"
    return TextFigure(
        title=f"{at.about.title} | {choice.label}: the tokens with the largest scores",
        measured=(
            f"Test texts, {at.concept_set}, {MEASURES[choice.measure]} at {at.about.layer(choice.layer)}"
            f"{'' if per_sample is None else f', at most {per_sample} of a text'}; {share}; {threshold_named(choice)}.",
            f"Colours to ±{number(limit)}.",
        ),
        passages=tuple(passages),
        description=f"The {top.height} tokens with the largest scores for {choice.label}: {share}.",
    )


def passages_for(
    at: Place, samples: Sequence[int], labels: Sequence[str], layer: int | None, delta: float | None
) -> tuple[list[Passage], list[Selected]]:
    """A passage a (sample, label), in that order, and the choice of each label."""
    choices = [at.of(name, layer, delta) for name in labels]
    scored = [tokens_of(at.session, choice, samples) for choice in choices]
    texts = texts_of(at, samples)
    carried = set(carried_by(at, samples).iter_rows())
    passages = []
    for sample in samples:
        for choice, tokens in zip(choices, scored, strict=True):
            own = tokens.filter(tokens["sample"] == sample)
            limit = limit_of(choice, own)
            notes = [*verdict(choice, own, (sample, choice.label) in carried), f"colours to ±{number(limit)}"]
            group = f"sample {sample}" if len(samples) > 1 else ""
            passages.append(Passage(choice.label, tuple(notes), pieces_of(texts[sample], own), limit, group))
    return passages, choices


def texts_of(at: Place, samples: Sequence[int]) -> dict[int, str | None]:
    """The text of each sample; None where it is not stored."""
    facts = run(at.session, PACKAGE, "sample_facts", dataset=at.dataset, samples=list(samples))
    return dict(facts.select("sample", "text").iter_rows())


def around(pieces: Sequence[Piece], token: int, characters: int = AROUND) -> tuple[Piece, ...]:
    """The pieces about a token, which is marked as aimed at, with … where something was left out, on one line."""
    place = next(index for index, piece in enumerate(pieces) if token in piece.tokens)
    first = last = place
    used = 0
    while first > 0 and used + len(pieces[first - 1].text) <= characters:
        first -= 1
        used += len(pieces[first].text)
    used = 0
    while last < len(pieces) - 1 and used + len(pieces[last + 1].text) <= characters:
        last += 1
        used += len(pieces[last].text)
    # No blanks beside an ellipsis, which brings its own.
    first, last = first + (not pieces[first].tokens), last - (not pieces[last].tokens)
    shown = [
        replace(piece, text=piece.text.replace("\n", " "), aimed=token in piece.tokens)
        for piece in pieces[first : last + 1]
    ]
    return (
        *([Piece("… ")] if first > 1 else []),
        *shown,
        *([Piece(" …")] if last < len(pieces) - 2 else []),
    )
