"""What pictures of samples are put together from: a picture, scores over it, outlines, titles and their key."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from superact.figures.colours import DIVERGING, HAIRLINE, SUPERACTIVATOR, TRUTH, channels, colour_of, step_of
from superact.figures.extra import require
from superact.figures.outlines import Segment, boundary, mask_of
from superact.figures.pictures import Pictures, View
from superact.figures.theme import rows

if TYPE_CHECKING:
    import altair as alt
    import polars as pl
    from PIL.Image import Image

LONGEST = 210
"""Pixels of the longer side of a panel."""
OPACITY = 0.55
DASHES = [5, 3]
"""Of the outline of the ground truth, which without colours is told by them."""


def data_url(picture: Image, longest: int = 2 * LONGEST) -> str:
    """A picture as a data: URL of a JPEG, no larger than `longest` pixels."""
    shown = picture.copy()
    shown.thumbnail((longest, longest))
    return _url(shown, "JPEG")


def _url(picture: Image, kind: str) -> str:
    sink = io.BytesIO()
    picture.save(sink, kind, quality=92)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(sink.getvalue()).decode()


def canvas(
    url: str, box: tuple[float, float, float, float], domain: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[alt.Chart, Any, Any]:
    """A picture over `box`, and the x and y scales of a panel of `size` pixels that shows `domain`; (left, top, right, bottom).

    Lengths are in patches.
    """
    alt = require("altair")
    left, top, right, bottom = domain
    across, down = size[0] / (right - left), size[1] / (bottom - top)
    x = alt.Scale(domain=[left, right], nice=False, zero=False)
    y = alt.Scale(domain=[bottom, top], nice=False, zero=False)
    picture = (
        alt.Chart(rows([{"x": box[0], "y": box[1], "url": url}]))
        .mark_image(
            width=(box[2] - box[0]) * across,
            height=(box[3] - box[1]) * down,
            aspect=False,
            align="left",
            baseline="top",
        )
        .encode(
            alt.X("x:Q", scale=x, axis=None),
            alt.Y("y:Q", scale=y, axis=None),
            url="url:N",
        )
        .properties(width=size[0], height=size[1])
    )
    return picture, x, y


def outline(segments: Iterable[Segment], colour: str, x: Any, y: Any, width: float = 2, dash: Any = None) -> list[Any]:
    """The layers of an outline in a colour, on a dark hairline that shows it on any ground."""
    alt = require("altair")
    data = rows([{"x": s[0], "y": s[1], "x2": s[2], "y2": s[3]} for s in segments])
    places = {
        "x": alt.X("x:Q", scale=x, axis=None),
        "y": alt.Y("y:Q", scale=y, axis=None),
        "x2": "x2:Q",
        "y2": "y2:Q",
    }
    below = alt.Chart(data).mark_rule(color=HAIRLINE, strokeWidth=width + 1.6, strokeCap="square").encode(**places)
    style = {"strokeCap": "square"} if dash is None else {"strokeDash": dash}
    above = alt.Chart(data).mark_rule(color=colour, strokeWidth=width, **style).encode(**places)
    return [below, above]


def outlines(
    pictures: Pictures, tokens: pl.DataFrame, x: Any, y: Any, truth: float, superactivators: float
) -> list[Any]:
    """The layers of ground truth and superactivators of one picture, as wide as said; the wider shows where both meet."""
    layers: list[Any] = []
    if tokens["in_concept"].any():
        layers += outline(marked(tokens, "in_concept", pictures.grid), TRUTH, x, y, truth, DASHES)
    if tokens["superactivator"].any():
        layers += outline(marked(tokens, "superactivator", pictures.grid), SUPERACTIVATOR, x, y, superactivators)
    return layers


def marked(tokens: pl.DataFrame, column: str, grid: tuple[int, int]) -> list[Segment]:
    """The boundary of the patches for which a column of token scores is true."""
    return boundary(mask_of(tokens.filter(tokens[column]).select("row", "col").iter_rows(), grid))


def wrapped_row(panels: Sequence[Any], a_row: int) -> Any:
    """Panels side by side, in rows of at most `a_row`."""
    alt = require("altair")
    lines = [
        alt.hconcat(*panels[i : i + a_row], spacing=16).resolve_scale(color="independent")
        for i in range(0, len(panels), a_row)
    ]
    return alt.vconcat(*lines, spacing=14) if len(lines) > 1 else lines[0]


def heading(text: str, lines: Sequence[str], small: bool = False) -> alt.TitleParams:
    """The title of one panel."""
    alt = require("altair")
    size = 10.5 if small else 12
    below = list(lines) or alt.Undefined
    return alt.TitleParams(text, subtitle=below, fontSize=size, subtitleFontSize=10.5, offset=5, frame="group")


def overlay(tokens: pl.DataFrame, view: View, limit: float, x: Any, y: Any, size: tuple[int, int]) -> list[Any]:
    """The layers of the scores of a picture's patches over it, with their colour bar.

    The colours are a picture of their own: rectangles beside each other would show seams. The rectangles, which are not seen,
    hold the numbers, for the colour bar and for whoever points at a patch.
    """
    alt = require("altair")
    places = {"x": alt.X("x:Q", scale=x, axis=None), "y": alt.Y("y:Q", scale=y, axis=None)}
    cells = [
        {"token": t, "x": c, "y": r, "x2": min(c + 1, view.width), "y2": min(r + 1, view.height), "score": score}
        for t, r, c, score in tokens.select("token", "row", "col", "score").iter_rows()
    ]
    stops = [limit * (2 * i / (len(DIVERGING) - 1) - 1) for i in range(len(DIVERGING))]
    bar = alt.Legend(
        orient="bottom",
        direction="horizontal",
        gradientLength=size[0],
        gradientThickness=6,
        gradientOpacity=1,
        values=[-limit, 0, limit],
        format=".2f",
        title=None,
        offset=4,
        labelFontSize=10,
    )
    colour = alt.Color("score:Q", scale=alt.Scale(domain=stops, range=list(DIVERGING)), legend=bar)
    url = _heat_url(tokens, view, limit)
    picture = alt.Chart(rows([{"x": 0, "y": 0, "url": url}])).mark_image(
        width=size[0], height=size[1], aspect=False, align="left", baseline="top", opacity=OPACITY
    )
    numbers = alt.Chart(rows(cells)).mark_rect(opacity=0)
    tooltip = ["token:Q", "score:Q"]
    return [
        picture.encode(**places, url="url:N"),
        numbers.encode(**places, x2="x2:Q", y2="y2:Q", color=colour, tooltip=tooltip),
    ]


def _heat_url(tokens: pl.DataFrame, view: View, limit: float) -> str:
    """The colours of patches as a data: URL of a PNG, many pixels a patch; clear where there is no score."""
    from PIL import Image

    rows_, columns = math.ceil(view.height), math.ceil(view.width)
    cells = Image.new("RGBA", (columns, rows_))
    for row, column, score in tokens.select("row", "col", "score").iter_rows():
        cells.putpixel((column, row), (*channels(colour_of(step_of(score, limit))), 255))
    side = max(1, math.ceil(2 * LONGEST / max(rows_, columns)))
    large = cells.resize((columns * side, rows_ * side), Image.Resampling.NEAREST)
    return _url(large.crop((0, 0, round(view.width * side), round(view.height * side))), "PNG")


def panel_size(width: float, height: float, aspect: float, longest: int = LONGEST) -> tuple[int, int]:
    """Pixels of a panel of so many patches, whose longer side is `longest`."""
    ratio = width / height * aspect
    return (longest, max(1, round(longest / ratio))) if ratio >= 1 else (max(1, round(longest * ratio)), longest)


def outline_key(truth: bool = True) -> alt.LayerChart:
    """What the outlines mean, as a line under a figure."""
    alt = require("altair")
    known = [("superactivator: a score at or above the threshold", SUPERACTIVATOR)]
    if truth:
        known.append(("ground truth", TRUTH))
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 420], nice=False), axis=None)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 16], nice=False), axis=None)
    layers = []
    for i, (text, colour) in enumerate(known):
        left = 3 + 310 * i
        box = rows([{"x": left, "x2": left + 14, "y": 2, "y2": 14}])
        for ink, width in ((HAIRLINE, 3.6), (colour, 2.0)):
            style = {"strokeDash": DASHES} if colour == ink == TRUTH else {}
            mark = alt.Chart(box).mark_rect(fillOpacity=0, stroke=ink, strokeWidth=width, strokeOpacity=1, **style)
            layers.append(mark.encode(x, y, x2="x2:Q", y2="y2:Q"))
        said = rows([{"x": left + 22, "y": 8, "text": text}])
        words = alt.Chart(said).mark_text(align="left", baseline="middle", fontSize=11)
        layers.append(words.encode(x, y, text="text:N"))
    return alt.layer(*layers).properties(width=420, height=16, view=alt.ViewConfig(strokeOpacity=0))
