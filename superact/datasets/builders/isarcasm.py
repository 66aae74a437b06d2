"""iSarcasm: the sarcastic tweets of iSarcasmEval, each followed by a negative, between two plain tweets.

Published: 1734 rows, the 867 sarcastic tweets on even rows in order, negatives on odd rows. Which negatives is not public; here
row 2k + 1 is by default the plain rephrase that the author of tweet 2k gave, or with `negatives="tweets"` a plain tweet. Both
rows of a pair stand in the same filler, so that nothing but the sarcasm tells them apart. Filler are plain tweets that are no
negatives.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import find_source, sha256, source_folder, text_of
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

STEP_VERSION = 1  # raised when the same file and seed give other texts
ORIGIN = "github.com/iabufarha/iSarcasmEval (train/train.En.csv)"
NEGATIVES = ("rephrase", "tweets")
KINDS = ("sarcasm", "irony", "satire", "understatement", "overstatement", "rhetorical_question")
LABELS = ("sarcastic", *KINDS)
_COLUMNS = ("tweet", "sarcastic", "rephrase", *KINDS)


def build_isarcasm(
    source: Path,
    out: Path,
    *,
    negatives: str = "rephrase",
    seed: int = 0,
    force: bool = False,
    progress: bool | None = None,
) -> BuildReport:
    """Build iSarcasm from train.En.csv, in `source` or in its train/. Raises BadInput for a wrong or missing file."""
    if negatives not in NEGATIVES:
        raise BadInput(what=f"There are no negatives {negatives!r}.", remedy=f"Choose {' or '.join(NEGATIVES)}.")
    path = find_source(source_folder(source), "train.En.csv", ("train",), ORIGIN)
    table = _read(path)
    sarcastic = [(row, one) for row, one in enumerate(table) if one["sarcastic"] == "1"]
    positive = [_positive(path, row, one) for row, one in sarcastic]
    plain = distinct(
        (cleaned(one["tweet"]) for one in table if one["sarcastic"] == "0"), (text for text, _ in positive)
    )
    if negatives == "rephrase":
        negative = [_text(path, row, one, "rephrase") for row, one in sarcastic]
    else:
        negative = _drawn(path, plain, len(positive), seed)
    pool = distinct(plain, negative)
    if not positive or not pool:
        lacks = "sarcastic" if not positive else "plain"
        raise BadInput(what=f"{path} has no {lacks} tweets left.", remedy=f"Get it from {ORIGIN}.")
    recipe = {
        "dataset": "iSarcasm",
        "recipe": "sarcastic tweets in order on even rows, negatives on odd rows; a plain tweet before and after, the same for "
        "both rows of a pair, in seeded order",
        "step_version": STEP_VERSION,
        "seed": seed,
        "negatives": negatives,
        "sources": {path.name: sha256(path)},
        "makes": makes("sarcasm"),
    }
    paragraphs = _paragraphs(positive, negative, pool, seed)
    with building(out, recipe, force) as site:
        write_texts(site, paragraphs, LABELS, three_way_split(len(paragraphs)), "sarcasm", progress)
    return site.report(out, len(paragraphs), _notes(len(paragraphs), len(pool)))


def _read(path: Path) -> list[dict[str, str]]:
    try:
        table = list(csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True))
    except csv.Error as error:
        raise BadInput(what=f"{path} is not a CSV file: {error}.", remedy=f"Get it from {ORIGIN}.") from error
    lacking = [column for column in _COLUMNS if not table or column not in table[0]]
    if lacking:
        raise BadInput(what=f"{path} has no column {lacking[0]!r}.", remedy=f"Get it from {ORIGIN}.")
    for row, one in enumerate(table):
        if one["sarcastic"] not in ("0", "1"):
            raise _wrong(path, row, "sarcastic", f"the value is {one['sarcastic'] or ''!r}, not 0 or 1")
        one["tweet"] = one["tweet"] or ""
    return table


def _positive(path: Path, row: int, one: dict[str, str]) -> tuple[str, frozenset[str]]:
    """The text and labels of a sarcastic tweet."""
    for kind in KINDS:
        if one[kind] not in ("0", "1"):
            raise _wrong(path, row, kind, f"the value is {one[kind] or ''!r}, not 0 or 1")
    return _text(path, row, one, "tweet"), frozenset(["sarcastic", *(kind for kind in KINDS if one[kind] == "1")])


def _text(path: Path, row: int, one: dict[str, str], column: str) -> str:
    text = cleaned(one[column] or "")
    if not text:
        raise _wrong(path, row, column, "the text is blank")
    return text


def _drawn(path: Path, plain: list[str], n: int, seed: int) -> list[str]:
    if len(plain) <= n:
        what = f"{path} has {len(plain)} plain tweets for {n} negatives, and filler needs some more."
        raise BadInput(what=what, remedy="Use --negatives rephrase, or get the whole file.")
    # Another stream than the filler's, so that the two orders have nothing to do with each other.
    return [plain[k] for k in np.random.RandomState([seed, 1]).permutation(len(plain))[:n]]


def _paragraphs(
    positive: list[tuple[str, frozenset[str]]], negative: list[str], pool: list[str], seed: int
) -> list[Paragraph]:
    paragraphs = []
    pairs = fillers(pool, len(positive), seed)
    for (tweet, labels), plain, (before, after) in zip(positive, negative, pairs, strict=True):
        for text, carried in ((tweet, labels), (plain, NO_LABELS)):
            paragraphs.append(joined([(before, NO_LABELS), (text, carried), (after, NO_LABELS)]))
    return paragraphs


def _wrong(path: Path, row: int, column: str, problem: str) -> BadTable:
    # Texts of this file have line breaks, so that a line number would be wrong.
    return BadTable(path=path, row=row, column=column, problem=problem, remedy=f"Get the file from {ORIGIN}.")


def _notes(rows: int, pool: int) -> list[str]:
    notes = []
    if rows != published("iSarcasm").rows:
        notes.append(f"the file gives {rows:,} rows, and the published data have {published('iSarcasm').rows:,}")
    if pool < rows:
        notes.append(f"there are {pool:,} plain tweets for {rows:,} places: some are used more than once")
    return notes
