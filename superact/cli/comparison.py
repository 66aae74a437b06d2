"""A comparison as people read it: one row a concept set, one column a detector, as a table, Markdown or LaTeX.

Columns stand in this order: SuperAct first, the tail that everything is compared with; MaxTok, its nearest rival; then MeanTok,
LastTok and RandTok, which look at other tokens, and CLS, which looks at none. The paper prints RandTok, LastTok, MeanTok, CLS,
SuperAct, and no MaxTok.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from superact.cli.cells import ABSENT, shown
from superact.cli.options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from superact.metrics.compare import Comparison

Row = dict[str, Any]

HEADINGS = {
    "superactivator": "SuperAct",
    "max_token": "MaxTok",
    "mean_token": "MeanTok",
    "last_token": "LastTok",
    "random_token": "RandTok",
    "cls": "CLS",
}
FLOORS = {"always": "always positive", "coin": "coin"}
_MARKS = {Format.markdown: ("**", "**"), Format.latex: ("\ue000" * len(r"\textbf{"), "\ue001")}
"""What stands around the best cell; in LaTeX private characters, until everything else is escaped."""
_BOLD = "Bold: the largest F1 of its row."
_POINT = re.compile(r"\b0\.")
_LEAST_NAME = 8
"""Columns that names keep, however narrow the terminal."""
_UNBOUNDED = 1_000_000


@dataclass(frozen=True)
class Cell:
    """A number with what is said of its spread, such as 0.90 and [0.87, 0.92]; `best`: the largest of its line."""

    value: str
    spread: str = ""
    best: bool = False

    def text(self, between: str = " ") -> str:
        """Both, on one line unless something else is to stand between them."""
        return between.join(filter(None, (self.value, self.spread)))


@dataclass
class Line:
    """One line of the table: its name, and its cells by detector."""

    name: str
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """All that is printed of one comparison: `lines` are its concept sets, `last` the floors and the shuffled labels."""

    title: str
    subtitle: str
    detectors: list[str]
    lines: list[Line]
    last: list[Line]
    notes: list[str]

    @property
    def headings(self) -> list[str]:
        """Of the columns, the one of the names first."""
        return ["concept set", *(HEADINGS.get(name, name) for name in self.detectors)]


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


def grid_of(comparison: Comparison) -> Grid:
    """What to print of a comparison."""
    from superact.metrics.compare import DETECTORS

    sets = [row for row in comparison.rows if row["detector"] is not None]
    found = {row["detector"] for row in sets}
    detectors = [name for name in DETECTORS if name in found] + sorted(found - set(DETECTORS))
    lines, shuffled, against = [], [], None
    for name, row_of in _by_set(sets):
        lines.append(_scores(name, row_of))
        if differing := {key: row for key, row in row_of.items() if row.get("difference") is not None}:
            against = next(iter(differing.values()))["against"]
            cells = {key: _difference(row) for key, row in differing.items()}
            lines.append(Line(f"vs {HEADINGS.get(against, against)}", cells))
        control = {key: Cell(_number(row["null_f1"])) for key, row in row_of.items() if row["null_f1"] is not None}
        if control:
            shuffled.append(Line(f"{name}, shuffled", control))
    floors = [
        Line(FLOORS[row["method"]], dict.fromkeys(detectors, Cell(_number(row["f1"]))))
        for row in comparison.rows
        if row["detector"] is None
    ]
    return Grid(
        title=f"{shown(comparison.dataset)} | {shown(comparison.model)}",
        subtitle=_subtitle(comparison),
        detectors=detectors,
        lines=lines,
        last=[*floors, *shuffled],
        notes=_notes(comparison, sets, against),
    )


def _by_set(rows: list[Row]) -> list[tuple[str, dict[str, Row]]]:
    """The rows of each concept set by detector; what is the mean of several says of how many."""
    found: dict[str, tuple[str, dict[str, Row]]] = {}
    for row in rows:
        is_mean = (row.get("n_seeds") or 1) > 1
        name = f"{row['method']}, {row['n_seeds']} seeds" if is_mean else row["concept_set"]
        found.setdefault(row["concept_set"], (name, {}))[1][row["detector"]] = row
    return list(found.values())


def _scores(name: str, row_of: dict[str, Row]) -> Line:
    most = max((row["f1"] for row in row_of.values() if row["f1"] is not None), default=None)
    cells = {}
    for detector, row in row_of.items():
        spread = _interval(row["ci_low"], row["ci_high"])
        if row.get("f1_std") is not None:
            spread = f"± {_number(row['f1_std'])}"
        cells[detector] = Cell(_number(row["f1"]), spread, row["f1"] is not None and row["f1"] == most)
    return Line(name, cells)


def _difference(row: Row) -> Cell:
    return Cell(f"{row['difference']:+.2f}", _interval(row["difference_low"], row["difference_high"]))


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def _subtitle(comparison: Comparison) -> str:
    labels = "label" if comparison.n_labels == 1 else "labels"
    counts = f"{comparison.n_labels} {labels}, {comparison.n_positive} test positives"
    if comparison.layer is None:
        where = f"each label at its best layer on cal (of {', '.join(map(str, comparison.layers))})"
    else:
        share = f" ({comparison.layer / comparison.blocks:.0%})" if comparison.blocks else ""
        where = f"layer {comparison.layer}{share}"
    return f"Weighted test F1 [95 % interval]; {counts}; {where}"


def _notes(comparison: Comparison, rows: list[Row], against: str | None) -> list[str]:
    """What a reader must know beside the title: how rows differ in what they average over or choose among."""
    notes = []
    if against is not None:
        name = HEADINGS.get(against, against)
        notes.append(f"vs {name}: F1 minus that of {name} on the same draws of the test samples [95 % interval].")
    if any((row.get("n_seeds") or 1) > 1 for row in rows):
        notes.append("seeds: mean ± standard deviation over concept sets that differ in their seed alone.")
    if any(row["null_f1"] is not None for row in rows):
        notes.append("shuffled: mean F1 of the same search where labels are shuffled among samples.")
    if len(set(comparison.sets.values())) > 1 and comparison.layer is None:
        listed = "; ".join(f"{name}: {', '.join(map(str, layers))}" for name, layers in comparison.sets.items())
        notes.append(f"Layers to choose from: {listed}.")
    fewer = [
        f"{row['concept_set']} {HEADINGS.get(row['detector'], row['detector'])} {row['n_labels']}"
        for row in rows
        if row["n_labels"] not in (None, comparison.n_labels)
    ]
    if fewer:
        notes.append(f"Averaged over fewer labels than {comparison.n_labels}: {', '.join(fewer)}.")
    return notes


def _table(grid: Grid, width: int | None, styled: bool) -> str:
    """Cells on one line where that fits, else with the interval below the number, else without the zeros before points."""
    if width is None:
        table = _rich_table(grid, styled)
    else:
        for between, pointed in ((" ", False), ("\n", False), ("\n", True)):
            table = _rich_table(grid, styled, between, pointed)
            if _width_of(table) <= width:
                break
        else:
            # The names give way last.
            others = _width_of(table) - max(len(line.name) for line in [*grid.lines, *grid.last])
            table = _rich_table(grid, styled, between, pointed, max(width - others, _LEAST_NAME))
    bold = ("\x1b[1m", "\x1b[0m") if styled else ("", "")
    head = [*(f"{bold[0]}{line}{bold[1]}" for line in _wrapped(grid.title, width)), *_wrapped(grid.subtitle, width)]
    notes = [*grid.notes, _BOLD if styled else "*: the largest F1 of its row."]
    below = [line for note in notes for line in _wrapped(note, width)]
    return "\n".join([*head, "", *_printed(table, styled), "", *below]) + "\n"


def _rich_table(
    grid: Grid, styled: bool, between: str = " ", pointed: bool = False, name_width: int | None = None
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    padding = (0, 1, 0, 0) if between == " " else (0, 0)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding, header_style="bold")

    def named(name: str) -> Text:
        return Text(name if name_width is None else textwrap.fill(name, name_width))

    for number, heading in enumerate(grid.headings):
        table.add_column(Text(heading) if number else named(heading), justify="right" if number else "left")
    for lines, style in ((grid.lines, ""), (grid.last, "dim")):
        for line in lines:
            cells = []
            for detector in grid.detectors:
                cell = line.cells.get(detector, Cell(""))
                text = ("*" if cell.best and not styled else "") + cell.text(between)
                text = _POINT.sub(".", text) if pointed else text
                cells.append(Text(text, style="bold" if cell.best else ""))
            table.add_row(named(line.name), *cells, style=style)
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
    text = _grid_text(grid, Format.markdown)
    notes = " ".join([*grid.notes, _BOLD])
    head = f"**{_plain_markdown(grid.title)}**  \n{_plain_markdown(grid.subtitle)}"
    return f"{head}\n\n{text}\n{_plain_markdown(notes)}\n"


def _plain_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<\[\]])", r"\\\1", text)


def _latex(grid: Grid) -> str:
    from tabulate import LATEX_ESCAPE_RULES

    opening, closing = _MARKS[Format.latex]
    text = _grid_text(grid, Format.latex).replace(opening, r"\textbf{").replace(closing, "}")
    lines = text.rstrip("\n").split("\n")
    if grid.lines and grid.last:
        lines.insert(lines.index(r"\midrule") + 1 + len(grid.lines), r"\midrule")
    said = f"{grid.title.replace(' | ', ', ')}. {'. '.join([grid.subtitle, ' '.join([*grid.notes, _BOLD])])}"
    caption = "".join(LATEX_ESCAPE_RULES.get(character, character) for character in said)
    whole = ["\\begin{table}", "\\centering", f"\\caption{{{caption}}}", *lines, "\\end{table}"]
    return "\n".join(whole).replace("±", r"$\pm$") + "\n"


def _grid_text(grid: Grid, kind: Format) -> str:
    """The table alone, with its marks around the best cells."""
    from superact.cli.formats import tabulated

    rows = []
    for line in [*grid.lines, *grid.last]:
        cells = [line.cells.get(detector, Cell("")) for detector in grid.detectors]
        rows.append([line.name, *(cell.text().join(_MARKS[kind]) if cell.best else cell.text() for cell in cells)])
    return tabulated(kind, grid.headings, [False] + [True] * len(grid.detectors), rows)
