"""How well each localizer finds the in-concept tokens of test, as a table and as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superact.figures.extra import require
from superact.figures.frames import Strings, check_grain, drawn, opened, some, weighted
from superact.figures.theme import FLOOR, INK, finish, rows, set_styles

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from superact.figures.about import About
    from superact.figures.frames import Source

LOCALIZERS = {
    "superactivator_global": "SuperActivator, global",
    "superactivator_local": "SuperActivator, local",
    "concept_vector": "Concept vector",
    "random": "Random (floor)",
    "always": "Always (floor)",
    "never": "Never (floor)",
}
MEASURES = {"f1": "Token F1", "iou": "IoU"}
_COLUMNS = ("concept_set", "method", "label", "localizer", "f1", "iou", "n_positive")
_FLOORS = ("random", "always", "never")
_COLUMN, _ROW, _LEFT = 62, 24, 165


def localization_table(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    label: Strings = None,
) -> alt.TopLevelMixin:
    """Token F1 and IoU on test of every localizer (rows) for every concept set (columns), the best of a column in bold.

    Means over labels, weighted by the test samples that carry each. `layer` None takes each label at the layer chosen for it on
    cal by detector superactivator. Rows random, always and never are floors. The published table is that of
    `summarize_all_inversion_methods`.

    A frame needs concept_set, method, label, localizer, f1, iou and n_positive: table localization for split test, with the
    n_positive of table layer_selection. Errors: BadInput for a frame with several rows a label and localizer.
    """
    alt = require("altair")
    means, about, sets = _means(source, "localization_table", dataset, model, layer, concept_set, label)
    records = table(means, sets)
    localizers = list(dict.fromkeys(record["localizer"] for record in records))
    width, height = _LEFT + _COLUMN * 2 * len(sets), _ROW * (len(localizers) + 2)
    for record in records:
        record |= {
            "text": f"{record['value']:.3f}",
            "x": _LEFT
            + _COLUMN * (2 * sets.index(record["concept_set"]) + list(MEASURES).index(record["measure"]) + 1)
            - 12,
            "y": _ROW * (localizers.index(record["localizer"]) + 2.5),
        }
    layers = [*_headings(sets, localizers, width, height), *_numbers(records, width, height)]
    return finish(
        alt.layer(*layers).properties(width=width, height=height, view=alt.ViewConfig(stroke=None)),
        title=about.title,
        measured=_measured(about, layer) + "; bold: best of a column",
        description=f"Token F1 and IoU of every localizer{about.named}: "
        + "; ".join(
            f"{one['concept_set']} {one['localizer']} {MEASURES[one['measure']]} {one['value']:.3f}" for one in records
        )
        + ".",
    )


def _means(
    source: Any,
    figure: str,
    dataset: str | None,
    model: str | None,
    layer: int | None,
    concept_set: Strings,
    label: Strings,
) -> tuple[pl.DataFrame, About, list[str]]:
    """Weighted means by concept_set and localizer, what they are about, and the concept sets in the order of their methods."""
    import polars as pl

    data, about = drawn(
        opened(source),
        figure,
        _COLUMNS,
        query="localizations",
        tables="localization layer_selection",
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label,
        split="test",
    )
    data = some(data.drop_nulls("f1").filter(pl.col("n_positive") > 0), figure)
    check_grain(data, ("concept_set", "localizer", "label"), figure)
    sets = list(set_styles(data.select("concept_set", "method").unique().iter_rows()))
    return weighted(data, ["concept_set", "localizer"], *MEASURES), about, sets


def table(means: pl.DataFrame, sets: list[str]) -> list[dict[str, Any]]:
    """One record a number of the table: concept_set, localizer, measure, value, and whether it is the best of its column."""
    known = [name for name in LOCALIZERS if name in set(means["localizer"])]
    known += sorted(set(means["localizer"]) - set(known))
    value = {(row["concept_set"], row["localizer"]): row for row in means.iter_rows(named=True)}
    records: list[dict[str, Any]] = []
    for name in sets:
        for measure in MEASURES:
            column = [
                {"concept_set": name, "localizer": one, "measure": measure, "value": value[name, one][measure]}
                for one in known
                if (name, one) in value
            ]
            best = max(record["value"] for record in column)
            records += [{**record, "best": record["value"] == best} for record in column]
    return records


def _headings(sets: list[str], localizers: list[str], width: int, height: int) -> list[alt.Chart]:
    alt = require("altair")

    def place(records: list[dict[str, Any]], **look: Any) -> Any:
        return (
            alt.Chart(rows(records))
            .mark_text(color=INK, fontSize=12, **look)
            .encode(x=_pixels("x", width), y=_pixels("y", height), text="text:N")
        )

    names = [
        {"text": LOCALIZERS.get(one, one), "x": 6, "y": _ROW * (number + 2.5)} for number, one in enumerate(localizers)
    ]
    over = [
        {"text": name, "x": _LEFT + _COLUMN * (2 * number + 1), "y": _ROW * 0.5} for number, name in enumerate(sets)
    ]
    under = [
        {"text": word, "x": _LEFT + _COLUMN * (2 * number + place_of + 1) - 12, "y": _ROW * 1.5}
        for number in range(len(sets))
        for place_of, word in enumerate(MEASURES.values())
    ]
    edges = [0, _ROW * 2, _ROW * (2 + sum(one not in _FLOORS for one in localizers)), height]
    lines = [
        {"y": edge, "x": 0, "x2": width, "weight": 1.6 if edge in (0, height) else 0.8} for edge in sorted(set(edges))
    ]
    gap = 10
    lines += [
        {
            "y": _ROW,
            "x": _LEFT + _COLUMN * 2 * number + gap,
            "x2": _LEFT + _COLUMN * 2 * (number + 1) - gap,
            "weight": 0.8,
        }
        for number in range(len(sets))
    ]
    rule = (
        alt.Chart(rows(lines))
        .mark_rule(color=INK)
        .encode(
            x=_pixels("x", width),
            x2="x2:Q",
            y=_pixels("y", height),
            strokeWidth=alt.StrokeWidth("weight:Q", scale=None),
        )
    )
    return [rule, place(names, align="left"), place(over, fontWeight=600), place(under, align="right")]


def _numbers(records: list[dict[str, Any]], width: int, height: int) -> list[alt.Chart]:
    alt = require("altair")
    base = alt.Chart(rows(records))
    places = {"x": _pixels("x", width), "y": _pixels("y", height), "text": "text:N"}
    look = {"align": "right", "fontSize": 12, "color": INK}
    return [
        base.transform_filter("!datum.best").mark_text(**look).encode(**places),
        base.transform_filter("datum.best").mark_text(fontWeight="bold", **look).encode(**places),
    ]


def _pixels(field: str, size: int) -> Any:
    """A field that is a place in pixels, from the left or from the top."""
    alt = require("altair")
    domain = [0, size] if field == "x" else [size, 0]
    channel = alt.X if field == "x" else alt.Y
    return channel(f"{field}:Q", scale=alt.Scale(domain=domain, nice=False, zero=False), axis=None)


def _measured(about: About, layer: int | None) -> str:
    where = about.where(layer)
    return f"weighted test token F1 and IoU, cut-offs from cal, {where}"


def localization_bars(
    source: Source,
    *,
    dataset: str | None = None,
    model: str | None = None,
    layer: int | None = None,
    concept_set: Strings = None,
    label: Strings = None,
) -> alt.TopLevelMixin:
    """The numbers of `localization_table` as bars: a panel a concept set, token F1 beside IoU, floors in grey.

    Frames, defaults and errors are those of `localization_table`; the published figure is `compare_best_schemes_per_concept`.
    """
    alt = require("altair")
    means, about, sets = _means(source, "localization_bars", dataset, model, layer, concept_set, label)
    records = table(means, sets)
    order = list(dict.fromkeys(LOCALIZERS.get(record["localizer"], record["localizer"]) for record in records))
    for record in records:
        record |= {
            "name": LOCALIZERS.get(record["localizer"], record["localizer"]),
            "colour": FLOOR if record["localizer"] in _FLOORS else _BAR[record["measure"]],
            "text": f"{record['value']:.3f}",
        }
    panels = [
        _panel(
            [one for one in records if one["concept_set"] == name and one["measure"] == measure],
            order,
            name,
            measure,
            sets,
        )
        for name in sets
        for measure in MEASURES
    ]
    return finish(
        alt.concat(*panels, columns=2, spacing={"row": 8, "column": 50}),
        title=about.title,
        measured=_measured(about, layer) + "; grey: floors",
        description=f"Token F1 and IoU of every localizer as bars{about.named}; the numbers are those of localization_table.",
    )


_BAR = {"f1": "#6495ED", "iou": "#32A852"}


def _panel(own: list[dict[str, Any]], order: list[str], name: str, measure: str, sets: list[str]) -> alt.LayerChart:
    alt = require("altair")
    last, first = name == sets[-1], measure == "f1"
    x = alt.X(
        "value:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(
            title=f"{MEASURES[measure]}, test" if last else None, format=".1f", tickCount=6, labels=last, ticks=last
        ),
    )
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(ticks=False, labels=first, labelPadding=6))
    base = alt.Chart(rows(own))
    bar = base.mark_bar(height=11).encode(x=x, y=y, color=alt.Color("colour:N", scale=None))
    number = {"x": alt.value(_BAR_WIDTH + 8), "y": y, "text": "text:N"}
    plain = base.transform_filter("!datum.best").mark_text(align="left").encode(**number)
    bold = base.transform_filter("datum.best").mark_text(align="left", fontWeight="bold").encode(**number)
    title = alt.TitleParams(text=name if first else "", fontSize=12, fontWeight=600, offset=4)
    return alt.layer(bar, plain, bold).properties(width=_BAR_WIDTH, height=alt.Step(16), title=title)


_BAR_WIDTH = 220
