"""Densities of scores in and out of concept, by label and layer, with the tail that superactivators are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superact.figures.extra import require
from superact.figures.frames import Numbers, Strings, drawn, labels_that_fit, spread
from superact.figures.theme import (
    IN_CONCEPT,
    OUT_OF_CONCEPT,
    TAIL,
    TAIL_DARK,
    finish,
    rows,
)

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.about import About
    from superact.figures.frames import Source

MOST_LABELS = 6
MOST_LAYERS = 5
OUT, IN, SUPERACTIVATORS = "out of concept", "in concept", "in concept, superactivators"
SERIES = {"out_of_concept": OUT, "in_concept": IN}
SCORES = {
    "cosine": "Activation (cosine)",
    "signed_distance": "Activation (signed distance)",
    "activation": "Activation",
}
_DENSITY_COLUMNS = ("layer", "label", "population", "bin", "lo", "hi", "mass", "threshold")


def activation_distributions(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: Numbers = None,
    concept_set: str | None = None,
    label: Strings = None,
) -> alt.TopLevelMixin:
    """Densities of the test scores of tokens in and out of concept: a row a label, a column a layer.

    Grey: tokens of samples without the label; orange: tokens with it. The dashed rule is the threshold selected on cal for
    detector superactivator, the lime area the in-concept tokens beyond it. Every cell has its own axes. All labels and layers
    where none are named: up to 6 labels, and of more than 5 layers 5 that span the model. The published figure is
    `plot_activation_distributions_grid`.

    A frame needs layer, label, population, bin, lo, hi, mass and threshold, as tables distributions and selection have them;
    score (cosine, signed_distance, activation), dataset, model and blocks are used where they are columns. Errors: BadInput
    for more than 6 labels without `label`.
    """
    data, about = drawn(
        source,
        "activation_distributions",
        _DENSITY_COLUMNS,
        tables="distributions",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        one_set=True,
    )
    labels = labels_that_fit(data, label, MOST_LABELS)
    layers = data["layer"].unique().sort().to_list()
    if layer is None:
        layers = spread(layers, MOST_LAYERS)
    return _grid(data, about, labels, layers)


def _grid(data: pl.DataFrame, about: About, labels: list[str], layers: list[int]) -> alt.TopLevelMixin:
    alt = require("altair")
    import polars as pl

    cells = []
    for label in labels:
        for layer in layers:
            own = data.filter(pl.col("label") == label, pl.col("layer") == layer)
            header = about.layer(layer) if label == labels[0] else ""
            first, last = layer == layers[0], label == labels[-1]
            cells.append(_cell(own, label if first else None, header, last, 180 if len(layers) > 2 else 300))
    grid = alt.concat(*cells, columns=len(layers), spacing={"row": 12, "column": 14})
    concept_set = data["concept_set"][0] if "concept_set" in data.columns else ""
    return finish(
        grid,
        title=about.title,
        measured=f"densities of test scores{f' of {concept_set}' if concept_set else ''}, thresholds (dashed) from cal",
        description=f"Densities of the test scores of tokens in and out of concept{about.named}, {concept_set}: "
        f"labels {', '.join(labels)} by layers {', '.join(map(str, layers))}. {_reached(data, labels)}",
    )


def density(cell: pl.DataFrame) -> list[dict[str, Any]]:
    """The steps of the densities of one label and layer: series, x, density, from each bin's lower edge on.

    The steps of the superactivators begin at the threshold, inside the bin that it falls into. Empty where the test split has
    no token, or all scores are equal.
    """
    low, high = _range(cell)
    if low is None or high is None or high <= low:
        return []
    threshold = cell["threshold"][0]
    steps: list[dict[str, Any]] = []
    for population, series in SERIES.items():
        bins = cell.filter(cell["population"] == population).sort("bin")
        edges = [*bins["lo"].to_list(), high]
        heights = ((bins["mass"]) / (bins["hi"] - bins["lo"])).to_list()
        if not heights:
            continue
        steps += _steps(series, edges, heights)
        if population == "in_concept" and threshold is not None and threshold < high:
            start = max(threshold, low)
            kept = [number for number in range(len(heights)) if edges[number + 1] > start]
            tail_edges = [start, *(edges[number + 1] for number in kept)]
            steps += _steps(SUPERACTIVATORS, tail_edges, [heights[number] for number in kept])
    return steps


def _range(cell: pl.DataFrame) -> tuple[float | None, float | None]:
    """The range of the bins, which all populations of one label and layer share; None without any test token."""
    low: float | None = cell["lo"].min()  # type: ignore[assignment]
    high: float | None = cell["hi"].max()  # type: ignore[assignment]
    return low, high


def _steps(series: str, edges: list[float], heights: list[float]) -> list[dict[str, Any]]:
    # A step goes on until the next point: the last height is drawn up to the last edge.
    return [
        {"series": series, "x": edge, "density": height}
        for edge, height in zip(edges, [*heights, heights[-1]], strict=True)
    ]


def _cell(cell: pl.DataFrame, label: str | None, header: str, last: bool, width: int) -> alt.LayerChart:
    """One label at one layer; `label` stands at the left of a row, `header` over a column, the x title under the `last` row."""
    alt = require("altair")
    size = {"width": width, "height": 105}
    title = alt.TitleParams(text=header, anchor="middle", fontSize=12, fontWeight=500, offset=6)
    steps = density(cell) if len(cell) else []
    if not steps:
        text = alt.Chart(rows([{"text": "no scores to draw"}])).mark_text(color="#777777").encode(text="text:N")
        return alt.layer(text).properties(title=title, **size)
    low, high = _range(cell)
    threshold = cell["threshold"][0]
    words = SCORES.get(cell["score"][0] if "score" in cell.columns else "", "Activation")
    zeros = "score" in cell.columns and cell["score"][0] == "activation"
    top = _top(steps, zeros)
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
        axis=alt.Axis(title=words if last else None, tickCount=4, grid=False),
    )
    y = alt.Y(
        "density:Q",
        stack=None,
        scale=alt.Scale(domain=[0, top], nice=False, clamp=True),
        axis=alt.Axis(
            title=None if label is None else [label, "density"], titleLimit=130, labels=False, ticks=False, grid=False
        ),
    )
    base = alt.Chart(rows(steps))
    order = [OUT, IN, SUPERACTIVATORS]
    colour = alt.Color(
        "series:N",
        title=None,
        scale=alt.Scale(domain=order, range=[OUT_OF_CONCEPT, IN_CONCEPT, TAIL]),
        legend=alt.Legend(orient="bottom", symbolType="square", symbolOpacity=0.9),
    )
    layers: list[Any] = []
    for series, opacity in zip(order, (0.35, 0.45, 0.85), strict=True):
        own = base.transform_filter(alt.datum.series == series)
        layers.append(
            own.mark_area(interpolate="step-after", opacity=opacity, clip=True).encode(x=x, y=y, color=colour)
        )
    for series, line, dash in ((OUT, OUT_OF_CONCEPT, [3, 2]), (IN, "#B36800", [1, 0])):
        own = base.transform_filter(alt.datum.series == series)
        mark = own.mark_line(interpolate="step-after", color=line, strokeDash=dash, strokeWidth=1, clip=True)
        layers.append(mark.encode(x=x, y=y))
    if threshold is not None and low is not None and high is not None and low <= threshold <= high:
        layers += _threshold(threshold, (threshold - low) / (high - low), x)
    if zeros:
        layers += _zeros(cell, top)
    return alt.layer(*layers).properties(title=title, **size)


def _threshold(threshold: float, place: float, x: alt.X) -> list[alt.Chart]:
    """The rule of a threshold that lies at `place`, from 0 to 1, of the x axis, and the word beside it where there is room."""
    alt = require("altair")
    right = place < 0.5
    base = alt.Chart(rows([{"x": threshold, "text": "superactivators →"}]))
    rule = base.mark_rule(color=TAIL_DARK, strokeDash=[5, 3], strokeWidth=1.6).encode(x=x)
    text = base.mark_text(
        align="left" if right else "right", baseline="top", dx=4 if right else -4, fontSize=10, color=TAIL_DARK
    ).encode(x=x, y=alt.value(3), text="text:N")
    return [rule, text]


def _top(steps: list[dict[str, Any]], zeros: bool) -> float:
    """The top of the y axis, with room for the words over the tail; `zeros`: the first bin may stick out of it."""
    low = min(step["x"] for step in steps)
    heights = [step["density"] for step in steps if not (zeros and step["x"] == low)]
    return (1.6 if zeros else 1.2) * max(heights) or 1.0


def _zeros(cell: pl.DataFrame, top: float) -> list[alt.Chart]:
    """The shares of the first bin, which holds the zeros of an autoencoder and sticks out of the panel, in words."""
    alt = require("altair")
    first = cell.filter(cell["bin"] == 0)
    shares = dict(first.select("population", "mass").iter_rows())
    if all(mass / (high - low) <= top for low, high, mass in first.select("lo", "hi", "mass").iter_rows()):
        return []
    words = [f"first bin: {100 * shares.get(name, 0.0):.0f} % {series}" for name, series in SERIES.items()]
    words[1] = words[1].removeprefix("first bin: ")
    base = alt.Chart(rows([{"text": ", ".join(words)}]))
    return [
        base.mark_text(align="left", baseline="top", fontSize=9.5, color="#444444").encode(
            x=alt.value(6), y=alt.value(17), text="text:N"
        )
    ]


def _reached(data: pl.DataFrame, labels: list[str]) -> str:
    """Where the thresholds lie, in words."""
    import polars as pl

    found = data.filter(pl.col("threshold").is_not_null()).group_by("label").agg(pl.col("threshold").unique().len())
    n = found["label"].n_unique()
    return f"{n} of {len(labels)} labels have a threshold, beyond which the in-concept tail is shaded."
