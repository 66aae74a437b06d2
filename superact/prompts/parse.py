"""What a reply means: yes, no or neither; boxes of an image; phrases of a text.

Strict, so that a model that rambles is counted and not guessed at (docs/prompts.md has the rules with examples).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Answer = Literal["yes", "no", "unparsed"]
Box = tuple[float, float, float, float]
Span = tuple[int, int]

VERSION = 1
"""Raised when a reply is read differently; replies are stored, and read again then without asking anybody."""

_MARKUP = r"[\s*_`'\"#]*"
_MARKER = re.compile(
    rf"\bfinal\s+answer\b{_MARKUP}(?::|：|\bis\b{_MARKUP}:?|$|(?=\n))|\banswer\b{_MARKUP}[:：]",
    re.IGNORECASE | re.MULTILINE,
)
_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.IGNORECASE | re.DOTALL)
_SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?[A-Za-z_]+>|\[/?INST\]")
_LATEX = re.compile(r"\\(?:boxed|text|textbf|mathrm)\s*\{([^{}]*)\}")
_WORD = re.compile(r"[^\W_]+(?:['’_-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!\n]")
_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)

_NUMBER = r"[-+]?\d+(?:\.\d*)?"
_BOX = re.compile(rf"\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\]")
_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\d+[.)]\s+)")
_PHRASE = re.compile(r"""\s*(?:"([^"]*)"|“([^”]*)”|'((?:[^']|'(?=\w))*)'|([^,]*))\s*(?:,|$)""")
_EDGES = " \t\r\n\"“”'‘’`*_.,;:!?…"


def parse_answer(reply: str) -> Answer:
    """`yes` or `no` where the answer is exactly that word, in any case; `unparsed` for everything else.

    The answer is what stands behind the last marker such as `FINAL ANSWER:`, or all of the reply where there is none, without
    markdown, fences, LaTeX, special tokens and punctuation. What follows its first sentence or line is explanation, and must
    not hold the other word. What a model thinks aloud inside `<think>` is not its answer.
    """
    text = _plain(reply)
    markers = list(_MARKER.finditer(text))
    answer = text[markers[-1].end() :] if markers else text
    words = [word.group().lower() for word in _WORD.finditer(answer)]
    if not words or words[0] not in ("yes", "no") or {"yes", "no"} <= set(words):
        return "unparsed"
    # Up to the end of the sentence that the first word is in.
    start = _WORD.search(answer).start()  # type: ignore[union-attr]
    first = _SENTENCE_END.split(answer[start:], maxsplit=1)[0]
    if len(_WORD.findall(first)) > 1:
        return "unparsed"
    return "yes" if words[0] == "yes" else "no"


def _plain(reply: str) -> str:
    text = _SPECIAL.sub(" ", _THINKING.sub(" ", reply))
    while (inner := _LATEX.sub(r"\1", text)) != text:
        text = inner
    return _FENCE.sub("", text)


@dataclass(frozen=True)
class Boxes:
    """What a reply to "where in the image?" says: boxes inside the image, and how many lay outside of it."""

    parsed: bool
    boxes: tuple[Box, ...] = ()
    outside: int = 0


def parse_boxes(reply: str, width: float, height: float) -> Boxes:
    """The boxes [x1, y1, x2, y2] (pixels) of a reply, clipped to an image of that size.

    A box that lies outside of it is dropped and counted. A reply without any box that does not say None, or with a box whose
    corners are swapped or which is empty, is not parsed.
    """
    text = _plain(reply)
    found = [tuple(float(part) for part in match.groups()) for match in _BOX.finditer(text)]
    if not found:
        return Boxes(_says_none(text))
    kept, outside = [], 0
    for x1, y1, x2, y2 in found:
        if x2 <= x1 or y2 <= y1:
            return Boxes(False)
        box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if box[2] <= box[0] or box[3] <= box[1]:
            outside += 1
        else:
            kept.append(box)
    return Boxes(True, tuple(kept), outside)


@dataclass(frozen=True)
class Phrases:
    """What a reply to "which words?" says: [start, end) spans of the text, and how many phrases are not in it."""

    parsed: bool
    spans: tuple[Span, ...] = ()
    missing: int = 0


def parse_phrases(reply: str, text: str) -> Phrases:
    """The spans of a text that the phrases of a reply name: every place where one stands as whole words, in any case.

    Phrases are separated by commas or lines, in quotation marks or not; a line that stands in the text as it is, is one phrase,
    commas and all. Blanks of any kind and number match each other. A phrase that is not in the text is counted. A reply that
    names nothing and does not say None is not parsed.
    """
    plain = _plain(reply)
    if _says_none(plain):
        return Phrases(True)
    spans: set[Span] = set()
    missing = named = 0
    for line in plain.splitlines():
        line = _BULLET.sub("", line).strip()
        whole = _places(line, text)
        for phrase in [line] if whole else _split(line):
            places = whole or _places(phrase, text)
            named += 1
            missing += not places
            spans.update(places)
    return Phrases(named > 0, tuple(sorted(spans)), missing)


def _says_none(text: str) -> bool:
    return text.strip(_EDGES + "[]()").lower() == "none"


def _split(line: str) -> list[str]:
    """The phrases of a line; inside quotation marks a comma separates nothing."""
    found = [next((group for group in match.groups() if group), "") for match in _PHRASE.finditer(line)]
    return [phrase for phrase in found if phrase.strip(_EDGES)]


def _places(phrase: str, text: str) -> list[Span]:
    """Where a phrase stands in a text as whole words; also without the punctuation around it, where it does not so with it."""
    for form in (phrase.strip(), phrase.strip(_EDGES)):
        if not form.strip(_EDGES):
            continue
        pattern = r"\s+".join(map(re.escape, form.split()))
        before = r"(?<!\w)" if re.match(r"\w", form) else ""
        after = r"(?!\w)" if re.search(r"\w$", form) else ""
        found = [match.span() for match in re.finditer(before + pattern + after, text, re.IGNORECASE)]
        if found:
            return found
    return []
