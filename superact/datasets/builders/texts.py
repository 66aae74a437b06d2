"""Texts in the published layout: metadata.csv, a file a text, and a label table of words and one of texts.

A text is built of parts; every word of a part carries the part's labels, so that spans are exact. Filler parts carry none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from superact.datasets.builders.site import Site
from superact.datasets.progress import progress_bar
from superact.datasets.words import word_spans

NO_LABELS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Word:
    """A word of a text: the sentence (or part) it stands in, from 1, and its labels."""

    text: str
    sentence: int
    labels: frozenset[str]


@dataclass(frozen=True)
class Paragraph:
    """A text, its words in order, and the labels of the whole."""

    text: str
    words: tuple[Word, ...]
    labels: frozenset[str]


def cleaned(text: str) -> str:
    """A text without what a reader of UTF-8 files would drop or change: a byte order mark, carriage returns, outer blanks."""
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").strip()


def joined(parts: Sequence[tuple[str, frozenset[str]]]) -> Paragraph:
    """A paragraph of parts (text, labels of each of its words), a blank between them; parts are its sentences."""
    words = tuple(
        Word(text[start:end], number, labels)
        for number, (text, labels) in enumerate(parts, 1)
        for start, end in word_spans(text)
    )
    return Paragraph(" ".join(text for text, _ in parts), words, frozenset().union(*(labels for _, labels in parts)))


def fillers(pool: Sequence[str], n: int, seed: int) -> list[tuple[str, str]]:
    """n pairs (before, after) from the pool in seeded order: no text is used twice before every one has been once.

    NumPy's legacy generator, whose draws never change between releases.
    """
    order = np.random.RandomState(seed).permutation(len(pool))
    picked = [pool[order[k % len(pool)]] for k in range(2 * n)]
    return list(zip(picked[::2], picked[1::2], strict=True))


def distinct(texts: Iterable[str], without: Iterable[str]) -> list[str]:
    """The texts that are not blank and not among `without`, each once, in order."""
    taken = set(without)
    return [text for text in dict.fromkeys(texts) if text.strip() and text not in taken]


def makes(unit: str) -> list[str]:
    """The names at the top of a folder that `write_texts` makes."""
    return ["build.json", "metadata.csv", "paragraphs", f"paragraph_level_{unit}.csv", f"word_level_{unit}.csv"]


def write_texts(
    site: Site,
    paragraphs: Sequence[Paragraph],
    labels: Sequence[str],
    splits: Sequence[str],
    unit: str,
    progress: bool | None,
) -> None:
    """Write a dataset of texts; `unit` is the last word of the names of its label tables. metadata.csv comes last."""
    names = [f"paragraphs/paragraph_{number:06d}.txt" for number in range(1, len(paragraphs) + 1)]
    with progress_bar("Writing texts", len(paragraphs), progress) as advance:
        for name, paragraph in zip(names, paragraphs, strict=True):
            site.write(name, paragraph.text.encode())
            advance(1)

    def flags(carried: frozenset[str]) -> list[int]:
        return [int(label in carried) for label in labels]

    words = (
        [number, word.sentence, word.text, *flags(word.labels)]
        for number, paragraph in enumerate(paragraphs, 1)
        for word in paragraph.words
    )
    site.write_table(f"word_level_{unit}.csv", [["paragraph_id", "sentence_id", "word", *labels], *words])
    texts = ([number, one.text.strip(), *flags(one.labels)] for number, one in enumerate(paragraphs, 1))
    site.write_table(f"paragraph_level_{unit}.csv", [["paragraph_id", "sentence", *labels], *texts])
    rows = ([name, *flags(one.labels), split] for name, one, split in zip(names, paragraphs, splits, strict=True))
    site.write_table("metadata.csv", [["text_path", *labels, "split"], *rows])
