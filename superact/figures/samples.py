"""Samples as figures show them: the scores of their tokens, their rank for a detector, and their pictures.

One concept of a few samples is read, whatever the size of the warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput, MissingTable
from superact.figures.frames import PACKAGE, run
from superact.figures.pictures import Pictures
from superact.figures.selected import Selected, selected
from superact.query.names import unknown

if TYPE_CHECKING:
    import polars as pl

    from superact.query import Session

__all__ = ["Pictures", "Selected", "ranked_samples", "selected", "token_scores", "tokens_of"]

SPLITS = ("train", "cal", "test")


def token_scores(
    session: Session,
    *,
    dataset: str,
    model: str,
    layer: int,
    concept_set: str,
    label: str,
    samples: Sequence[int],
    delta: float | None = None,
) -> pl.DataFrame:
    """The content tokens of some samples, scored for the concept that detector superactivator reads for a label.

    Columns: sample, token Int32; text String, char_start, char_end Int32 (NULL for images); row, col Int32 (NULL for texts);
    score Float32 in units of the set's measure (0 where a feature of a sparse autoencoder is not active); in_concept Boolean,
    the token carries the label; superactivator Boolean, the score reaches the threshold at `delta` (None: the selected one).
    One row a (sample, token), in that order. Errors: as `superact.figures.selected.selected`, MissingTable where the token
    scores are not stored, BadInput for a sample that is not there.
    """
    keys = {"dataset": dataset, "model": model, "layer": layer, "concept_set": concept_set}
    return tokens_of(session, selected(session, label=label, delta=delta, **keys), samples)  # type: ignore[arg-type]


def tokens_of(session: Session, choice: Selected, samples: Sequence[int]) -> pl.DataFrame:
    """`token_scores` for a choice made before; its detector must be one of unit token."""
    table = "sae_activations" if choice.measure == "activation" else "activations"
    place: dict[str, Any] = {"dataset": choice.dataset, "model": choice.model, "layer": choice.layer}
    state = session.warehouse.state()
    if state.get(table, **place, concept_set=choice.concept_set, unit="token") is None:
        where = " ".join(f"{name} {value}" for name, value in {**place, "concept_set": choice.concept_set}.items())
        raise MissingTable(
            stage="This figure", table=table, where=where, warehouse=session.warehouse.root, command="superact score"
        )
    wanted = sorted(set(map(int, samples)))
    check_samples(session, choice.dataset, wanted)
    span = {"samples": wanted, "first": min(wanted, default=0), "last": max(wanted, default=-1)}
    return run(session, PACKAGE, "sample_tokens", **choice.keys, **span)


def ranked_samples(
    session: Session,
    *,
    dataset: str,
    model: str,
    layer: int,
    concept_set: str,
    label: str,
    detector: str = "superactivator",
    delta: float | None = None,
    split: str = "test",
) -> pl.DataFrame:
    """The samples of a split by their score, best first, with truth and decision at `delta` (None: the selected one).

    Columns: sample Int32; score Float32 (NULL without a content token); positive, detected Boolean; outcome String: tp, fp, fn
    or tn, whose counts are those of table detection. One row a sample. Errors: as `superact.figures.selected.selected`.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    choice = selected(
        session,
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        detector=detector,
        delta=delta,
    )
    return ranked_of(session, choice, split)


def ranked_of(session: Session, choice: Selected, split: str = "test") -> pl.DataFrame:
    """`ranked_samples` for a choice made before."""
    return run(session, PACKAGE, "ranked_samples", **choice.keys, split=split)


def check_samples(session: Session, dataset: str, wanted: Sequence[int]) -> None:
    """Raise BadInput, saying which there are, for a sample that the dataset has not."""
    found = run(session, PACKAGE, "sample_range", dataset=dataset, samples=list(wanted)).to_dicts()[0]
    if found["missing"]:
        there = "none" if found["last"] is None else f"{found['first']} to {found['last']}"
        raise BadInput(
            what=f"There is no sample {found['missing'][0]} of {dataset}.", remedy=f"Its samples are {there}."
        )
