"""A text cut where its tokens are: pieces with scores, and those between them without; what every text figure is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from superact.figures.layout import blank, visible

if TYPE_CHECKING:
    import polars as pl

NO_TEXT = "∅"
"""What stands for a token that has no character, or whose text is not stored."""


@dataclass(frozen=True)
class Piece:
    """A part of a text. `tokens` are those it belongs to, none for what lies between; `score` is the largest of theirs."""

    text: str
    tokens: tuple[int, ...] = ()
    score: float | None = None
    in_concept: bool = False
    superactivator: bool = False
    aimed: bool = False
    """The token that a passage is shown for."""

    @property
    def says(self) -> str:
        """The piece in words: token 17: score 0.93, superactivator, in concept."""
        which = f"token {self.tokens[0]}" if len(self.tokens) == 1 else f"tokens {self.tokens[0]} to {self.tokens[-1]}"
        marks = [
            word for word, there in (("superactivator", self.superactivator), ("in concept", self.in_concept)) if there
        ]
        return ", ".join([f"{which}: score {number(self.score or 0.0)}", *marks])


@dataclass(frozen=True)
class Passage:
    """One line of a text figure: a heading with notes beside it, and the pieces.

    Colours go from -limit to limit. Passages of one `group` stand together below it.
    """

    heading: str
    notes: tuple[str, ...]
    pieces: tuple[Piece, ...]
    limit: float
    group: str = ""

    def marked(self, name: str) -> list[Piece]:
        """The pieces that are superactivators, or in_concept."""
        return [piece for piece in self.pieces if piece.tokens and getattr(piece, name)]


def number(value: float) -> str:
    """A score as figures write it: two digits behind the point, or two that say something."""
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def told_apart(score: float, threshold: float) -> tuple[str, str]:
    """Both with as many digits as tell them apart."""
    texts, digits = (number(score), number(threshold)), 3
    while texts[0] == texts[1] and score != threshold and digits < 9:
        texts = f"{score:.{digits}f}", f"{threshold:.{digits}f}"
        digits += 1
    return texts


def comparison(score: float, threshold: float, reached: bool) -> str:
    """A score against its threshold: 0.93 ≥ 0.71."""
    return f" {'≥' if reached else '<'} ".join(told_apart(score, threshold))


def pieces_of(text: str | None, tokens: pl.DataFrame) -> tuple[Piece, ...]:
    """The pieces of a text, by the characters of its content tokens (the columns of `token_scores`, of one sample).

    Blanks at the edges of a token are no part of its piece. Tokens that share a character (the bytes of one that a byte-level
    tokenizer cut up) are one piece; a token without any character is NO_TEXT. Without a text, or places in it, the texts of the
    tokens are set one after the other.
    """
    records = tokens.to_dicts()
    if text is None or any(record["char_start"] is None for record in records):
        found = [piece for record in records for piece in (_piece(record, record["text"] or ""), Piece(" "))]
    else:
        found = list(_cut(text, records))
    found = [replace(piece, text=NO_TEXT) if piece.tokens and not piece.text else piece for piece in found]
    return tuple(replace(piece, text=visible(piece.text)) for piece in found if piece.text)


def _cut(text: str, records: list[dict[str, Any]]) -> Iterable[Piece]:
    place = 0
    held: Piece | None = None
    for record in records:
        start, end = max(record["char_start"], place), max(record["char_end"], place)
        if held is not None and end <= place and record["char_start"] < place:
            held = _joined(held, _piece(record, ""))
            continue
        if held is not None:
            yield from _trimmed(held)
        yield Piece(text[place:start])
        held, place = _piece(record, text[start:end]), end
    if held is not None:
        yield from _trimmed(held)
    yield Piece(text[place:])


def _piece(record: dict[str, Any], text: str) -> Piece:
    return Piece(text, (record["token"],), record["score"], record["in_concept"], record["superactivator"])


def _joined(one: Piece, other: Piece) -> Piece:
    return replace(
        one,
        tokens=(*one.tokens, *other.tokens),
        score=max(score for score in (one.score, other.score) if score is not None),
        in_concept=one.in_concept or other.in_concept,
        superactivator=one.superactivator or other.superactivator,
    )


def _trimmed(piece: Piece) -> Iterable[Piece]:
    """The piece with the blanks at its edges as pieces of their own; one of blanks alone is made visible."""
    inner = piece.text.strip()
    if not inner:
        yield replace(piece, text=blank(piece.text) if piece.text else "")
        return
    start = piece.text.index(inner)
    yield Piece(piece.text[:start])
    yield replace(piece, text=inner)
    yield Piece(piece.text[start + len(inner) :])
