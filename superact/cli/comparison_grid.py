"""What is printed of a comparison: one row a concept set, one column a detector, and below it one row a prompted model.

Columns stand in this order: SuperAct first, the tail that everything is compared with; MaxTok, its nearest rival; then MeanTok,
LastTok and RandTok, which look at other tokens, and CLS, which looks at none. The paper prints RandTok, LastTok, MeanTok, CLS,
SuperAct, and no MaxTok.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from superact.cli.cells import ABSENT, shown
from superact.cli.options import spans

if TYPE_CHECKING:
    from superact.metrics.compare import Comparison

Row = dict[str, Any]

HEADINGS = {
    "superactivator": "SuperAct",
    "max_token": "MaxTok",
    "mean_token": "MeanTok",
    "last_token": "LastTok",
    "random_token": "RandTok",
    "cls": "CLS",
    "prompt": "Prompt",
}
PROMPT = "prompt"
FLOORS = {"always": "always positive", "coin": "coin"}


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
    """One line of a table: its name, its cells by detector, and what is to be said under it."""

    name: str
    cells: dict[str, Cell] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Block:
    """One table: `lines` are concept sets or prompted models, `named`, `last` the floors and the shuffled labels."""

    named: str
    detectors: list[str]
    lines: list[Line]
    last: list[Line]

    @property
    def is_marked(self) -> bool:
        """Whether a cell is marked as the best of its line."""
        return any(cell.best for line in self.lines for cell in line.cells.values())

    @property
    def headings(self) -> list[str]:
        """Of the columns, the one of the names first."""
        return [self.named, *(HEADINGS.get(name, name) for name in self.detectors)]


@dataclass(frozen=True)
class Grid:
    """All that is printed of one comparison."""

    title: str
    subtitle: str
    blocks: list[Block]
    notes: list[str]


def grid_of(comparison: Comparison) -> Grid:
    """What to print of a comparison: concept sets with the floors under them, then prompted models."""
    rows = [row for row in comparison.rows if row["detector"] is not None]
    sets = [row for row in rows if row["detector"] != PROMPT]
    prompts = [row for row in rows if row["detector"] == PROMPT]
    floors = [row for row in comparison.rows if row["detector"] is None]
    blocks = [_sets_block(sets, floors)] if sets else []
    if prompts:
        blocks.append(_prompts_block(prompts, comparison.answering, [] if sets else floors))
    return Grid(
        title=" | ".join(shown(name) for name in (comparison.dataset, comparison.model) if name is not None),
        subtitle=_subtitle(comparison),
        blocks=blocks,
        notes=_notes(comparison, rows),
    )


def _sets_block(rows: list[Row], floors: list[Row]) -> Block:
    from superact.metrics.compare import DETECTORS

    found = {row["detector"] for row in rows}
    detectors = [name for name in DETECTORS if name in found] + sorted(found - set(DETECTORS))
    lines, shuffled = [], []
    for name, row_of in _by_set(rows):
        lines += [_scores(name, row_of), *_against(row_of)]
        control = {key: Cell(_number(row["null_f1"])) for key, row in row_of.items() if row["null_f1"] is not None}
        if control:
            shuffled.append(Line(f"{name}, shuffled", control))
    return Block("concept set", detectors, lines, [*_floors(floors, detectors), *shuffled])


def _prompts_block(rows: list[Row], names: dict[str, str], floors: list[Row]) -> Block:
    lines = []
    for row in rows:
        cell = Cell(_number(row["f1"]), _interval(row["ci_low"], row["ci_high"]))
        name = shown(names.get(row["model"], row["model"]))
        lines += [Line(name, {PROMPT: cell}, row["note"] or ""), *_against({PROMPT: row})]
    return Block("answered by", [PROMPT], lines, _floors(floors, [PROMPT]))


def _floors(rows: list[Row], detectors: list[str]) -> list[Line]:
    return [Line(FLOORS[row["method"]], dict.fromkeys(detectors, Cell(_number(row["f1"])))) for row in rows]


def _against(row_of: dict[str, Row]) -> list[Line]:
    """The line of differences, where there are any."""
    differing = {key: row for key, row in row_of.items() if row.get("difference") is not None}
    if not differing:
        return []
    name, _ = _rival(next(iter(differing.values()))["against"])
    return [Line(f"vs {name}", {key: _difference(row) for key, row in differing.items()})]


def _rival(against: str) -> tuple[str, str]:
    """What is compared with, as the heading of a line and in full: `prompt:m` is the prompted model m."""
    detector, _, model = against.partition(":")
    heading = HEADINGS.get(detector, detector)
    return heading, f"{heading} {model}" if model else heading


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
    return Line(name, cells, _remark(row_of))


def _remark(row_of: dict[str, Row]) -> str:
    """The notes of the detectors of a set: once where all of them have the same."""
    noted: dict[str, list[str]] = {}
    for detector, row in row_of.items():
        if row.get("note") is not None:
            noted.setdefault(row["note"], []).append(HEADINGS.get(detector, detector))
    if len(noted) == 1 and sum(map(len, noted.values())) == len(row_of):
        return next(iter(noted))
    return "; ".join(f"{', '.join(detectors)}: {note}" for note, detectors in noted.items())


def _difference(row: Row) -> Cell:
    return Cell(f"{row['difference']:+.2f}", _interval(row["difference_low"], row["difference_high"]))


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def _subtitle(comparison: Comparison) -> str:
    labels = "label" if comparison.n_labels == 1 else "labels"
    counts = f"{comparison.n_labels} {labels}, {comparison.n_positive} test positives"
    if comparison.model is None:
        return f"Weighted test F1 [95 % interval]; {counts}"
    if comparison.layer is None:
        where = f"each label at its best layer on cal (of {spans(comparison.layers, ', ')})"
    else:
        share = f" ({comparison.layer / comparison.blocks:.0%})" if comparison.blocks else ""
        where = f"layer {comparison.layer}{share}"
    return f"Weighted test F1 [95 % interval]; {counts}; {where}"


def _notes(comparison: Comparison, rows: list[Row]) -> list[str]:
    """What a reader must know beside the title: how rows differ in what they average over or choose among."""
    notes = []
    against = next((row["against"] for row in rows if row.get("against") is not None), None)
    if against is not None:
        name, whole = _rival(against)
        notes.append(f"vs {name}: F1 minus that of {whole} on the same draws of the test samples [95 % interval].")
    if any((row.get("n_seeds") or 1) > 1 for row in rows):
        notes.append("seeds: mean ± standard deviation over concept sets that differ in their seed alone.")
    if any(row["null_f1"] is not None for row in rows):
        notes.append("shuffled: mean F1 of the same search where labels are shuffled among samples.")
    if len(set(comparison.sets.values())) > 1 and comparison.layer is None:
        listed = "; ".join(f"{name}: {spans(layers, ', ')}" for name, layers in comparison.sets.items())
        notes.append(f"Layers to choose from: {listed}.")
    fewer = [
        f"{_named(comparison, row)} {HEADINGS.get(row['detector'], row['detector'])} {row['n_labels']}"
        for row in rows
        if row["n_labels"] not in (None, comparison.n_labels)
    ]
    if fewer:
        notes.append(f"Averaged over fewer labels than {comparison.n_labels}: {', '.join(fewer)}.")
    return notes


def _named(comparison: Comparison, row: Row) -> str:
    """What the line of a row is called."""
    return shown(
        comparison.answering.get(row["model"], row["model"]) if row["detector"] == PROMPT else row["concept_set"]
    )
