"""The detectors of every concept set beside each other: by layer as a heatmap, and with intervals as bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from superact.figures.axes import f1_axis
from superact.figures.extra import require
from superact.figures.floors import overall_floors
from superact.figures.frames import Numbers, Strings, check_grain, drawn, listed, opened, some
from superact.figures.lines import Lines, floor_styles, floor_word
from superact.figures.theme import DETECTORS, HEATMAP, METHODS, finish, rows

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.about import About
    from superact.figures.frames import Source

_COLUMNS = ("concept_set", "method", "unit", "detector", "layer", "f1")
_INTERVAL = (*_COLUMNS[:4], "f1", "ci_low", "ci_high")
_CELL_HEIGHT = 23
_NARROW = 28  # pixels: the narrowest cell with a number in it
_WIDTH = 400
_DARK = 0.45
"""Viridis is light enough for black text from here on: the contrast of black and of white are equal at about .42."""


def detection_heatmap(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: Numbers = None,
    concept_set: Strings = None,
    detector: Strings = None,
    unit: Strings = None,
) -> alt.TopLevelMixin:
    """Weighted test F1 of every detector of every concept set (rows) at every layer (columns), the best layer of a row boxed.

    The box marks the largest number of its row, the first where several are equal, and gives three decimals (two beyond 16
    layers; beyond 45 no number is written); a row with one layer has none. Prompted models of the dataset have one cell over
    all layers. Viridis, from the smallest to the largest F1 drawn. The published figure is
    `plot_average_detection_scores_heatmap`.

    A frame needs concept_set, method, unit, detector, layer and f1, as table summary has them where layer_choice is fixed; no
    prompted model is drawn from it. Errors: BadInput for a frame with several rows a detector and layer.
    """
    alt = require("altair")
    source = opened(source)
    data, about = _summaries(
        source, "detection_heatmap", _COLUMNS, "fixed", dataset, model, layer, concept_set, detector, unit
    )
    check_grain(data, ("concept_set", "unit", "detector", "layer"), "detection_heatmap")
    found = overall_floors(source, data)
    prompts = found.filter(found["method"] == "prompt").sort("name")
    layers = data["layer"].unique().sort().to_list()
    records = cells(data, layers) + [
        {"row": name, "x": 0, "x2": len(layers), "f1": f1, "best": False}
        for name, f1 in prompts.select("name", "f1").iter_rows()
    ]
    order = list(dict.fromkeys(record["row"] for record in records))
    low = math.floor(10 * min(record["f1"] for record in records)) / 10
    high = max(math.ceil(10 * max(record["f1"] for record in records)) / 10, low + 0.1)
    width = _cell_width(len(layers))
    for record in records:
        record |= {
            "middle": (record["x"] + record["x2"]) / 2,
            "text": _short(record["f1"], 3 if record["best"] and width > _NARROW else 2),
            "ink": "black" if (record["f1"] - low) / (high - low) > _DARK else "white",
        }
    chart = alt.layer(*_heat(records, layers, order, about, (low, high), width))
    return finish(
        chart.properties(
            width=max(width * len(layers), 120),
            height=_CELL_HEIGHT * len(order),
        ),
        title=about.title,
        measured="weighted test F1 by layer, thresholds from cal; boxed: the best layer of a row",
        description=f"Weighted test F1 of every detector by layer{about.named}. {_best(records, layers)}",
    )


def _summaries(
    source: Any,
    figure: str,
    columns: tuple[str, ...],
    layer_choice: str,
    dataset: str | None,
    model: str | None,
    layer: Numbers,
    concept_set: Strings,
    detector: Strings,
    unit: Strings,
) -> tuple[pl.DataFrame, About]:
    data, about = drawn(
        source,
        figure,
        columns,
        query="summaries",
        tables="summary",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        layer_choice=layer_choice,
        detectors=listed(detector),
        units=listed(unit),
    )
    # A frame may be a table as it is, with more columns than are drawn, and with sets that no label could be averaged over.
    kept = [*columns, *(name for name in ("dataset", "model") if name in data.columns)]
    return some(data.drop_nulls("f1").select(kept), figure), about


def _short(value: float, digits: int) -> str:
    """A share as tables of F1 have it: .87, 1.00."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def ordered(data: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows by method, concept set and detector, in the order in which they are compared."""
    methods, detectors = list(METHODS), list(DETECTORS)

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        method = methods.index(row["method"]) if row["method"] in methods else len(methods)
        detector = detectors.index(row["detector"]) if row["detector"] in detectors else len(detectors)
        return (method, row["concept_set"], detector, row["detector"], row.get("layer") or 0)

    return sorted(data.to_dicts(), key=key)


