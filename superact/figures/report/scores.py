"""The scores of the chosen samples that the plan has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from superact.figures.report.details import Places, keys_of, span
from superact.figures.report.files import floats
from superact.figures.report.plan import Piece
from superact.figures.report.scope import ABSENT_IS_ZERO, AGGREGATES, SUPERACTIVATOR, read

if TYPE_CHECKING:
    import polars as pl

    from superact.query import Session
    from superact.store import State


class Scores:
    """Reads what the data files of pieces hold, from the published files of one state."""

    def __init__(self, session: Session, state: State) -> None:
        self._session, self._state = session, state
        self._sparse: dict[Any, pl.DataFrame] = {}

    def file(self, piece: Piece, places: Places) -> Any:
        """The content of the data file of a piece."""
        return self._tokens(piece, places) if piece.tokens else self._samples(piece, places)

    def _tokens(self, piece: Piece, places: Places) -> Any:
        """The scores of all content tokens of the chosen samples, in order, for the concept that superactivators are of."""
        concept = piece.set.choices[piece.layer, SUPERACTIVATOR, piece.label].concept
        sparse = piece.set.measure == ABSENT_IS_ZERO
        found = self._active(piece, places, concept) if sparse else self._dense(piece, places, concept)
        values = np.full(len(places.keys), 0 if sparse else np.nan, dtype=np.float32)
        own = keys_of(found)
        at = np.searchsorted(places.keys, own)
        there = at < len(places.keys)
        there[there] = places.keys[at[there]] == own[there]
        values[at[there]] = found["score"].to_numpy()[there]
        return {"concept": concept, "scores": floats(values)}

    def _dense(self, piece: Piece, places: Places, concept: str) -> pl.DataFrame:
        paths = self._paths("activations", piece, "token")
        measure = piece.set.measure
        return read(
            self._session, "token_scores", paths=paths, concept=concept, measure=measure, **span(places.samples)
        )

    def _active(self, piece: Piece, places: Places, concept: str) -> pl.DataFrame:
        """Activations of one feature. Those of all labels at the layer are read at once: they lie in the same row groups."""
        import polars as pl

        key = piece.scan
        if key not in self._sparse:
            chosen = piece.set.choices.items()
            wanted = {own.concept for (at, name, _), own in chosen if (at, name) == (piece.layer, SUPERACTIVATOR)}
            paths = self._paths("sae_activations", piece, "token")
            self._sparse[key] = read(
                self._session, "token_scores_sae", paths=paths, concepts=sorted(wanted), **span(places.samples)
            )
        return self._sparse[key].filter(pl.col("concept") == concept)

    def _samples(self, piece: Piece, places: Places) -> Any:
        """By detector what it reads in the chosen samples, in order; NaN for a sample without a content token."""
        import polars as pl

        by_unit: dict[tuple[str, str], pl.DataFrame] = {}
        found = []
        for detector in piece.set.detectors(piece.layer):
            choice = piece.set.choices.get((piece.layer, detector, piece.label))
            if choice is None:
                continue
            key = choice.unit, choice.concept
            if key not in by_unit:
                paths = self._paths("sample_scores", piece, choice.unit)
                by_unit[key] = read(
                    self._session, "sample_scores", paths=paths, concept=choice.concept, **span(places.samples)
                )
            own = by_unit[key].filter(pl.col("aggregate") == AGGREGATES[detector])
            scores = dict(own.select("sample", "score").iter_rows())
            absent = 0.0 if piece.set.measure == ABSENT_IS_ZERO else np.nan
            values = [absent if (score := scores.get(sample)) is None else score for sample in places.samples]
            found.append([detector, choice.concept, floats(np.array(values, dtype=np.float32))])
        return {"detectors": found}

    def _paths(self, table: str, piece: Piece, unit: str) -> list[str]:
        """Absolute paths of the files of one partition of the piece's set."""
        keys: dict[str, Any] = {
            "dataset": piece.dataset.name,
            "model": piece.model.name,
            "layer": piece.layer,
            "concept_set": piece.set.name,
            "unit": unit,
        }
        published = self._state.get(table, **keys)
        root = self._session.warehouse.root
        return [] if published is None else [str(root / file.path) for file in published.files]
