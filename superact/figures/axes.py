"""Axes that several figures share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from superact.figures.extra import require

if TYPE_CHECKING:
    import altair as alt

    from superact.figures.about import About


def layer_axis(layers: Iterable[int], about: About, title: bool = True) -> alt.X:
    """Depth as an axis: a tick a stored layer, and how far through the model it is below it."""
    alt = require("altair")
    known = sorted(set(layers))
    labels: str = "format(datum.value, 'd')"
    if about.blocks:
        labels = f"[{labels}, round(100 * datum.value / {about.blocks}) + ' %']"
    words = "Layer (and % through the model)" if about.blocks else "Layer"
    pad = max((known[-1] - known[0]) * 0.06, 0.5)
    return alt.X(
        "layer:Q",
        scale=alt.Scale(domain=[known[0] - pad, known[-1] + pad], nice=False, zero=False),
        axis=alt.Axis(
            values=known,
            labelExpr=labels,
            title=words if title else None,
            grid=False,
            labelOverlap=True,
            labelSeparation=4,
        ),
    )


def places(layers: Iterable[int]) -> float:
    """How many points as near to each other as the two nearest layers the axis has room for."""
    known = sorted(set(layers))
    gaps = [after - before for before, after in pairwise(known)]
    return (known[-1] - known[0]) / min(gaps) + 1 if gaps else 1


def point_size(layers: Iterable[int], usual: int) -> float:
    """Area of a point in square pixels, so that the points of a line over as many layers as language models have stay apart."""
    return min(usual, usual * (15 / places(layers)) ** 1.2)


def f1_axis(title: str | None = "Weighted test F1", channel: str = "Y", labels: bool = True) -> Any:
    """F1 from 0 to 1, so that bars and lines of several figures can be compared."""
    alt = require("altair")
    axis = alt.Axis(title=title, format=".1f", tickCount=6, labels=labels, ticks=labels)
    return getattr(alt, channel)("f1:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=axis)
