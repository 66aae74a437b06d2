"""A text figure as an SVG: monospaced lines, so that every renderer sets them alike."""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING

from superact.figures.colours import DIVERGING, SUPERACTIVATOR_ON_LIGHT, TRUTH, colour_of, ink_on, step_of
from superact.figures.layout import Run, lines_of
from superact.figures.theme import FONT, INK

if TYPE_CHECKING:
    from superact.figures.html import TextFigure

_MONO = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_SIZE, _CELL, _LINE = 13, 7.83, 24
"""Pixels: of the letters, of a cell (the advance of most monospaced faces), and of a line."""
_MARGIN = 16
_QUIET = "#444444"


class _Page:
    """Elements from top to bottom, and how far down they reach."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.width = round(columns * _CELL + 2 * _MARGIN)
        self.parts: list[str] = []
        self.y = float(_MARGIN)

    def words(self, text: str, size: float, *, weight: int = 400, ink: str = INK) -> None:
        """A paragraph in the font of figures."""
        for line in textwrap.wrap(
            text, int((self.width - 2 * _MARGIN) / (size * (0.54 if weight > 400 else 0.475)))
        ) or [""]:
            self.y += size * 1.35
            self._text(_MARGIN, self.y - size * 0.3, line, f'font-size="{size}" font-weight="{weight}" fill="{ink}"')

    def _text(self, x: float, y: float, text: str, style: str) -> None:
        self.parts.append(f'<text x="{x:.2f}" y="{y:.2f}" {style}>{escape(text)}</text>')

    def rectangle(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A rectangle with its top left corner at (x, y)."""
        self.parts.append(f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" {style}/>')

    def line(self, runs: list[Run], limit: float) -> None:
        """One line of running text: backgrounds first, so that no box is covered by its neighbour's."""
        top = self.y
        tokens = [run for run in runs if run.piece.tokens]
        for run in tokens:
            fill = colour_of(step_of(run.piece.score or 0.0, limit), DIVERGING)
            self.rectangle(_MARGIN + run.column * _CELL, top + 2, run.cells * _CELL, 17, f'fill="{fill}"')
        for run in runs:
            fill = ink_on(colour_of(step_of(run.piece.score or 0.0, limit))) if run.piece.tokens else INK
            weight = 700 if run.piece.aimed else 400
            style = f'font-family="{_MONO}" font-size="{_SIZE}" font-weight="{weight}" fill="{fill}"'
            self._text(_MARGIN + run.column * _CELL, top + 14.5, run.text, style)
        for run in tokens:
            x, width = _MARGIN + run.column * _CELL, run.cells * _CELL
            if run.piece.in_concept:
                self.rectangle(x, top + 19.5, width, 3.4, f'fill="{TRUTH}" stroke="{_QUIET}" stroke-width="0.5"')
            if run.piece.superactivator:
                style = f'fill="none" stroke="{SUPERACTIVATOR_ON_LIGHT}" stroke-width="2" rx="1.5"'
                self.rectangle(x, top + 1.5, width, 17.5, style)
        self.y += _LINE

    def key(self) -> None:
        """What colours, boxes and lines mean."""
        self.y += 8
        stops = "".join(
            f'<stop offset="{i / (len(DIVERGING) - 1):.3f}" stop-color="{c}"/>' for i, c in enumerate(DIVERGING)
        )
        self.parts.append(f'<defs><linearGradient id="scores">{stops}</linearGradient></defs>')
        style = f'font-size="11.5" fill="{_QUIET}"'
        x, y = float(_MARGIN), self.y
        self._text(x, y + 11, "lowest", style)
        self.rectangle(x + 40, y + 3, 120, 9, 'fill="url(#scores)"')
        self._text(x + 166, y + 11, "highest score, 0 in the middle", style)
        self.rectangle(
            x + 345, y + 1, 16, 13, f'fill="none" stroke="{SUPERACTIVATOR_ON_LIGHT}" stroke-width="2" rx="1.5"'
        )
        self._text(x + 367, y + 11, "superactivator: at or above the threshold", style)
        self.rectangle(x + 604, y + 9, 16, 3.4, f'fill="{TRUTH}" stroke="{_QUIET}" stroke-width="0.5"')
        self._text(x + 626, y + 11, "ground truth", style)
        self.y += 22


def draw(figure: TextFigure, columns: int = 100) -> str:
    """The figure as an SVG document of lines of `columns` characters, at least 94."""
    page = _Page(max(columns, 94))
    page.words(figure.title, 14, weight=600)
    for line in figure.measured:
        page.words(line, 12, ink=_QUIET)
    page.key()
    group = ""
    for passage in figure.passages:
        if passage.group != group:
            group = passage.group
            page.y += 8
            page.words(group, 13, weight=600)
        page.y += 6
        page.rectangle(_MARGIN, page.y, page.width - 2 * _MARGIN, 1, 'fill="#DDDDDD"')
        page.y += 3
        page.words(passage.heading, 12.5, weight=600)
        page.words("; ".join(passage.notes), 12, ink=_QUIET)
        page.y += 4
        for runs in lines_of(passage.pieces, page.columns):
            page.line(runs, passage.limit)
    height = round(page.y + _MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page.width}" height="{height}" '
        f'viewBox="0 0 {page.width} {height}" font-family="{escape(FONT)}" role="img" '
        f'aria-label="{escape(figure.description)}">\n'
        f"<title>{escape(figure.title)}</title>\n<desc>{escape(figure.description)}</desc>\n"
        f'<rect width="{page.width}" height="{height}" fill="#FFFFFF"/>\n' + "\n".join(page.parts) + "\n</svg>\n"
    )
