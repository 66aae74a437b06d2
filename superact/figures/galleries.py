"""Many small pictures: the strongest patches of a label, and samples by what a detector makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput
from superact.figures.colours import SUPERACTIVATOR
from superact.figures.extra import require
from superact.figures.frames import PACKAGE, run
from superact.figures.panels import canvas, data_url, heading, outline, outline_key, outlines, panel_size, wrapped_row
from superact.figures.passages import number, told_apart
from superact.figures.pictures import Pictures, View
from superact.figures.samples import ranked_of, tokens_of
from superact.figures.selected import Place, Selected, labels_for, place
from superact.figures.theme import finish
from superact.figures.wording import MEASURES, caption, threshold_named

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.frames import Source

THUMBNAIL = 120
"""Pixels of the longer side of a thumbnail."""
A_ROW = 6
AROUND = 7
"""Patches along the side of the window that a top patch is shown in."""
OUTCOMES = {"tp": "True positives", "fp": "False positives", "fn": "False negatives", "tn": "True negatives"}


def top_patches(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: str | None = None,
    delta: float | None = None,
    data_root: str | Path = "Data",
    k: int = 12,
    per_sample: int | None = 1,
) -> alt.TopLevelMixin:
    """The `k` patches of test images with the largest scores for a label, each boxed amid its neighbours.

    `label`: by default the first in name order. `layer`: by default the label's best on cal. `per_sample`: at most so many
    patches of one image, None for any number. Under each stand its score, its sample, and whether it carries the label; the box
    of a superactivator is solid, that of another patch dashed. Errors: as `image_concepts`.
    """
    alt = require("altair")
    at, choice = one_choice(source, "image", dataset, model, layer, concept_set, label, delta)
    pictures = Pictures(at.session, at.dataset, at.model, data_root)
    top = strongest(at, choice, k, per_sample)
    grid = pictures.grid
    panels = []
    for rank, (sample, token, score, in_concept, is_superactivator) in enumerate(top.iter_rows(), 1):
        lines = [f"sample {sample}, patch {token}", "in concept" if in_concept else "not in concept"]
        box = divmod(token, grid[1])
        window, size = _window(box, pictures.view(sample))
        picture, x, y = canvas(_cut_url(pictures, sample, window), window, window, size)
        edges = [(box[1] + a, box[0] + b, box[1] + c, box[0] + d) for a, b, c, d in _SIDES]
        box_drawn = outline(edges, SUPERACTIVATOR, x, y, 2, None if is_superactivator else [4, 3])
        panels.append(alt.layer(picture, *box_drawn).properties(title=heading(f"{rank}. {number(score)}", lines)))
    is_all = bool(top["superactivator"].all())
    said = "All are superactivators" if is_all else "Solid boxes are superactivators, dashed ones are not"
    share = f"{top['in_concept'].sum()} of {top.height} carry the label"
    width = (THUMBNAIL + 16) * min(A_ROW, len(panels))
    return finish(
        alt.vconcat(wrapped_row(panels, A_ROW)),
        title=f"{at.about.title} | {choice.label}: the patches with the largest scores",
        measured=caption(
            width,
            f"Test images, {at.concept_set}, {MEASURES[choice.measure]} at {at.about.layer(choice.layer)}"
            f"{'' if per_sample is None else f', at most {per_sample} of an image'}; {share}.",
            f"{said} ({threshold_named(choice)}).",
        ),
        description=f"The {top.height} patches with the largest scores for {choice.label}: {share}.",
    )


def outcome_gallery(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: str | None = None,
    delta: float | None = None,
    data_root: str | Path = "Data",
    k: int = 6,
) -> alt.TopLevelMixin:
    """Test images by outcome: a row each of true and false positives and negatives, at most `k`, largest scores first.

    The detector is superactivator; superactivators and ground truth are outlined. Defaults as those of `top_patches`. Errors:
    as `image_concepts`.
    """
    alt = require("altair")
    at, choice = one_choice(source, "image", dataset, model, layer, concept_set, label, delta)
    pictures = Pictures(at.session, at.dataset, at.model, data_root)
    ranked = ranked_of(at.session, choice)
    chosen = {name: ranked.filter(ranked["outcome"] == name) for name in OUTCOMES}
    shown = [sample for rows in chosen.values() for sample in rows["sample"].head(k)]
    tokens = tokens_of(at.session, choice, shown)
    lines = []
    for name, words in OUTCOMES.items():
        head = chosen[name].head(k)
        panels = [
            _thumbnail(pictures, tokens, sample, score, choice.threshold)
            for sample, score in head.select("sample", "score").iter_rows()
        ]
        if panels:
            line = alt.hconcat(*panels, spacing=12)
            few = f", the first {head.height}" if head.height < chosen[name].height else ""
            lines.append(line.properties(title=heading(f"{words}: {chosen[name].height}{few}", [])))
    counts = ", ".join(f"{rows.height} {OUTCOMES[name].lower()}" for name, rows in chosen.items())
    none = "".join(f" No {OUTCOMES[name].lower()}." for name, rows in chosen.items() if rows.is_empty())
    return finish(
        alt.vconcat(*lines, outline_key(), spacing=16),
        title=f"{at.about.title} | {choice.label}: {ranked.height} test images by outcome",
        measured=caption(
            (THUMBNAIL + 12) * max(min(k, rows.height) for rows in chosen.values()),
            f"{at.concept_set}, {MEASURES[choice.measure]} at {at.about.layer(choice.layer)}; detected at the "
            f"{threshold_named(choice)}. Largest scores first.{none}",
        ),
        description=f"Test images of {at.about.dataset} by outcome for {choice.label}: {counts}.",
    )


def one_choice(
    source: Source,
    modality: str,
    dataset: str | None,
    model: str | None,
    layer: int | None,
    concept_set: str | None,
    label: str | None,
    delta: float | None,
) -> tuple[Place, Selected]:
    """The place and choice of a figure of one label: by default the first that could be calibrated. Errors: BadInput."""
    at = place(source, modality, dataset, model, concept_set)
    return at, at.of(labels_for(at, [], label, layer, fewest=1)[0], layer, delta)


def strongest(at: Place, choice: Selected, k: int, per_sample: int | None, split: str = "test") -> pl.DataFrame:
    """The `k` content tokens of a split with the largest scores, best first, at most `per_sample` of one sample.

    Columns: sample, token Int32, score Float32, in_concept, superactivator Boolean. Errors: BadInput for a number below 1.
    """
    if k < 1 or (per_sample is not None and per_sample < 1):
        raise BadInput(what="Fewer than one token cannot be shown.", remedy="Give numbers of at least 1.")
    most = 2**31 - 1 if per_sample is None else per_sample
    return run(at.session, PACKAGE, "top_tokens", **choice.keys, split=split, k=k, per_sample=most)


_SIDES = ((0, 0, 1, 0), (0, 1, 1, 1), (0, 0, 0, 1), (1, 0, 1, 1))


def _window(patch: tuple[int, int], view: View) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
    """The window around a (row, column) that stays on the image, (left, top, right, bottom) in patches, and its pixels."""
    width, height = min(AROUND, view.width), min(AROUND, view.height)
    left = min(max(0.0, patch[1] + 0.5 - width / 2), view.width - width)
    top = min(max(0.0, patch[0] + 0.5 - height / 2), view.height - height)
    return (left, top, left + width, top + height), panel_size(width, height, view.aspect, THUMBNAIL)


def _cut_url(pictures: Pictures, sample: int, window: tuple[float, float, float, float]) -> str:
    picture, view = pictures.seen(sample), pictures.view(sample)
    across, down = picture.width / view.width, picture.height / view.height
    left, top, right, bottom = window
    return data_url(
        picture.crop((round(left * across), round(top * down), round(right * across), round(bottom * down))),
        2 * THUMBNAIL,
    )


def _thumbnail(pictures: Pictures, tokens: pl.DataFrame, sample: int, score: float | None, threshold: float) -> Any:
    own = tokens.filter(tokens["sample"] == sample)
    view = pictures.view(sample)
    box = (0.0, 0.0, view.width, view.height)
    size = panel_size(view.width, view.height, view.aspect, THUMBNAIL)
    picture, x, y = canvas(data_url(pictures.seen(sample), 2 * THUMBNAIL), box, box, size)
    chart = require("altair").layer(picture, *outlines(pictures, own, x, y, 2.4, 1.4))
    said = "no content token" if score is None else f"score {told_apart(score, threshold)[0]}"
    return chart.properties(title=heading(f"Sample {sample}", [said], small=True))
