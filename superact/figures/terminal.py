"""What `superact show` prints: a text with its tokens marked, or patches as a heatmap of blocks, and a table of the labels.

Every mark is a character as well as a colour: superactivators stand in brackets (patches: a diamond), the ground truth is
underlined (patches: a dot).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from superact.figures.colours import STEPS, colour_of, ink_on, step_of
from superact.figures.layout import Run, cells_of, lines_of, visible
from superact.figures.passages import Piece, number, pieces_of, told_apart
from superact.figures.wording import MEASURES

if TYPE_CHECKING:
    from rich.text import Text

    from superact.figures.shown import Seen, Shown

_GAP = 3
"""Columns between heatmaps."""
_HEADING = 24
"""Columns that the heading over a heatmap has at least."""
_SHADES, _SHADES_ASCII = " ░▒▓█", " .:+@"


class Page:
    """Lines for a terminal of `width` columns; `styled`: with colours; `unicode`: with block characters."""

    def __init__(self, width: int, styled: bool, unicode: bool) -> None:
        self.width, self.styled, self.unicode = width, styled, unicode
        self.super = "◆" if unicode else "#"
        self.truth = "·" if unicode else "o"
        self.shades = _SHADES if unicode else _SHADES_ASCII

    def lines(self, shown: Shown) -> list[Text]:
        """Everything, line by line."""
        about, at = shown.at.about, shown.at
        lines = self._plain(f"{about.title} | sample {shown.sample} ({shown.split})", "bold")
        kind = "patch" if shown.is_image else "token"
        measures = {MEASURES[one.choice.measure] for one in shown.seen}
        lines += self._plain(f"{at.concept_set}: {', '.join(sorted(measures))} of each {kind}")
        lines += [self._empty()]
        lines += self._heatmaps(shown.seen) if shown.is_image else self._texts(shown)
        lines += [*self._key(shown), self._empty(), *self._table(shown)]
        return lines

    def _empty(self) -> Text:
        from rich.text import Text

        return Text()

    def _plain(self, text: str, style: str = "") -> list[Text]:
        """A paragraph, wrapped."""
        from rich.text import Text

        runs = lines_of([Piece(one_line(text))], self.width)
        return [Text(joined(line), style if self.styled else "") for line in runs]

    def _texts(self, shown: Shown) -> list[Text]:
        lines: list[Text] = []
        for one in shown.seen:
            choice = one.choice
            lines += self._plain(f"{choice.label}, {shown.at.about.layer(choice.layer)}", "bold")
            for runs in lines_of(pieces_of(shown.text, one.tokens), self.width, _bracketed):
                lines += self._running(runs, one.limit)
            lines.append(self._empty())
        return lines

    def _running(self, runs: Sequence[Run], limit: float) -> list[Text]:
        """A line of text, and without colours another that underlines the ground truth."""
        from rich.text import Text

        if not self.styled:
            line = Text(joined(runs))
            marks = joined(
                [Run(run.piece, "~" * run.cells, run.column, run.cells) for run in runs if run.piece.in_concept]
            )
            return [line, Text(marks)] if marks else [line]
        text, column = Text(), 0
        for run in runs:
            text.append(" " * (run.column - column))
            text.append(run.text, _style(run.piece, limit))
            column = run.column + run.cells
        return [text]

    def _heatmaps(self, seen: Sequence[Seen]) -> list[Text]:
        """The patches of each label, two columns a patch where that fits, as many labels side by side as do."""
        from rich.text import Text

        rows = max((int(one.tokens["row"].max()) + 1 for one in seen if one.tokens.height), default=0)  # type: ignore[arg-type]
        columns = max((int(one.tokens["col"].max()) + 1 for one in seen if one.tokens.height), default=0)  # type: ignore[arg-type]
        frame = 0 if self.styled else 2
        cell = 2 if 2 * columns + frame <= self.width else 1
        block = max(cell * columns + frame, _HEADING)
        a_row = max(1, (self.width + _GAP) // (block + _GAP))
        lines: list[Text] = []
        for start in range(0, len(seen), a_row):
            beside = [self._heatmap(one, rows, columns, cell, block) for one in seen[start : start + a_row]]
            lines += [Text(" " * _GAP).join(line) for line in zip(*beside, strict=True)]
            lines.append(self._empty())
        return lines

    def _heatmap(self, one: Seen, rows: int, columns: int, cell: int, block: int) -> list[Text]:
        """Two heading lines, then a line a row of patches, framed where no colour shows their extent; `block` columns wide."""
        from rich.text import Text

        choice = one.choice
        heads = [one_line(choice.label), f"layer {choice.layer}, colours to {number(one.limit)}"]
        lines = [Text(fitted(text, block), "bold" if self.styled and not i else "") for i, text in enumerate(heads)]
        patches = {(row["row"], row["col"]): row for row in one.tokens.to_dicts()}
        edge, side, rule = ("", "", "") if self.styled else ("┌┐└┘", "│", "─") if self.unicode else ("++++", "|", "-")
        rest = " " * (block - cell * columns - 2 * len(side))
        if edge:
            lines.append(Text(edge[0] + rule * cell * columns + edge[1] + rest))
        for row in range(rows):
            line = Text(side)
            for column in range(columns):
                patch = patches.get((row, column))
                if patch is None:
                    line.append(" " * cell)
                    continue
                step = step_of(patch["score"], one.limit)
                marks = (patch["superactivator"], patch["in_concept"])
                line.append(self._cell(step, *marks, cell), self._ground(step, bold=marks[0]))
            lines.append(line.append(side + rest))
        if edge:
            lines.append(Text(edge[2] + rule * cell * columns + edge[3] + rest))
        return lines

    def _cell(self, step: int, superactivator: bool, in_concept: bool, cell: int) -> str:
        fill = " " if self.styled else self.shades[_shade(step)]
        text = (self.super if superactivator else fill) + (self.truth if in_concept else fill)
        return text if cell == 2 else (self.super if superactivator else self.truth if in_concept else fill)

    def _ground(self, step: int, bold: bool = False) -> str:
        if not self.styled:
            return ""
        colour = colour_of(step)
        return f"{'bold ' if bold else ''}{ink_on(colour)} on {colour}"

    def _key(self, shown: Shown) -> list[Text]:
        from rich.text import Text

        scale = Text("scores: ")
        if self.styled:
            for step in range(-STEPS, STEPS + 1, 4):
                scale.append("0" if step == 0 else " ", self._ground(step))
            scale.append(" lowest to highest")
        elif shown.is_image:
            scale.append(f"'{self.shades}' from 0 up; blank: 0 and below")
        else:
            scale = Text()
        if shown.is_image:
            marks = f"{self.super} superactivator  {self.truth} ground truth"
        else:
            marks = "[superactivator]  " + ("underlined: ground truth" if self.styled else "~~~ ground truth")
        return [*([scale] if scale.plain else []), *self._plain(marks)]

    def _table(self, shown: Shown) -> list[Text]:
        """The labels: layer, score, threshold, decision and truth."""
        from rich.text import Text

        heads = ("label", "layer", "delta", "score", "threshold", "detected", "truth")
        rows = [self._cells(one) for one in shown.seen]
        widths = [max(map(cells_of, column)) for column in zip(heads, *rows, strict=True)]
        right = (False, True, True, True, True, False, False)
        lines = []
        for place, row in enumerate((heads, *rows)):
            cells = [padded(text, width, r) for text, width, r in zip(row, widths, right, strict=True)]
            lines.append(Text("  ".join(cells).rstrip(), "bold" if self.styled and not place else ""))
        return lines

    def _cells(self, one: Seen) -> tuple[str, ...]:
        choice, score = one.choice, one.score
        numbers = ("-", number(choice.threshold)) if score is None else told_apart(score, choice.threshold)
        answers = ("yes" if answer else "no" for answer in (one.detected, one.positive))
        return one_line(choice.label), str(choice.layer), f"{choice.delta:g}", *numbers, *answers


def one_line(text: str) -> str:
    """A name on one line: what would steer a terminal as its escape."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def joined(runs: Sequence[Run]) -> str:
    """The runs of a line where they stand."""
    text, column = "", 0
    for run in runs:
        text += " " * (run.column - column) + run.text
        column = run.column + run.cells
    return text


def padded(text: str, width: int, right: bool = False) -> str:
    """A text with blanks to `width` cells."""
    blanks = " " * (width - cells_of(text))
    return blanks + text if right else text + blanks


def fitted(text: str, width: int) -> str:
    """A text cut or padded to `width` cells."""
    if cells_of(text) > width:
        while cells_of(text) >= width:
            text = text[:-1]
        text += "~"
    return padded(text, width)


def _shade(step: int) -> int:
    """The shade of a step above 0, 1 to 4; 0 for the others."""
    return 0 if step <= 0 else min(4, 1 + (step - 1) * 4 // STEPS)


def _bracketed(piece: Piece) -> str:
    return f"[{piece.text}]" if piece.superactivator else piece.text


def _style(piece: Piece, limit: float) -> str:
    if not piece.tokens:
        return ""
    colour = colour_of(step_of(piece.score or 0.0, limit))
    marks = [word for word, there in (("bold", piece.superactivator), ("underline", piece.in_concept)) if there]
    return " ".join([*marks, ink_on(colour), "on", colour])
