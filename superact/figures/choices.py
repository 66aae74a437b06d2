"""What was chosen on cal: how many labels took each delta, and each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superact.figures.extra import require
from superact.figures.frames import Numbers, Strings, check_grain, drawn, listed, some
from superact.figures.theme import DETECTORS, Style, finish, rows, set_styles

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.about import About
    from superact.figures.frames import Source

DELTAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_COLUMNS = ("concept_set", "method", "detector", "label")


def delta_histogram(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    label: Strings = None,
    detector: Strings = None,
) -> alt.TopLevelMixin:
    """How many labels chose each delta of the grid on cal, stacked by concept set, for detector superactivator.

    Where one concept set is named and no detector, its detectors are stacked instead. `layer` None takes each label at its best
    layer. Every segment has the point shape of its series, so that it is told in greyscale. The published figure is
    `plot_percentile_histogram`.

    A frame needs concept_set, method, detector, label and delta, as tables selection and layer_selection have them. Errors:
    BadInput for a frame with several rows a label and detector.
    """
    data, about, by = _chosen(source, "delta_histogram", "delta", dataset, model, layer, concept_set, label, detector)
    values = sorted({*DELTAS, *data["delta"]})
    chart = _stacked(data, "delta", values, [f"{value:g}" for value in values], "Delta selected on cal", by)
    return _finished(chart, data, about, by, f"labels by selected delta, {about.where(layer)}", "delta")


def layer_histogram(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    concept_set: Strings = None,
    label: Strings = None,
    detector: Strings = None,
) -> alt.TopLevelMixin:
    """How many labels are best at each layer on cal, stacked as in `delta_histogram`.

    The published figure is `plot_optimal_ptm_distribution`. A frame needs concept_set, method, detector, label and layer, as
    table layer_selection has them. Errors: as `delta_histogram`.
    """
    data, about, by = _chosen(source, "layer_histogram", "layer", dataset, model, None, concept_set, label, detector)
    values = data["layer"].unique().sort().to_list()
    names = [f"{layer}" if about.percent(layer) is None else f"{layer}|{about.percent(layer)} %" for layer in values]
    words = "Layer (and % through the model) that is best on cal" if about.blocks else "Layer that is best on cal"
    chart = _stacked(data, "layer", values, names, words, by)
    return _finished(chart, data, about, by, "labels by their best layer on cal", "layer")


def _chosen(
    source: Any,
    figure: str,
    value: str,
    dataset: str | None,
    model: str | None,
    layer: Numbers,
    concept_set: Strings,
    label: Strings,
    detector: Strings,
) -> tuple[pl.DataFrame, About, str]:
    """A row a choice, what the figure is about, and the column that is stacked."""
    sets = listed(concept_set)
    by = "detector" if detector is None and sets is not None and len(sets) == 1 else "concept_set"
    if detector is None and by == "concept_set":
        detector = "superactivator"
    data, about = drawn(
        source,
        figure,
        (*_COLUMNS, value),
        query="choices",
        tables="layer_selection",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        detectors=listed(detector),
    )
    data = some(data.drop_nulls(value), figure)
    check_grain(data, ("concept_set", "detector", "label"), figure)
    return data, about, by


def stacks(
    data: pl.DataFrame, value: str, values: list[Any], styles: dict[str, Style], by: str
) -> list[dict[str, Any]]:
    """One record a segment: series, place (in `values`), n labels, and from where to where it stands in its bar."""
    counts = {(row[by], row[value]): row["len"] for row in data.group_by(by, value).len().iter_rows(named=True)}
    records = []
    for place, one in enumerate(values):
        height = 0
        for series in styles:
            n = counts.get((series, one), 0)
            if n:
                records.append({"series": series, "place": place, "n": n, "low": height, "high": height + n})
            height += n
    return records


def _stacked(
    data: pl.DataFrame, value: str, values: list[Any], names: list[str], words: str, by: str
) -> alt.LayerChart:
    alt = require("altair")
    there = set(data[by])
    if by == "detector":
        styles = {name: style for name, style in DETECTORS.items() if name in there}
    else:
        styles = set_styles(data.select("concept_set", "method").unique().iter_rows())
    records = [
        {**one, "value": names[one["place"]], "middle": (one["low"] + one["high"]) / 2}
        for one in stacks(data, value, values, styles, by)
    ]
    title = "Detector" if by == "detector" else "Concept set"
    legend = alt.Legend(symbolSize=110, symbolStrokeColor=None, symbolOpacity=1)
    x = alt.X(
        "value:N",
        sort=names,
        scale=alt.Scale(domain=names),
        axis=alt.Axis(title=words, labelAngle=0, labelExpr="split(datum.label, '|')"),
    )
    top = max(one["high"] for one in records)
    y = alt.Y(
        "low:Q",
        scale=alt.Scale(domain=[0, top + 0.5 if top < 10 else top * 1.05], nice=False),
        axis=alt.Axis(title="Labels", format="d", tickMinStep=1, tickCount=6),
    )
    colour = alt.Fill(
        "series:N",
        scale=alt.Scale(domain=list(styles), range=[style.colour for style in styles.values()]),
        title=title,
        legend=legend,
    )
    shape = alt.Shape(
        "series:N",
        scale=alt.Scale(domain=list(styles), range=[style.shape for style in styles.values()]),
        title=title,
        legend=legend,
    )
    base = alt.Chart(rows(records))
    bar = base.mark_bar(stroke="white", strokeWidth=1).encode(
        x=x, y=y, y2="high:Q", fill=colour, tooltip=["series:N", "value:N", "n:Q"]
    )
    point = base.mark_point(size=60, opacity=1, stroke="white", strokeWidth=1.3).encode(
        x=x, y=alt.Y("middle:Q", title="Labels"), fill=colour, shape=shape
    )
    return alt.layer(bar, point).properties(width=max(38 * len(values), 280), height=220)


def _finished(chart: Any, data: pl.DataFrame, about: About, by: str, measured: str, value: str) -> Any:
    other = "concept_set" if by == "detector" else "detector"
    of = ", ".join(sorted(set(data[other])))
    words = []
    for (series,), own in data.group_by(by, maintain_order=True):
        top = own.group_by(value).len().sort("len", value, descending=[True, False]).row(0)
        words.append(f"{series}: {top[1]} of {len(own)} at {value} {top[0]:g}")
    return finish(
        chart,
        title=about.title,
        measured=f"{measured} ({of})",
        description=f"Number of {measured}{about.named}, {of}. Most frequent for " + "; ".join(words) + ".",
    )
