"""Images with what a concept sees in them: `image_concepts`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superact.figures.colours import TRUTH
from superact.figures.extra import require
from superact.figures.frames import Numbers, Strings
from superact.figures.panels import (
    DASHES,
    LONGEST,
    canvas,
    data_url,
    heading,
    marked,
    outline,
    outline_key,
    outlines,
    overlay,
    panel_size,
    wrapped_row,
)
from superact.figures.pictures import Pictures
from superact.figures.samples import tokens_of
from superact.figures.selected import Selected, carried_by, labels_for, place
from superact.figures.theme import finish
from superact.figures.wording import MEASURES, caption, layers_named, limit_of, samples_for, samples_named, verdict

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.frames import Source

A_ROW = 4
"""Panels beside each other, the original among them."""


def image_concepts(
    source: Source,
    *,
    sample: Numbers = None,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: Strings = None,
    delta: float | None = None,
    data_root: str | Path = "Data",
) -> alt.TopLevelMixin:
    """The image of a sample beside one panel a label: scores over the picture, superactivators and ground truth outlined.

    `sample`: one or several; by default the test sample that carries the most labels. `label`: by default those that the
    sample carries, filled up to three. `layer`: by default each label's best on cal. `delta`: by default the selected one.
    `data_root`: the folder of dataset folders. Left is the file's image; a panel shows what the model saw, stretched back to
    the image's aspect where it was squashed, without the padding where it was letterboxed. The colours of a panel are symmetric
    about 0 up to the larger of its threshold and its largest score. The published figure: plot_superpatches_on_heatmaps.
    Errors: BadInput for names, samples and files that are not there, MissingTable where nothing was evaluated.
    """
    alt = require("altair")
    at = place(source, "image", dataset, model, concept_set)
    samples = samples_for(at, sample)
    choices = [at.of(name, layer, delta) for name in labels_for(at, samples, label, layer)]
    pictures = Pictures(at.session, at.dataset, at.model, data_root)
    scored = [tokens_of(at.session, choice, samples) for choice in choices]
    carried = set(carried_by(at, samples).iter_rows())
    blocks, told = [], []
    for one in samples:
        own = [tokens.filter(tokens["sample"] == one) for tokens in scored]
        panels = [_original(pictures, one, own)]
        for choice, tokens in zip(choices, own, strict=True):
            heading = verdict(choice, tokens, (one, choice.label) in carried)
            panels.append(_panel(pictures, one, tokens, choice, heading))
            told.append(f"sample {one}, {choice.label}: {' '.join(heading)}")
        blocks.append(wrapped_row(panels, A_ROW))
    width = (LONGEST + 20) * min(A_ROW, len(choices) + 1)
    chart = alt.vconcat(*blocks, outline_key(), spacing=18).resolve_scale(color="independent")
    which = samples_named(at, samples)
    measured = [
        f"{at.concept_set}, {MEASURES[choices[0].measure]} of each patch at {layers_named(at, choices)}, "
        f"thresholds at {'the delta selected on cal' if delta is None else f'delta {delta:g}'}.",
        f"Colours of a panel: symmetric about 0. {geometry_told(pictures, samples)}",
    ]
    return finish(
        chart,
        title=f"{at.about.title} | {which}",
        measured=caption(width, *measured),
        description=f"{which} of {at.about.dataset}. " + ". ".join(told),
    )


def _original(pictures: Pictures, sample: int, scored: Sequence[pl.DataFrame]) -> alt.LayerChart:
    """The image as its file has it, the patches that carry a shown label outlined."""
    view = pictures.view(sample)
    _, height = panel_size(view.width, view.height, view.aspect)
    width = max(1, round(height * view.image_width / view.image_height * view.aspect))
    box = (view.left, view.top, view.left + view.image_width, view.top + view.image_height)
    picture, x, y = canvas(data_url(pictures.original(sample)), box, box, (width, height))
    layers = [picture]
    for tokens in scored:
        if tokens["in_concept"].any():
            layers += outline(marked(tokens, "in_concept", pictures.grid), TRUTH, x, y, 2, DASHES)
    original = pictures.original(sample)
    title = heading(f"Sample {sample}", [f"{original.width} × {original.height} pixels", ""])
    return require("altair").layer(*layers).properties(title=title)


def _panel(
    pictures: Pictures, sample: int, tokens: pl.DataFrame, choice: Selected, lines: Sequence[str]
) -> alt.LayerChart:
    view = pictures.view(sample)
    size = panel_size(view.width, view.height, view.aspect)
    box = (0.0, 0.0, view.width, view.height)
    picture, x, y = canvas(data_url(pictures.seen(sample)), box, box, size)
    layers = [picture, *overlay(tokens, view, limit_of(choice, tokens), x, y, size)]
    layers += outlines(pictures, tokens, x, y, 3.4, 2)
    return require("altair").layer(*layers).properties(title=heading(choice.label, lines))


def geometry_told(pictures: Pictures, samples: Iterable[int]) -> str:
    """How the images of samples met the model, as a caption says it."""
    kind, size = pictures.geometry.kind, f"{pictures.size} × {pictures.size} pixels"
    if all(pictures.original(sample).width == pictures.original(sample).height for sample in samples):
        return f"The model saw the whole image at {size}."
    if kind == "crop":
        return f"The model saw the centre square of the image at {size}."
    if kind == "squash":
        return f"The model saw the whole image squashed to {size}; it is stretched back here."
    return f"The model saw the image scaled into {size}; its padding is left out here."
