"""Text from data as it may be shown: control characters made visible, widths in cells of a monospaced page, lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superact.figures.passages import Piece

_JOINERS = "\u200c\u200d"
"""Invisible, harmless and part of how scripts and emoji are written."""
_BLANK = str.maketrans({" ": "␣", "\t": "⇥", "\n": "↵\n", "\r": "␍"})
TAB = 4


@dataclass(frozen=True)
class Run:
    """A part of a piece on one line, from a column on; both in cells."""

    piece: Piece
    text: str
    column: int
    cells: int


def visible(text: str) -> str:
    """The text with what would steer a terminal, reorder lines or break a file as its escape, such as \\x1b.

    Line ends (as \\n), tabs, spaces of all kinds and joiners stay.
    """
    text = text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\n\t" or character in _JOINERS or character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


def blank(text: str) -> str:
    """White space that is a token of its own, made visible."""
    return text.translate(_BLANK)


def cells_of(text: str) -> int:
    """The width of a text in cells: East Asian wide characters take two, combining marks and joiners none."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def lines_of(
    pieces: Iterable[Piece], width: int, shown: Callable[[Piece], str] = lambda piece: piece.text
) -> list[list[Run]]:
    """Pieces set in lines of at most `width` cells, broken at white space, or inside a word that is longer than a line.

    `shown` is what stands for a piece.
    """
    lines: list[list[Run]] = [[]]
    word: list[tuple[Piece, str]] = []
    column, gap = 0, 0

    def place(piece: Piece, text: str) -> None:
        nonlocal column
        lines[-1].append(Run(piece, text, column, cells_of(text)))
        column += cells_of(text)

    def flush() -> None:
        nonlocal column, gap
        length = sum(cells_of(text) for _, text in word)
        if column and column + gap + length > width:
            lines.append([])
            column = 0
        elif word:
            column += gap
        for piece, text in word:
            for part in _parts(text, width - column, width):
                if part is None:
                    lines.append([])
                    column = 0
                else:
                    place(piece, part)
        if word:
            gap = 0
        word.clear()

    for piece in pieces:
        for atom in _atoms(shown(piece)):
            if atom == "\n":
                flush()
                lines.append([])
                column = gap = 0
            elif atom.isspace():
                flush()
                gap += TAB if atom == "\t" else cells_of(atom)
            else:
                word.append((piece, atom))
    flush()
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


def _atoms(text: str) -> Iterable[str]:
    """Runs without white space, and each white space alone."""
    start = 0
    for place, character in enumerate(text):
        if character.isspace():
            if start < place:
                yield text[start:place]
            yield character
            start = place + 1
    if start < len(text):
        yield text[start:]


def _parts(text: str, left: int, width: int) -> Iterable[str | None]:
    """A word in parts that fit, the first into `left` cells; None is a line end."""
    part, used = "", 0
    for character in text:
        cells = _cells(character)
        if used + cells > left and (used or left < width):
            if part:
                yield part
            yield None
            part, used, left = "", 0, width
        part += character
        used += cells
    if part:
        yield part
