"""GoEmotions: the comments of `test.tsv`, in order, each between two neutral comments of the other files.

Published: the rows are those of test.tsv; label columns are the 19 emotions with 100 comments or more; the filler text is not
public. Here it is a neutral comment (label 27 alone) of dev.tsv or train.tsv before the comment and one after it, so that the
labelled words are exactly those of the comment.
"""

from __future__ import annotations

from pathlib import Path

from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import find_source, look_for, sha256, source_folder, text_of
from superact.datasets.builders.texts import (
    NO_LABELS,
    Paragraph,
    cleaned,
    distinct,
    fillers,
    joined,
    makes,
    write_texts,
)
from superact.datasets.published import published
from superact.datasets.splits import three_way_split
from superact.errors import BadInput, BadTable

STEP_VERSION = 1  # raised when the same files and seed give other texts
ORIGIN = "github.com/google-research/google-research/tree/master/goemotions/data"
_FOLDERS = ("data", "data/original", "original")
_NEUTRAL = "neutral"

Comment = tuple[str, frozenset[str]]


def build_goemotions(
    source: Path, out: Path, *, seed: int = 0, force: bool = False, progress: bool | None = None
) -> BuildReport:
    """Build GoEmotions from test.tsv, labels.txt (or emotions.txt), and the neutral comments of dev.tsv and train.tsv.

    The files may lie in `source` or in its data/ or data/original/; one of dev.tsv and train.tsv is enough. Raises BadInput
    for a file that is missing or not in the format `text TAB label numbers TAB id`.
    """
    source = source_folder(source)
    known = published("GoEmotions")
    labels = sorted({*known.labels, *known.dropped})
    names_file = look_for(source, "emotions.txt", _FOLDERS) or find_source(source, "labels.txt", _FOLDERS, ORIGIN)
    names = [line.strip() for line in text_of(names_file).splitlines() if line.strip()]
    lacking = [label for label in (*labels, _NEUTRAL) if label not in names]
    if lacking:
        raise BadInput(what=f"{names_file} has no line {lacking[0]!r}.", remedy=f"Get it from {ORIGIN}.")
    test_file = find_source(source, "test.tsv", _FOLDERS, ORIGIN)
    others = [path for name in ("dev.tsv", "train.tsv") if (path := look_for(source, name, _FOLDERS)) is not None]
    if not others:
        find_source(source, "dev.tsv", _FOLDERS, f"{ORIGIN} (its neutral comments are the filler)")
    comments = read_comments(test_file, names)
    neutral = [text for path in others for text, found in read_comments(path, names) if found == {_NEUTRAL}]
    pool = distinct(neutral, (text for text, _ in comments))
    if not pool:
        raise BadInput(what=f"{others[0]} has no neutral comment.", remedy=f"Get it from {ORIGIN}.")
    recipe = {
        "dataset": "GoEmotions",
        "recipe": "test.tsv in order; a neutral comment of the other files before and after each, in seeded order",
        "step_version": STEP_VERSION,
        "seed": seed,
        "sources": {path.name: sha256(path) for path in (test_file, names_file, *others)},
        "makes": makes("emotion"),
    }
    paragraphs = _paragraphs(comments, pool, frozenset(labels), seed)
    with building(out, recipe, force) as site:
        write_texts(site, paragraphs, labels, three_way_split(len(paragraphs)), "emotion", progress)
    return site.report(out, len(paragraphs), _notes(len(paragraphs), len(pool)))


def read_comments(path: Path, names: list[str]) -> list[Comment]:
    """Return (text, label names) of every line of a GoEmotions file. Raises BadTable for a line that has no such form."""
    comments = []
    for row, line in enumerate(text_of(path).rstrip("\n").split("\n")):
        fields = line.rstrip("\r").split("\t")
        problem = None if len(fields) == 3 else f"the line has {len(fields)} fields, not text, label numbers and id"
        found: list[str] = []
        if problem is None:
            try:
                found = [names[_number(number)] for number in fields[1].split(",")]
            except (ValueError, IndexError):
                problem = f"{fields[1]!r} are no numbers of the {len(names)} labels"
        if problem is None and not cleaned(fields[0]):
            problem = "the text is blank"
        if problem is not None:
            place = f"{row} (line {row + 1})"
            raise BadTable(path=path, row=place, column="text", problem=problem, remedy=f"Get the file from {ORIGIN}.")
        comments.append((cleaned(fields[0]), frozenset(found)))
    return comments


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _paragraphs(comments: list[Comment], pool: list[str], labels: frozenset[str], seed: int) -> list[Paragraph]:
    pairs = fillers(pool, len(comments), seed)
    return [
        joined([(before, NO_LABELS), (text, found & labels), (after, NO_LABELS)])
        for (text, found), (before, after) in zip(comments, pairs, strict=True)
    ]


def _notes(rows: int, pool: int) -> list[str]:
    notes = []
    if rows != published("GoEmotions").rows:
        notes.append(f"test.tsv has {rows:,} comments, and the published data {published('GoEmotions').rows:,}")
    if pool < 2 * rows:
        notes.append(f"there are {pool:,} neutral comments for {2 * rows:,} places: some are used more than once")
    return notes