def cells(data: pl.DataFrame, layers: list[int]) -> list[dict[str, Any]]:
    """One record a cell of the heatmap: its row, place (x to x2, in columns), f1, and whether it is the best of its row."""
    records: list[dict[str, Any]] = []
    for one in ordered(data):
        place = layers.index(one["layer"])
        row = f"{one['concept_set']} · {one['detector']}"
        records.append({"row": row, "x": place, "x2": place + 1, "f1": one["f1"], "best": False})
    for row in {record["row"] for record in records}:
        own = [record for record in records if record["row"] == row]
        if len(own) > 1:
            max(own, key=lambda record: record["f1"])["best"] = True
    return records


def _cell_width(n_layers: int) -> int:
    """Pixels; a language model has 30 layers and more, and the figure is to fit on a page."""
    return 58 if n_layers <= 8 else 42 if n_layers <= 16 else min(_NARROW, max(1260 // n_layers, 6))


def _labelled(records: list[dict[str, Any]], n_layers: int, about: About, width: int) -> list[int]:
    """The columns that have their layer below them: those of the best layers, and of the others as many as have room."""
    apart = math.ceil((38 if about.blocks else 22) / width)
    best = sorted({record["x"] for record in records if record["best"]})
    found: list[int] = []
    for column in [*best, *range(0, n_layers, apart)]:
        if all(abs(column - other) >= apart for other in found):
            found.append(column)
    return sorted(found)


def _heat(
    records: list[dict[str, Any]],
    layers: list[int],
    order: list[str],
    about: About,
    domain: tuple[float, float],
    width: int,
) -> list[alt.Chart]:
    alt = require("altair")
    names = [str(layer) if about.percent(layer) is None else f"{layer} | {about.percent(layer)} %" for layer in layers]
    labels = "[" + ", ".join(f"[{', '.join(repr(part) for part in name.split(' | '))}]" for name in names) + "]"
    axis = alt.Axis(
        title="Layer (and % through the model)" if about.blocks else "Layer",
        values=[column + 0.5 for column in _labelled(records, len(layers), about, width)],
        labelOverlap=False,
        labelExpr=f"{labels}[floor(datum.value)]",
        grid=False,
        ticks=False,
        domain=False,
    )
    scale = alt.Scale(domain=[0, len(layers)], nice=False)
    y = alt.Y("row:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=8))
    x = alt.X("x:Q", scale=scale, axis=axis)
    middle = alt.X("middle:Q", scale=scale, axis=axis)
    base = alt.Chart(rows(records))
    colour = alt.Color(
        "f1:Q",
        scale=alt.Scale(scheme=HEATMAP, domain=list(domain)),
        legend=alt.Legend(
            title="Weighted test F1",
            format=".1f",
            gradientLength=min(23 * len(order), 180),
            # Whole tenths: ticks between them would be rounded to the same numbers.
            values=[tenths / 10 for tenths in range(round(10 * domain[0]), round(10 * domain[1]) + 1)],
        ),
    )
    smaller = 0 if width > _NARROW else 2
    rect = base.mark_rect(stroke="white", strokeWidth=1).encode(x=x, x2="x2:Q", y=y, color=colour)
    plain = (
        base.transform_filter("!datum.best")
        .mark_text(fontSize=11 - smaller)
        .encode(x=middle, y=y, text="text:N", color=alt.Color("ink:N", scale=None))
    )
    chosen = base.transform_filter("datum.best")
    # Two frames, one dark and one light: one of them is seen on any colour.
    frames = [
        chosen.mark_rect(filled=False, stroke=stroke, strokeWidth=thick).encode(x=x, x2="x2:Q", y=y)
        for stroke, thick in (("black", 3.6), ("white", 1.2))
    ]
    bold = chosen.mark_text(fontSize=12 - smaller, fontWeight="bold").encode(
        x=middle, y=y, text="text:N", color=alt.Color("ink:N", scale=None)
    )
    return [rect, plain, *frames, bold] if width >= _NARROW else [rect, *frames]


def _best(records: list[dict[str, Any]], layers: list[int]) -> str:
    words = [f"{one['row']} is best at layer {layers[one['x']]} with {one['f1']:.3f}" for one in records if one["best"]]
    return ("; ".join(words) or "Every row has one layer") + "."


def f1_bars(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    detector: Strings = None,
    unit: Strings = None,
) -> alt.TopLevelMixin:
    """Weighted test F1 with its 95 % bootstrap interval: a bar a detector, a panel a concept set, floors and prompts as rules.

    `layer` None takes each label at its best layer on cal, a number all labels at that one. The published figure is
    `plot_f1_scores_horizontal_bar`.

    A frame needs concept_set, method, unit, detector, f1, ci_low and ci_high, as table summary has them for one layer_choice
    and layer; no floors are drawn from it. Errors: BadInput for a frame with several rows a detector.
    """
    alt = require("altair")
    source = opened(source)
    choice = "best" if layer is None else "fixed"
    data, about = _summaries(source, "f1_bars", _INTERVAL, choice, dataset, model, layer, concept_set, detector, unit)
    check_grain(data, ("concept_set", "unit", "detector"), "f1_bars")
    found = overall_floors(source, data, layer, listed(unit))
    rules = [{"series": floor_word(name), "f1": f1} for name, f1 in found.select("name", "f1").iter_rows()]
    lines = Lines("", {}, floor_styles(found))
    records = ordered(data.drop("dataset", "model", strict=False))
    sets = list(dict.fromkeys(record["concept_set"] for record in records))
    panels = []
    for name in sets:
        own = [record for record in records if record["concept_set"] == name]
        panels.append(_bars(name, own, rules, lines, last=name == sets[-1]))
    where = about.where(layer)
    return finish(
        alt.concat(*panels, columns=1, spacing=8),
        title=about.title,
        measured=[f"weighted test F1, thresholds from cal, {where}", "whiskers: 95 % bootstrap intervals"],
        description=f"Weighted test F1 by concept set and detector{about.named}: "
        + "; ".join(f"{one['concept_set']} {one['detector']} {one['f1']:.2f}" for one in records)
        + "".join(f"; {rule['series']} {rule['f1']:.2f}" for rule in rules)
        + ".",
    )


def _bars(
    name: str, own: list[dict[str, Any]], rules: list[dict[str, Any]], lines: Lines, last: bool
) -> alt.LayerChart:
    alt = require("altair")
    best = max(own, key=lambda record: record["f1"])
    for record in own:
        record["text"], record["best"] = _short(record["f1"], 3), record is best
    order = [record["detector"] for record in own]
    y = alt.Y("detector:N", sort=order, title=None, axis=alt.Axis(ticks=False, minExtent=95, labelPadding=6))
    words = "Weighted test F1" if last else None
    x = f1_axis(words, "X", labels=last)
    base = alt.Chart(rows(own))
    colour = alt.Fill(
        "detector:N",
        scale=alt.Scale(domain=list(DETECTORS), range=[style.colour for style in DETECTORS.values()]),
        legend=None,
    )
    bar = base.mark_bar(height=11).encode(x=x, y=y, fill=colour)
    ends = {"x": alt.X("ci_low:Q", title=words), "x2": "ci_high:Q", "y": y}
    halo = base.mark_rule(strokeWidth=3.5, stroke="white").encode(**ends)
    whisker = base.mark_rule(strokeWidth=1.5, stroke="black").encode(**ends)
    # A column of numbers beside the plot: inside it they would stand on rules and whiskers.
    number = {"x": alt.value(_WIDTH + 8), "y": y, "text": "text:N"}
    plain = base.transform_filter("!datum.best").mark_text(align="left").encode(**number)
    bold = base.transform_filter("datum.best").mark_text(align="left", fontWeight="bold").encode(**number)
    layers = [bar, halo, whisker, plain, bold]
    if rules:
        under = alt.Chart(rows(rules)).mark_rule(strokeWidth=4, stroke="white", opacity=0.75).encode(x=x)
        layers[1:1] = [under, lines.rules(rules, x=x)]
    title = alt.TitleParams(text=name, fontSize=12, fontWeight=600, offset=4)
    return alt.layer(*layers).properties(width=_WIDTH, height=alt.Step(16), title=title)
