"""Sarcasm: from a user's own word-level file, since the paper's synthetic paragraphs are not public.

Accepted: `word_level_*.csv` with columns paragraph_id (from 1, without gaps), word, optionally sentence_id, and a 0/1 column a
label; beside it optionally the texts (`paragraphs/paragraph_000001.txt`, number = paragraph_id), which else are the words with
blanks between, and `paragraph_level_*.csv` with the labels of whole texts. A text carries a label if one of its words does, or
if the paragraph file says so.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import sha256, source_folder
from superact.datasets.builders.texts import Paragraph, Word, makes, write_texts
from superact.datasets.reading import read_text
from superact.datasets.splits import three_way_split
from superact.datasets.tables import integers, read_table
from superact.datasets.wordfile import WordFile, find_label_file, read_paragraph_file, read_word_file
from superact.datasets.words import word_spans
from superact.errors import BadInput, WordMismatch

STEP_VERSION = 1


def build_sarcasm(
    source: Path, out: Path, *, seed: int = 0, force: bool = False, progress: bool | None = None
) -> BuildReport:
    """Build Sarcasm from a word file. Nothing is drawn: `seed` is accepted and has no effect.

    Raises BadInput or one of its kinds for a file that is missing or wrong, WordMismatch for texts with other words.
    """
    del seed
    source = source_folder(source)
    path = find_label_file(source, "word_level")
    if path is None:
        raise BadInput(
            what=f"There is no word_level_*.csv in {source}.",
            remedy="The paper's paragraphs are not public: write a table with the columns paragraph_id, word and sarcasm.",
        )
    n = _count(path)
    words = read_word_file(path, n)
    paragraph_path = find_label_file(source, "paragraph_level")
    columns, of_texts = ([], None) if paragraph_path is None else read_paragraph_file(paragraph_path, n)
    labels = list(dict.fromkeys([*columns, *words.labels]))
    paragraphs = _paragraphs(source, path, words, n, of_texts)
    texts = [file for file in (_text_file(source, k) for k in range(n)) if file.is_file()]
    sources = [file for file in (path, paragraph_path) if file is not None]
    recipe = {
        "dataset": "Sarcasm",
        "recipe": "a user's word file" + (" and texts" if texts else ""),
        "step_version": STEP_VERSION,
        "sources": {file.name: sha256(file) for file in sources} | {f"paragraphs/{f.name}": sha256(f) for f in texts},
        "makes": makes("sarcasm"),
    }
    with building(out, recipe, force) as site:
        write_texts(site, paragraphs, labels, three_way_split(n), "sarcasm", progress)
    return site.report(out, n)


def _count(path: Path) -> int:
    """How many paragraphs a word file has. Raises BadInput for numbers with gaps."""
    table = read_table(path)
    if "paragraph_id" not in table.columns:
        raise BadInput(what=f"{path} has no column 'paragraph_id'.", remedy="A word file needs paragraph_id and word.")
    numbers = sorted(set(integers(table, path, "paragraph_id").to_list()))
    gap = next((k for k, number in enumerate(numbers, 1) if number != k), None)
    if gap is not None:
        raise BadInput(what=f"{path} has no paragraph {gap}.", remedy="Number the paragraphs from 1, without gaps.")
    return len(numbers)


def _text_file(source: Path, sample: int) -> Path:
    return source / "paragraphs" / f"paragraph_{sample + 1:06d}.txt"


def _paragraphs(source: Path, path: Path, words: WordFile, n: int, of_texts: pl.DataFrame | None) -> list[Paragraph]:
    table = read_table(path)
    has_sentences = "sentence_id" in table.columns
    numbers = integers(table, path, "sentence_id") if has_sentences else pl.Series([1] * table.height)
    carried: dict[tuple[int, int], set[str]] = {}
    for sample, label, word in words.positives.iter_rows():
        carried.setdefault((sample, word), set()).add(label)
    found: list[list[Word]] = [[] for _ in range(n)]
    for (sample, word, text), sentence in zip(words.words.iter_rows(), numbers, strict=True):
        found[sample].append(Word(text, sentence, frozenset(carried.get((sample, word), ()))))
    whole: list[set[str]] = [set() for _ in range(n)]
    for sample, label in [] if of_texts is None else of_texts.iter_rows():
        whole[sample].add(label)
    return [
        Paragraph(
            _text(source, path, sample, [word.text for word in one]),
            tuple(one),
            frozenset(whole[sample]).union(*(word.labels for word in one)),
        )
        for sample, one in enumerate(found)
    ]


def _text(source: Path, path: Path, sample: int, listed: list[str]) -> str:
    """The text of a paragraph, which has exactly the listed words."""
    file = _text_file(source, sample)
    text = read_text(file, sample, path) if file.is_file() else " ".join(listed)
    found = [text[start:end] for start, end in word_spans(text)]
    if found != listed:
        longest = max(len(found), len(listed))
        ends = ["(end of list)"] * (longest - len(listed)), ["(end of text)"] * (longest - len(found))
        pairs = list(zip([*listed, *ends[0]], [*found, *ends[1]], strict=True))
        at = next(k for k, (a, b) in enumerate(pairs) if a != b)
        raise WordMismatch(
            source=path, paragraph=sample + 1, path=file, position=at + 1, listed=pairs[at][0], found=pairs[at][1]
        )
    return text
