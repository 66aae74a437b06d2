"""F1 of concept sets against delta, and of detectors against depth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from superact.figures.axes import f1_axis, layer_axis, places, point_size
from superact.figures.extra import require
from superact.figures.floors import label_floors, overall_floors
from superact.figures.frames import Strings, check_grain, drawn, opened, some, weighted
from superact.figures.lines import Lines, floor_styles, floor_word
from superact.figures.theme import DETECTORS, Style, finish, rows, set_styles

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.about import About
    from superact.figures.frames import Numbers, Source

_CLS = ", cls"
_BY_DELTA = ("concept_set", "method", "unit", "detector", "label", "delta", "tp", "fp", "fn")
_BY_LAYER = ("concept_set", "unit", "detector", "layer", "f1", "ci_low", "ci_high")


def f1_by_delta(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    label: Strings = None,
    detector: str = "superactivator",
) -> alt.TopLevelMixin:
    """Weighted test F1 against delta: a line a concept set, whole samples (detector cls) dashed, the floors as rules.

    One delta for all labels, unlike tables selection and summary, which choose one a label. Weights are the test samples that
    carry a label. `layer` None takes each label at the layer chosen for it on cal. The published figure is
    `plot_detection_scores`.

    A frame needs concept_set, method, unit, detector, label, delta, tp, fp and fn, as table detection has them for split test;
    no floors are drawn from it. Errors: BadInput for a frame with several rows a label and delta.
    """
    source = opened(source)
    data, about, styles = _by_delta(source, "f1_by_delta", dataset, model, layer, concept_set, label, detector)
    means = weighted(data, ["series", "delta"], "f1")
    rules, floor = _mean_floors(source, data)
    lines = Lines(_legend(detector), styles, floor, hollow=_whole(styles))
    chart = _delta_panel(means, rules, lines, "Weighted test F1", width=430, height=300)
    return finish(
        chart,
        title=about.title,
        measured=[f"weighted test F1 by delta, thresholds from cal, {about.where(layer)}"],
        description=f"Weighted test F1 against delta{about.named}. {_peaks(means)}",
    )


def f1_by_delta_per_label(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    label: Strings = None,
    detector: str = "superactivator",
) -> alt.TopLevelMixin:
    """Test F1 against delta, a panel a label: lines and rules as in `f1_by_delta`, not averaged.

    The published figure is `plot_detection_scores_per_concept`. Frames, defaults and errors are those of `f1_by_delta`.
    """
    import polars as pl

    alt = require("altair")
    source = opened(source)
    data, about, styles = _by_delta(
        source, "f1_by_delta_per_label", dataset, model, layer, concept_set, label, detector
    )
    found = label_floors(source, data)
    lines = Lines(_legend(detector), styles, floor_styles(found), hollow=_whole(styles))
    panels = []
    for name in data["label"].unique().sort():
        own = data.filter(pl.col("label") == name)
        floor = found.filter(pl.col("label") == name).select("name", "f1").iter_rows()
        rules = [{"series": floor_word(one), "f1": f1} for one, f1 in floor]
        panel = _delta_panel(own, rules, lines, "Test F1", width=210, height=130)
        n = own["n_positive"][0]
        heading = alt.TitleParams(text=f"{name} ({n} test samples)", fontSize=12, fontWeight=500, offset=6, limit=230)
        panels.append(panel.properties(title=heading))
    return finish(
        alt.concat(*panels, columns=3, spacing={"row": 16, "column": 20}),
        title=about.title,
        measured=f"test F1 by delta for each label, thresholds from cal, {about.where(layer)}",
        description=f"Test F1 against delta, a panel a label{about.named}: {', '.join(data['label'].unique().sort())}.",
    )


def _by_delta(
    source: Any,
    figure: str,
    dataset: str | None,
    model: str | None,
    layer: int | None,
    concept_set: Strings,
    label: Strings,
    detector: str,
) -> tuple[pl.DataFrame, About, dict[str, Style]]:
    """A row a (series, label, delta) with f1 and n_positive, what it is about, and the style of each series."""
    import polars as pl

    data, about = drawn(
        source,
        figure,
        _BY_DELTA,
        query="detection_by_delta",
        tables="detection layer_selection",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        detectors=[detector, "cls"],
        split="test",
    )
    check_grain(data, ("concept_set", "unit", "detector", "label", "delta"), figure)
    tp, fp, fn = (pl.col(name) for name in ("tp", "fp", "fn"))
    whole = (pl.col("detector") == "cls") & pl.lit(detector != "cls")
    data = data.with_columns(
        f1=pl.when(2 * tp + fp + fn > 0).then(2 * tp / (2 * tp + fp + fn)).otherwise(0.0),
        n_positive=tp + fn,
        series=pl.when(whole).then(pl.col("concept_set") + _CLS).otherwise(pl.col("concept_set")),
    ).filter(pl.col("n_positive") > 0)
    data = some(data, figure)
    own = set_styles(data.select("concept_set", "method").unique().iter_rows())
    series = set(data["series"])
    styles: dict[str, Style] = {}
    for name, style in own.items():
        if name in series:
            styles[name] = Style(style.colour, (), style.shape)
        if name + _CLS in series:
            styles[name + _CLS] = Style(style.colour, (5, 4), style.shape)
    return data, about, styles


def _mean_floors(source: Any, data: pl.DataFrame) -> tuple[list[dict[str, Any]], dict[str, Style]]:
    """The floors over the labels that are drawn, as records of series and f1, and their styles."""
    import polars as pl

    found = label_floors(source, data)
    found = found.filter(pl.col("label").is_in(data["label"].unique().to_list()))
    means = weighted(found, ["name"], "f1")
    return [{"series": floor_word(name), "f1": f1} for name, f1 in means.iter_rows()], floor_styles(found)


def _delta_panel(
    own: pl.DataFrame, rules: list[dict[str, Any]], lines: Lines, y_title: str, *, width: int, height: int
) -> alt.LayerChart:
    alt = require("altair")
    x = alt.X(
        "delta:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(
            title="Delta (share of in-concept cal scores kept)",
            values=[0.02, 0.2, 0.4, 0.6, 0.8, 0.95],
            labelExpr="'' + datum.value",
            grid=False,
        ),
    )
    y = f1_axis(y_title)
    base = alt.Chart(rows(own.select("series", "delta", "f1").to_dicts()))
    tooltip = ["series:N", "delta:Q", alt.Tooltip("f1:Q", format=".3f")]
    drawn_lines = lines.layers(base, tooltip, x=x, y=y)
    layers = [lines.rules(rules, y=y), *drawn_lines] if rules else drawn_lines
    return alt.layer(*layers).properties(width=width, height=height)


def _whole(names: Iterable[str]) -> list[str]:
    """The series of whole samples."""
    return [name for name in names if name.endswith(_CLS)]


def _legend(detector: str) -> str:
    return "Concept set" if detector == "superactivator" else f"Concept set, {detector}"


def _peaks(lines: pl.DataFrame) -> str:
    """The best point of each line, in words."""
    words = []
    for (name,), own in lines.group_by("series", maintain_order=True):
        best = own.sort("f1", descending=True, maintain_order=True).row(0, named=True)
        words.append(f"{name} peaks at {best['f1']:.2f} with delta {best['delta']:g}")
    return "; ".join(words) + "."


def f1_by_layer(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: Numbers = None,
    concept_set: str | None = None,
    detector: Strings = None,
) -> alt.TopLevelMixin:
    """Weighted test F1 of each detector of one concept set against depth, 95 % intervals as bands, the floors as rules.

    Every label at the same layer, delta chosen on cal for each. All detectors and layers where none are named. The published
    figure is `plot_average_detection_scores`.

    A frame needs concept_set, unit, detector, layer, f1, ci_low and ci_high, as table summary has them where layer_choice is
    fixed; no floors are drawn from it. Errors: BadInput for a frame with several rows a detector and layer.
    """
    import polars as pl

    alt = require("altair")
    source = opened(source)
    data, about = drawn(
        source,
        "f1_by_layer",
        _BY_LAYER,
        query="summaries",
        tables="summary",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        one_set=True,
        layer_choice="fixed",
        detectors=None if detector is None else [detector] if isinstance(detector, str) else list(detector),
        units=None,
    )
    data = some(data.drop_nulls("f1"), "f1_by_layer")
    check_grain(data, ("concept_set", "detector", "layer"), "f1_by_layer")
    there = set(data["detector"])
    styles = {name: style for name, style in DETECTORS.items() if name in there}
    found = overall_floors(source, data)
    lines = Lines("Detector", styles, floor_styles(found))
    x, y = layer_axis(data["layer"], about), f1_axis()
    records = data.select(pl.col("detector").alias("series"), "layer", "f1", "ci_low", "ci_high").to_dicts()
    base = alt.Chart(rows(records))
    band = base.mark_area(opacity=0.1).encode(
        x=x,
        y=alt.Y("ci_low:Q", title="Weighted test F1"),
        y2="ci_high:Q",
        fill=alt.Fill("series:N", scale=lines.scale(), title="Detector", legend=lines.legend),
    )
    tooltip, size = ["series:N", "layer:Q", "f1:Q", "ci_low:Q", "ci_high:Q"], point_size(data["layer"], 55)
    layers = [band, *lines.layers(base, tooltip, size, x=x, y=y)]
    rules = [{"series": floor_word(name), "f1": f1} for name, f1 in found.select("name", "f1").iter_rows()]
    if rules:
        layers.insert(0, lines.rules(rules, y=y))
    name = data["concept_set"][0]
    return finish(
        alt.layer(*layers).properties(width=min(max(430, 14 * places(data["layer"])), 700), height=300),
        title=about.title,
        measured=f"weighted test F1 of {name} by layer, thresholds from cal; bands: 95 % bootstrap intervals",
        description=f"Weighted test F1 of the detectors of {name} against depth{about.named}. {_ends(data)}",
    )


def _ends(data: pl.DataFrame) -> str:
    words = []
    for (name,), own in data.sort("layer").group_by("detector", maintain_order=True):
        best = own.sort("f1", descending=True, maintain_order=True).row(0, named=True)
        words.append(f"{name} is best at layer {best['layer']} with {best['f1']:.2f}")
    return "; ".join(words) + "."
