"""A figure that is text: coloured tokens as a page, as a fragment for notebooks, and as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from superact.figures.colours import (
    DIVERGING,
    DIVERGING_DARK,
    STEPS,
    SUPERACTIVATOR,
    SUPERACTIVATOR_ON_LIGHT,
    TRUTH,
    colour_of,
    ink_on,
    step_of,
)
from superact.figures.passages import Passage, Piece, number

ROOT = "superact-text"

_STYLE = f"""
.{ROOT} {{
  --ground: #FFFFFF; --ink: #1A1A1A; --quiet: #555555; --line: #DDDDDD; --box: {SUPERACTIVATOR_ON_LIGHT}; --edge: #555555;
  background: var(--ground); color: var(--ink); padding: 1rem 1.25rem; max-width: 62rem;
  font: 16px/1.5 system-ui, "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
}}
.{ROOT} h2 {{ font-size: 1.1rem; margin: 0 0 .2rem; color: inherit; }}
.{ROOT} h3 {{ font-size: 1rem; margin: 1.1rem 0 .3rem; color: inherit; }}
.{ROOT} p {{ margin: 0; color: inherit; }}
.{ROOT} .quiet {{ color: var(--quiet); font-size: .875rem; }}
.{ROOT} .passage {{ border-top: 1px solid var(--line); padding: .6rem 0 .8rem; }}
.{ROOT} .running {{ line-height: 2.1; white-space: pre-wrap; overflow-wrap: anywhere; margin-top: .25rem; }}
.{ROOT} .token {{ padding: .1em 0; }}
.{ROOT} .truth {{ border-bottom: 4px solid {TRUTH}; box-shadow: 0 1px 0 var(--edge); }}
.{ROOT} .super {{ outline: 2px solid var(--box); outline-offset: 0; border-radius: 2px; margin: 0 2px; padding: .1em 2px; }}
.{ROOT} .aimed {{ font-weight: 700; }}
.{ROOT} .key {{ display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; align-items: center; margin: .6rem 0; }}
.{ROOT} .bar {{ display: inline-block; width: 9rem; height: .7rem; vertical-align: middle; margin: 0 .4rem; }}
.{ROOT} .unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }}
"""
_DARK = "--ground: #15171A; --ink: #ECECEC; --quiet: #B5B5B5; --line: #3A3D41; --edge: #101010;"


@dataclass(frozen=True)
class TextFigure:
    """Passages of coloured tokens under a title. In a notebook it shows itself; `superact.figures.save` writes it to a file."""

    title: str
    measured: tuple[str, ...]
    passages: tuple[Passage, ...]
    description: str

    def html(self) -> str:
        """A complete page, light or dark as the reader's system is; it asks for no other file."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{style()}"
            "body { margin: 0; background: #FFFFFF; }\n"
            "@media (prefers-color-scheme: dark) { body { background: #15171A; } }\n"
            f"</style>\n</head>\n<body>\n<main>\n{self._fragment()}</main>\n</body>\n</html>\n"
        )

    def __repr__(self) -> str:
        # What a notebook keeps beside the HTML, and shows where there is none.
        return f"{self.title}. {self.description}"

    def _repr_html_(self) -> str:
        return f"<style>{style()}</style>\n{self._fragment()}"

    def svg(self, columns: int = 100) -> str:
        """The same as a drawing of monospaced lines of `columns` characters, on white."""
        from superact.figures.drawing import draw

        return draw(self, columns)

    def _fragment(self) -> str:
        parts = [f'<section class="{ROOT}">\n<h2>{escape(self.title)}</h2>\n']
        parts += [f'<p class="quiet">{escape(line)}</p>\n' for line in self.measured]
        parts.append(_key())
        for group, passages in groupby(self.passages, lambda passage: passage.group):
            parts += [f"<h3>{escape(group)}</h3>\n"] if group else []
            parts += map(passage_html, passages)
        return "".join([*parts, "</section>\n"])


def style() -> str:
    """The style sheet of a fragment; every rule of it is below its root."""
    light = "\n".join(_step(step, DIVERGING) for step in range(-STEPS, STEPS + 1))
    dark = "\n".join(_step(step, DIVERGING_DARK) for step in range(-STEPS, STEPS + 1))
    bars = [
        f".{ROOT} .bar {{ background: linear-gradient(to right, {', '.join(s)}); }}"
        for s in (DIVERGING, DIVERGING_DARK)
    ]
    night = f".{ROOT} {{ {_DARK} --box: {SUPERACTIVATOR}; }}"
    return f"{_STYLE}{light}\n{bars[0]}\n@media (prefers-color-scheme: dark) {{\n{night}\n{dark}\n{bars[1]}\n}}\n"


def _step(step: int, stops: Sequence[str]) -> str:
    background = colour_of(step, tuple(stops))
    return f".{ROOT} .s{step + STEPS} {{ background: {background}; color: {ink_on(background)}; }}"


def _key() -> str:
    return (
        '<div class="key quiet">'
        '<span>lowest<span class="bar" role="img" aria-label="blue to red"></span>highest score, 0 in the middle</span>'
        '<span><span class="super">boxed</span> superactivator: at or above the threshold</span>'
        '<span><span class="truth">underlined</span> ground truth</span></div>\n'
    )


def passage_html(passage: Passage) -> str:
    """One passage, everything in it escaped."""
    notes = escape("; ".join(passage.notes))
    running = "".join(map(piece_html, passage.pieces, [passage.limit] * len(passage.pieces)))
    return (
        f'<div class="passage">\n<p><strong>{escape(passage.heading)}</strong> <span class="quiet">{notes}</span></p>\n'
        f'<p class="running">{running}</p>\n<p class="unseen">{escape(said(passage))}</p>\n</div>\n'
    )


def piece_html(piece: Piece, limit: float) -> str:
    """One piece: a span that says what it is where it is a token, plain text otherwise."""
    if not piece.tokens:
        return escape(piece.text)
    marks = [
        name
        for name, there in (("truth", piece.in_concept), ("super", piece.superactivator), ("aimed", piece.aimed))
        if there
    ]
    names = " ".join(["token", f"s{step_of(piece.score or 0.0, limit) + STEPS}", *marks])
    return f'<span class="{names}" title="{escape(piece.says)}">{escape(piece.text)}</span>'


def said(passage: Passage) -> str:
    """What the marks of a passage say, for those who do not see them."""
    found = []
    for name, words in (("superactivator", "Superactivators"), ("in_concept", "Ground truth")):
        own = ", ".join(f"{piece.text} ({number(piece.score or 0.0)})" for piece in passage.marked(name))
        found.append(f"{words}: {own or 'none'}.")
    return " ".join(found)
