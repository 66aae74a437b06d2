"""What there is to choose from on the pages: datasets, models, concept sets, layers, detectors, labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from superact.figures.report.details import Places
from superact.figures.report.plan import Piece
from superact.figures.report.scope import ConceptSet, Dataset, Model


@dataclass
class Chosen:
    """The samples of one dataset that are shown, and for each of its models where their tokens stand and their pictures are."""

    dataset: Dataset
    samples: list[int]
    places: dict[str, Places] = field(default_factory=dict)
    images: dict[str, str | None] = field(default_factory=dict)


def catalogue(chosen: Sequence[Chosen], kept: Collection[Piece]) -> dict[str, Any]:
    """What the pages can ask for, and which scores of the shown samples are there: `kept`."""
    there: dict[tuple[str, str, str, int, bool], list[int]] = {}
    for piece in kept:
        key = piece.dataset.name, piece.model.name, piece.set.name, piece.layer, piece.tokens
        there.setdefault(key, []).append(piece.label)
    return {"datasets": [_dataset(one, there) for one in chosen]}


def _dataset(one: Chosen, there: dict[Any, list[int]]) -> dict[str, Any]:
    dataset = one.dataset
    return {
        "slug": dataset.name,
        "name": dataset.title,
        "modality": dataset.modality,
        "labels": dataset.labels,
        "positives": dataset.positives,
        "test": dataset.n_test,
        "shown": len(one.samples),
        "models": [_model(one, model, there) for model in dataset.models],
    }


def _model(one: Chosen, model: Model, there: dict[Any, list[int]]) -> dict[str, Any]:
    return {
        "slug": model.name,
        "name": model.title,
        "blocks": model.blocks,
        "images": one.images.get(model.name),
        "sets": [_set(one.dataset, model, own, there) for own in model.sets],
    }


def _set(dataset: Dataset, model: Model, own: ConceptSet, there: dict[Any, list[int]]) -> dict[str, Any]:
    """`first`: by label its best layer, in a list, which is empty where it could be calibrated at none."""
    at = dataset.name, model.name, own.name
    return {
        "slug": own.name,
        "method": own.method,
        "measure": own.measure,
        "layers": [
            {
                "layer": layer,
                "detectors": own.detectors(layer),
                "scores": sorted(there.get((*at, layer, False), [])),
                "tokens": sorted(there.get((*at, layer, True), [])),
            }
            for layer in own.layers
        ],
        "first": [own.ranked_layers(label)[:1] for label in range(len(dataset.labels))],
    }
