"""A comparison as people read it: as tables, Markdown or LaTeX, fitted to the terminal."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from superact.cli.comparison_grid import Block, Cell, Grid, grid_of
from superact.cli.options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from superact.metrics.compare import Comparison

_MARKS = {Format.markdown: ("**", "**"), Format.latex: ("\ue000" * len(r"\textbf{"), "\ue001")}
"""What stands around the best cell; in LaTeX private characters, until everything else is escaped."""
_BOLD = "Bold: the largest F1 of its row."
_NOTE = "\ue002"
"""Stands in the table where a note does, which is as wide as the table and no column's."""
_POINT = re.compile(r"\b0\.")
_LEAST_NAME = 8
"""Columns that names keep, however narrow the terminal."""
_UNBOUNDED = 1_000_000


def terminal() -> tuple[int | None, bool]:
    """Columns of the terminal that stdout is, None for a pipe, and whether it shows bold type."""
    if not sys.stdout.isatty():
        return None, False
    return shutil.get_terminal_size().columns, "NO_COLOR" not in os.environ


def comparison_text(
    comparisons: Iterable[Comparison], kind: Format = Format.table, width: int | None = None, styled: bool = False
) -> str:
    """The comparisons one below the other, as a table, Markdown or LaTeX.

    A table is made to fit `width` columns, None for as many as it takes; `styled` marks by bold type instead of a star.
    """
    texts = []
    for comparison in comparisons:
        grid = grid_of(comparison)
        if kind is Format.markdown:
            texts.append(_markdown(grid))
        elif kind is Format.latex:
            texts.append(_latex(grid))
        else:
            texts.append(_table(grid, width, styled))
    return "\n".join(texts)


def _table(grid: Grid, width: int | None, styled: bool) -> str:
    bold = ("\x1b[1m", "\x1b[0m") if styled else ("", "")
    lines = [*(f"{bold[0]}{line}{bold[1]}" for line in _wrapped(grid.title, width)), *_wrapped(grid.subtitle, width)]
    for block in grid.blocks:
        lines += ["", *_block(block, width, styled)]
    marked = _BOLD if styled else "*: the largest F1 of its row."
    notes = [*grid.notes, *([marked] if any(block.is_marked for block in grid.blocks) else [])]
    if notes:
        lines += ["", *(line for note in notes for line in _wrapped(note, width))]
    return "\n".join(lines) + "\n"


def _block(block: Block, width: int | None, styled: bool) -> list[str]:
    """Cells on one line where that fits, else with the interval below the number, else without the zeros before points."""
    if width is None:
        table = _rich_table(block, styled)
    else:
        for between, pointed in ((" ", False), ("\n", False), ("\n", True)):
            table = _rich_table(block, styled, between, pointed)
            if _width_of(table) <= width:
                break
        else:
            # The names give way last.
            others = _width_of(table) - max(len(line.name) for line in [*block.lines, *block.last])
            table = _rich_table(block, styled, between, pointed, max(width - others, _LEAST_NAME))
    notes = iter([line.note for line in block.lines if line.note])
    found = []
    for line in _printed(table, styled):
        if _NOTE not in line:
            found.append(line)
            continue
        indented = textwrap.wrap(next(notes), width or _UNBOUNDED, initial_indent="  ", subsequent_indent="  ")
        found += [f"\x1b[2m{text}\x1b[0m" if styled else text for text in indented]
    return found


def _rich_table(
    block: Block, styled: bool, between: str = " ", pointed: bool = False, name_width: int | None = None
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    padding = (0, 1, 0, 0) if between == " " else (0, 0)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding, header_style="bold")

    def named(name: str) -> Text:
        return Text(name if name_width is None else textwrap.fill(name, name_width))

    for number, heading in enumerate(block.headings):
        table.add_column(Text(heading) if number else named(heading), justify="right" if number else "left")
    for lines, style in ((block.lines, ""), (block.last, "dim")):
        for line in lines:
            cells = []
            for detector in block.detectors:
                cell = line.cells.get(detector, Cell(""))
                text = ("*" if cell.best and not styled else "") + cell.text(between)
                text = _POINT.sub(".", text) if pointed else text
                cells.append(Text(text, style="bold" if cell.best else ""))
            table.add_row(named(line.name), *cells, style=style)
            if line.note:
                table.add_row(Text(_NOTE))
        table.add_section()
    return table


def _width_of(table: Table) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(file=io.StringIO(), width=_UNBOUNDED)
    return Measurement.get(console, console.options, table).maximum


def _printed(table: Table, styled: bool) -> list[str]:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=styled,
        color_system="standard" if styled else None,
        highlight=False,
        width=_UNBOUNDED,
    )
    console.print(table, crop=False)
    return [line.rstrip() for line in buffer.getvalue().rstrip().split("\n")]


def _wrapped(text: str, width: int | None) -> list[str]:
    return [text] if width is None else textwrap.wrap(text, width)


def _markdown(grid: Grid) -> str:
    text = "\n".join(_block_text(block, Format.markdown) for block in grid.blocks)
    notes = " ".join([*grid.notes, *([_BOLD] if any(block.is_marked for block in grid.blocks) else [])])
    head = f"**{_plain_markdown(grid.title)}**  \n{_plain_markdown(grid.subtitle)}"
    return f"{head}\n\n{text}" + (f"\n{_plain_markdown(notes)}\n" if notes else "")


def _plain_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<\[\]])", r"\\\1", text)


def _latex(grid: Grid) -> str:
    from tabulate import LATEX_ESCAPE_RULES

    lines = []
    for number, block in enumerate(grid.blocks):
        lines += [*(["", r"\medskip"] if number else []), *_latex_block(block)]
    notes = " ".join([*grid.notes, *([_BOLD] if any(block.is_marked for block in grid.blocks) else [])])
    said = f"{grid.title.replace(' | ', ', ')}. {'. '.join(filter(None, (grid.subtitle, notes)))}"
    caption = "".join(LATEX_ESCAPE_RULES.get(character, character) for character in said)
    whole = ["\\begin{table}", "\\centering", f"\\caption{{{caption}}}", *lines, "\\end{table}"]
    return "\n".join(whole).replace("±", r"$\pm$") + "\n"


def _latex_block(block: Block) -> list[str]:
    opening, closing = _MARKS[Format.latex]
    text = _block_text(block, Format.latex).replace(opening, r"\textbf{").replace(closing, "}")
    lines = text.rstrip("\n").split("\n")
    if block.lines and block.last:
        notes = sum(bool(line.note) for line in block.lines)
        lines.insert(lines.index(r"\midrule") + 1 + len(block.lines) + notes, r"\midrule")
    return lines


def _block_text(block: Block, kind: Format) -> str:
    """One table alone, with its marks around the best cells; a note is a line of its own."""
    from superact.cli.formats import tabulated

    rows = []
    for line in [*block.lines, *block.last]:
        cells = [line.cells.get(detector, Cell("")) for detector in block.detectors]
        rows.append([line.name, *(cell.text().join(_MARKS[kind]) if cell.best else cell.text() for cell in cells)])
        if line.note:
            rows.append([line.note, *[""] * len(cells)])
    return tabulated(kind, block.headings, [False] + [True] * len(block.detectors), rows)
