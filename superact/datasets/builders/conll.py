"""WNUT-17: the sentences of its three CoNLL files, word for word, with the entity types as labels.

A CoNLL file has a line a word, `word TAB tag`, and a blank line after each sentence. Tags are BIO: O outside, B-type on the
first word of an entity, I-type on the others; an I- that continues nothing starts an entity, as in seqeval and conlleval.
A word carries the label of its entity, and a sentence those of its words. The shared task's own split is kept: train, dev
and test become train, cal and test. Sentences without an entity are the negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import find_source, sha256, source_folder, text_of
from superact.datasets.builders.texts import NO_LABELS, Paragraph, Word, cleaned, makes, write_texts
from superact.datasets.words import word_spans
from superact.errors import BadInput, BadTable

STEP_VERSION = 1  # raised when the same files give other texts
ORIGIN = "github.com/leondz/emerging_entities_17"
LABELS = ("corporation", "creative-work", "group", "location", "person", "product")
SIZES = {"train": 3394, "cal": 1009, "test": 1287}
_FILES = {"train": "wnut17train.conll", "cal": "emerging.dev.conll", "test": "emerging.test.annotated"}


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence and the entity type of each (None outside)."""

    words: tuple[str, ...]
    types: tuple[str | None, ...]


def build_wnut17(
    source: Path, out: Path, *, seed: int = 0, force: bool = False, progress: bool | None = None
) -> BuildReport:
    """Build WNUT-17 from wnut17train.conll, emerging.dev.conll and emerging.test.annotated.

    Nothing is drawn: `seed` is accepted and has no effect. Raises BadInput for a file that is missing, is not UTF-8 or has
    no sentences, BadTable for a line that is not a word and a tag of the six types.
    """
    del seed
    source = source_folder(source)
    files = {split: find_source(source, name, (), ORIGIN) for split, name in _FILES.items()}
    notes, paragraphs, splits = [], [], []
    for split, path in files.items():
        sentences, orphans = read_conll(path)
        paragraphs += [_paragraph(sentence) for sentence in sentences]
        splits += [split] * len(sentences)
        if orphans:
            notes.append(f"{path.name}: {orphans:,} I- tags continue no entity of their type: each starts one")
        if len(sentences) != SIZES[split]:
            notes.append(f"{path.name} has {len(sentences):,} sentences, and the shared task's {SIZES[split]:,}")
    recipe = {
        "dataset": "WNUT-17",
        "recipe": "the sentences of the three files, words with a blank between; dev is cal",
        "step_version": STEP_VERSION,
        "sources": {path.name: sha256(path) for path in files.values()},
        "makes": makes("entity"),
    }
    with building(out, recipe, force) as site:
        write_texts(site, paragraphs, LABELS, splits, "entity", progress)
    return site.report(out, len(paragraphs), notes)


def read_conll(path: Path) -> tuple[list[Sentence], int]:
    """Return the sentences of a CoNLL file, and how many I- tags start an entity for want of one to continue.

    The two columns are separated by a tab, or in a line without one by blanks. Raises BadTable for a line of another form
    or with an unknown tag, BadInput for a file without sentences.
    """
    sentences: list[Sentence] = []
    words: list[str] = []
    types: list[str | None] = []
    orphans = 0
    # Not splitlines(): words of the web contain characters that it takes for line ends. The last, blank line ends a
    # sentence that the file leaves open.
    for row, line in enumerate([*text_of(path).split("\n"), ""]):
        if line.strip():
            word, starts, kind = _fields(path, row, line.rstrip("\r"))
            orphans += kind is not None and not starts and (not types or types[-1] != kind)
            words.append(word)
            types.append(kind)
        elif words:
            sentences.append(Sentence(tuple(words), tuple(types)))
            words, types = [], []
    if not sentences:
        raise BadInput(what=f"{path} has no sentences.", remedy=f"Get it from {ORIGIN}.")
    return sentences, orphans


def _fields(path: Path, row: int, line: str) -> tuple[str, bool, str | None]:
    """The word of a line, whether its tag is a B-, and the entity type (None for O)."""
    fields = line.split("\t") if "\t" in line else line.split()
    word, column, problem = cleaned(fields[0]), "word", None
    if len(fields) != 2:
        problem = f"the line has {len(fields)} column{'s' * (len(fields) != 1)}, not a word and a tag"
    elif len(word_spans(word)) != 1:
        problem = f"{fields[0]!r} is not one word without blanks"
    else:
        tag = fields[1].strip()
        prefix, _, kind = tag.partition("-")
        if tag == "O":
            return word, False, None
        if prefix in ("B", "I") and kind in LABELS:
            return word, prefix == "B", kind
        column, problem = "tag", f"{fields[1]!r} is not O, nor B- or I- and one of {', '.join(LABELS)}"
    place = f"{row} (line {row + 1})"
    raise BadTable(path=path, row=place, column=column, problem=problem, remedy=f"Get the file from {ORIGIN}.")


def _paragraph(sentence: Sentence) -> Paragraph:
    labels = [NO_LABELS if kind is None else frozenset([kind]) for kind in sentence.types]
    words = tuple(Word(text, 1, carried) for text, carried in zip(sentence.words, labels, strict=True))
    return Paragraph(" ".join(sentence.words), words, frozenset().union(*labels))
