"""Lines with points, and the rules of the floors, as several figures draw them: each with a legend of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from superact.figures.extra import require
from superact.figures.theme import METHODS, Style, rows

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

FLOOR_WORDS = {"always": "always yes", "coin": "coin"}


def floor_word(name: str) -> str:
    """A floor as a legend says it."""
    return FLOOR_WORDS.get(name, name)


def floor_styles(found: pl.DataFrame) -> dict[str, Style]:
    """The style of each floor and prompted model of a frame (name, method)."""
    return {
        floor_word(name): METHODS[method]
        for name, method in found.select("name", "method").unique().sort("name").iter_rows()
    }


class Lines:
    """Layers that draw one series a line: `series` and `floors` give each its style, `hollow` are series with empty points.

    Points tell the series apart, and dashes where `dashed`; the floors are told apart by their dashes.
    """

    def __init__(
        self,
        title: str,
        series: dict[str, Style],
        floors: dict[str, Style],
        *,
        hollow: Iterable[str] = (),
        floor_title: str = "Reference",
    ) -> None:
        self.alt = require("altair")
        self.title, self.series = title, series
        # Another domain than that of the series: Vega-Lite makes one legend of scales that have one domain.
        both = {**floors, **dict(reversed(series.items()))}
        legend = (
            self.alt.Legend(values=list(floors), symbolType="stroke", symbolStrokeWidth=2, symbolSize=160)
            if floors
            else None
        )
        self._rules = {
            "color": self._color(both, floor_title, legend),
            "strokeDash": self._dash(both, floor_title, legend),
        }
        # One legend of all three channels; one that a layer leaves out would be left out of all.
        self.legend = self.alt.Legend(symbolSize=100, symbolStrokeWidth=1.8, symbolOpacity=1)
        self._fills = [("white" if name in set(hollow) else style.colour) for name, style in series.items()]

    def _color(self, styles: dict[str, Style], title: str, legend: Any) -> alt.Color:
        scale = self.alt.Scale(domain=list(styles), range=[style.colour for style in styles.values()])
        return self.alt.Color("series:N", scale=scale, title=title, legend=legend)

    def _dash(self, styles: dict[str, Style], title: str, legend: Any) -> alt.StrokeDash:
        scale = self.alt.Scale(domain=list(styles), range=[list(style.dash) or [1, 0] for style in styles.values()])
        return self.alt.StrokeDash("series:N", scale=scale, title=title, legend=legend)

    def rules(self, records: Sequence[dict[str, Any]], **axes: Any) -> alt.Chart:
        """A rule a floor; records of series (as `floor_word` has it) and the value."""
        return self.alt.Chart(rows(records)).mark_rule(strokeWidth=1.6).encode(**axes, **self._rules)

    def scale(self) -> alt.Scale:
        """The colours of the series."""
        return self.alt.Scale(domain=list(self.series), range=[style.colour for style in self.series.values()])

    def layers(self, base: alt.Chart, tooltip: Sequence[Any] = (), size: float = 42, **axes: Any) -> list[alt.Chart]:
        """The lines and their points, of a chart whose data have the series."""
        alt, names = self.alt, list(self.series)
        line = base.mark_line(strokeWidth=1.8).encode(
            **axes,
            stroke=alt.Stroke("series:N", scale=self.scale(), title=self.title, legend=self.legend),
            strokeDash=self._rules["strokeDash"],
            tooltip=list(tooltip),
        )
        point = base.mark_point(size=size, opacity=1, strokeWidth=1.4).encode(
            **axes,
            stroke=alt.Stroke("series:N", scale=self.scale(), title=self.title, legend=self.legend),
            fill=alt.Fill(
                "series:N", scale=alt.Scale(domain=names, range=self._fills), title=self.title, legend=self.legend
            ),
            shape=alt.Shape(
                "series:N",
                scale=alt.Scale(domain=names, range=[style.shape for style in self.series.values()]),
                title=self.title,
                legend=self.legend,
            ),
            tooltip=list(tooltip),
        )
        return [line, point]
