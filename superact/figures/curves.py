"""Precision against recall, and which share of a sample's in-concept tokens are superactivators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superact.figures.extra import require
from superact.figures.frames import Strings, check_grain, drawn, labels_that_fit, spread
from superact.figures.theme import Style, finish, rows, set_styles

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.frames import Source

MOST_LABELS = 9
MOST_POINTS = 400
ISO = (0.2, 0.4, 0.6, 0.8)
_CURVE = ("concept_set", "method", "label", "selected", "threshold", "precision", "recall")
_RATIO = ("label", "sample", "n_superactivators_in_concept", "n_in_concept")


def precision_recall(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    label: Strings = None,
    detector: str = "superactivator",
) -> alt.TopLevelMixin:
    """Precision against recall on test, a panel a label and a line a concept set, the selected delta as a point.

    A curve goes through every sample score (thinned to 400 points for the drawing), the point stands at the threshold chosen on
    cal; grey curves have equal F1. `layer` None takes each label at its best layer on cal. All labels where none are named, up
    to 9. The published figures are `plot_precision_recall_curves_overlay` and `plot_pr_curves_across_methods`.

    A frame needs concept_set, method, label, selected (true for the point), threshold, precision and recall. Errors: BadInput
    for more than 9 labels without `label`.
    """
    alt = require("altair")
    import polars as pl

    data, about = drawn(
        source,
        "precision_recall",
        _CURVE,
        tables="detection layer_selection",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        detector=detector,
    )
    check_grain(data, ("concept_set", "label", "selected", "threshold"), "precision_recall")
    labels = labels_that_fit(data, label, MOST_LABELS)
    styles = set_styles(data.select("concept_set", "method").unique().iter_rows())
    panels = [_panel(data.filter(pl.col("label") == name), name, styles) for name in labels]
    where = about.where(layer)
    chosen = data.filter("selected").sort("label", "concept_set").iter_rows(named=True)
    points = [f"{one['label']} {one['concept_set']} {one['precision']:.2f} and {one['recall']:.2f}" for one in chosen]
    return finish(
        alt.concat(*panels, columns=min(3, len(panels)), spacing={"row": 16, "column": 20}),
        title=about.title,
        measured=[
            f"precision against recall on test, {detector}, {where}",
            "points: the threshold chosen on cal; grey: equal F1",
        ],
        description=f"Precision against recall{about.named}. "
        f"Precision and recall at the selected delta: {'; '.join(points)}.",
    )


def _panel(data: pl.DataFrame, label: str, styles: dict[str, Style]) -> alt.LayerChart:
    alt = require("altair")
    import polars as pl

    columns = ["concept_set", "recall", "precision"]
    ordered = data.filter(~pl.col("selected")).sort("threshold", descending=True)
    curves: list[dict[str, Any]] = []
    for name in styles:
        own = ordered.filter(pl.col("concept_set") == name).select(columns).to_dicts()
        curves += [{**one, "order": number} for number, one in enumerate(spread(own, MOST_POINTS))]
    points = data.filter("selected").select(columns).to_dicts()
    x = alt.X(
        "recall:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(title="Recall", format=".1f", grid=False, tickCount=5),
    )
    y = alt.Y(
        "precision:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(title="Precision", format=".1f", grid=False, tickCount=5),
    )
    names = list(styles)
    scale = alt.Scale(domain=names, range=[style.colour for style in styles.values()])
    legend = alt.Legend(symbolSize=100, symbolOpacity=1)
    # In another order than the other scales: Vega-Lite would take its legend, which there is none of, for theirs.
    dash = alt.Scale(domain=names[::-1], range=[list(style.dash) or [1, 0] for style in styles.values()][::-1])
    shape = alt.Scale(domain=names, range=[style.shape for style in styles.values()])
    line = (
        alt.Chart(rows(curves))
        .mark_line(strokeWidth=1.7, interpolate="linear")
        .encode(
            x=x,
            y=y,
            order="order:Q",
            stroke=alt.Stroke("concept_set:N", scale=scale, title="Concept set", legend=legend),
            strokeDash=alt.StrokeDash("concept_set:N", scale=dash, legend=None),
        )
    )
    dot = (
        alt.Chart(rows(points))
        .mark_point(size=95, opacity=1, stroke="black", strokeWidth=0.8)
        .encode(
            x=x,
            y=y,
            fill=alt.Fill("concept_set:N", scale=scale, title="Concept set", legend=legend),
            shape=alt.Shape("concept_set:N", scale=shape, title="Concept set", legend=legend),
        )
    )
    title = alt.TitleParams(text=label, fontSize=12, fontWeight=500, offset=6, limit=190)
    return alt.layer(*_iso(x, y), line, dot).properties(width=190, height=190, title=title)


def _iso(x: Any, y: Any) -> list[alt.Chart]:
    """Curves of equal F1, and their numbers at the right."""
    alt = require("altair")
    curve, ends = [], []
    for f1 in ISO:
        start = f1 / (2 - f1)
        for number in range(61):
            # Denser where the curve falls steeply.
            recall = start + (1 - start) * (number / 60) ** 3
            curve.append({"f1": f1, "recall": recall, "precision": f1 * recall / (2 * recall - f1)})
        ends.append({"recall": 1.0, "precision": start, "text": f"F1 {f1:g}".replace("0.", ".")})
    lines = alt.Chart(rows(curve)).mark_line(color="#BBBBBB", strokeWidth=0.9).encode(x=x, y=y, detail="f1:N")
    words = (
        alt.Chart(rows(ends))
        .mark_text(align="right", dx=-3, dy=-6, fontSize=9, color="#777777")
        .encode(x=x, y=y, text="text:N")
    )
    return [lines, words]


def superactivator_coverage(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: str | None = None,
    label: Strings = None,
) -> alt.TopLevelMixin:
    """Which share of a sample's in-concept tokens are superactivators: its distribution over test samples.

    Cumulative: at x stands the share of the samples with the label in which at most x of the in-concept tokens are
    superactivators. A light line a label, a dark one their mean. `layer` None takes each label at its best layer on cal. The
    published figure is the CDF of superactivators over in-concept tokens.

    A frame needs label, sample, n_superactivators_in_concept and n_in_concept, as table superactivator_ratio has them. Errors:
    BadInput for a frame with several rows a label and sample.
    """
    alt = require("altair")
    data, about = drawn(
        source,
        "superactivator_coverage",
        _RATIO,
        tables="superactivator_ratio layer_selection",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        one_set=True,
    )
    check_grain(data, ("concept_set", "label", "sample"), "superactivator_coverage")
    lines = cumulative(data)
    labels = list(dict.fromkeys(one["label"] for one in lines))
    mean = [
        {"share": step / 100, "samples": sum(one["samples"] for one in lines if one["step"] == step) / len(labels)}
        for step in range(101)
    ]
    axis = {"format": "%", "tickCount": 6}
    x = alt.X(
        "share:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(title="In-concept tokens that are superactivators, at most", **axis),
    )
    y = alt.Y("samples:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title="Test samples with the label", **axis))
    light = (
        alt.Chart(rows(lines))
        .mark_line(interpolate="step-after", strokeWidth=1.3, color="#7CCD7C")
        .encode(x=x, y=y, detail="label:N", tooltip=["label:N", "share:Q", "samples:Q"])
    )
    dark = alt.Chart(rows(mean)).mark_line(interpolate="step-after", strokeWidth=3, color="#0B5D0B").encode(x=x, y=y)
    name = data["concept_set"][0] if "concept_set" in data.columns else "the concept set"
    where = about.where(layer)
    half = next(one["samples"] for one in mean if one["share"] == 0.5)
    return finish(
        alt.layer(light, dark).properties(width=360, height=260),
        title=about.title,
        measured=[
            f"superactivators of {name} among the in-concept tokens of a test sample, {where}",
            "light: a label; dark: mean over labels",
        ],
        description="Cumulative distribution of the share of in-concept tokens that are superactivators"
        f"{about.named}, {name}, {len(labels)} labels: in {100 * half:.0f} % of samples at most half of them are.",
    )


def cumulative(data: pl.DataFrame) -> list[dict[str, Any]]:
    """One record a label and percent: share (0 to 1), and the share of its samples whose ratio is at most that.

    Ratios of counts are compared as products of integers, so that a ratio of exactly 7 % is at most 7 %.
    """
    records = []
    for (label,), own in data.sort("label").group_by("label", maintain_order=True):
        inside, total = own["n_superactivators_in_concept"], own["n_in_concept"]
        for step in range(101):
            reached = int((inside * 100 <= total * step).sum())
            records.append({"label": label, "step": step, "share": step / 100, "samples": reached / len(own)})
    return records
