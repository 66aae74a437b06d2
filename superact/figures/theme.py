"""The one look of all charts: colours that colour-blind readers tell apart, and beside each a dash and a point shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superact.figures.extra import require

if TYPE_CHECKING:
    import altair as alt

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
INK = "#222222"
FLOOR = "#808080"
OUT_OF_CONCEPT, IN_CONCEPT, TAIL = "#505050", "#FF9500", "#32CD32"
TAIL_DARK = "#1B7F1B"
TRUTH = "#FFD400"
HEATMAP = "viridis"


@dataclass(frozen=True)
class Style:
    """How one series is told from the others: colour, line dash (on, off, ...; empty: solid) and point shape."""

    colour: str
    dash: tuple[int, ...] = ()
    shape: str = "circle"


METHODS = {
    "avg": Style("#0072B2", (), "circle"),
    "linsep": Style("#E69F00", (8, 3), "square"),
    "kmeans": Style("#009E73", (2, 2), "triangle-up"),
    "kmeans-linsep": Style("#CC79A7", (6, 2, 1, 2), "diamond"),
    "sae": Style("#56B4E9", (10, 3, 2, 3), "cross"),
    "imported": Style("#333333", (4, 4), "triangle-down"),
    "prompt": Style("#8B4513", (8, 3, 2, 3), "stroke"),
    "always": Style(FLOOR, (2, 3), "stroke"),
    "coin": Style(FLOOR, (7, 4), "stroke"),
}
"""By method; floors and prompted models are rules rather than series."""

DETECTORS = {
    "superactivator": Style("#15284A", (), "circle"),
    "max_token": Style("#0072B2", (6, 3), "square"),
    "mean_token": Style("#009E73", (2, 2), "triangle-up"),
    "last_token": Style("#E69F00", (8, 2, 2, 2), "diamond"),
    "random_token": Style(FLOOR, (1, 3), "cross"),
    "cls": Style("#D55E00", (10, 4), "triangle-down"),
    "prompt": METHODS["prompt"],
}
"""By detector, in the order they are compared."""

_SPARE = ("#D55E00", "#332288", "#117733", "#882255", "#999933", "#44AA99", "#AA4499", "#661100")

CONFIG: dict[str, Any] = {
    "background": "white",
    "font": FONT,
    "padding": 12,
    "title": {
        "anchor": "start",
        "frame": "group",
        "color": INK,
        "fontSize": 14,
        "fontWeight": 600,
        "subtitleColor": "#444444",
        "subtitleFontSize": 12,
        "offset": 12,
    },
    "axis": {
        "labelColor": INK,
        "labelFontSize": 11,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "titlePadding": 6,
        "gridColor": "#E4E4E4",
        "domainColor": "#777777",
        "tickColor": "#777777",
        "labelLimit": 260,
    },
    "legend": {
        "labelColor": INK,
        "labelFontSize": 11,
        "labelLimit": 320,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "symbolSize": 90,
        "symbolStrokeWidth": 2,
    },
    "header": {"labelColor": INK, "labelFontSize": 12, "labelFontWeight": 500, "titleFontSize": 12},
    "view": {"stroke": "#CCCCCC"},
    "text": {"font": FONT, "color": INK},
}
"""The Vega-Lite config of every figure."""


def enable() -> None:
    """Make `superact` the Altair theme of this process, so that charts of one's own look like those of `superact.figures`."""
    alt = require("altair")
    alt.theme.register("superact", enable=True)(lambda: alt.theme.ThemeConfig({"config": CONFIG}))


def set_styles(sets: Iterable[tuple[str, str]]) -> dict[str, Style]:
    """A style for each (concept set, method), in the order of the methods; further sets of one method get spare colours.

    Example:
        >>> set_styles([("avg", "avg"), ("avg-seed1", "avg")])["avg"].colour
        '#0072B2'
    """
    order = list(METHODS)
    known = sorted(set(sets), key=lambda one: (order.index(one[1]) if one[1] in order else len(order), one[0]))
    shapes = [style.shape for style in METHODS.values()][:6]
    styles: dict[str, Style] = {}
    used: set[str] = set()
    for number, (name, method) in enumerate(known):
        own = METHODS.get(method)
        if own is None or method in used:
            spare = number % len(_SPARE)
            own = Style(_SPARE[spare], (3 + spare, 2, 1, 2), shapes[number % len(shapes)])
        used.add(method)
        styles[name] = own
    return styles


def scales(styles: dict[str, Style]) -> tuple[alt.Scale, alt.Scale, alt.Scale]:
    """The colour, strokeDash and shape scales of named styles, in their order."""
    alt = require("altair")
    names = list(styles)
    return (
        alt.Scale(domain=names, range=[style.colour for style in styles.values()]),
        alt.Scale(domain=names, range=[list(style.dash) or [1, 0] for style in styles.values()]),
        alt.Scale(domain=names, range=[style.shape for style in styles.values()]),
    )


def rows(records: Sequence[dict[str, Any]]) -> alt.InlineData:
    """Records as the data of a chart, whole: Altair's limit of 5000 rows is for frames that were never aggregated."""
    return require("altair").InlineData(values=list(records))


def finish(chart: Any, *, title: str, measured: str | Sequence[str], description: str) -> Any:
    """A chart with its title, what it measures as subtitle, its text alternative, and the look of superact.

    The description becomes the `aria-label` of the SVG.
    """
    alt = require("altair")
    lines = [measured] if isinstance(measured, str) else list(measured)
    if title:
        heading = alt.TitleParams(text=title, subtitle=lines)
    else:  # a frame need not say whose it is, and Vega draws no subtitle without a title
        own = CONFIG["title"]
        heading = alt.TitleParams(
            text=lines, fontSize=own["subtitleFontSize"], fontWeight="normal", color=own["subtitleColor"]
        )
    done = chart.properties(title=heading, description=description)
    done.config = alt.Config.from_dict(CONFIG)
    return done
