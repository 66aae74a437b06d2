"""Label tables of texts beside metadata.csv: one row a paragraph, or one row a word.

Paragraphs are numbered from 1 (paragraph 1 is sample 0). Published behaviour: reference section 1.6; the one departure
is that a paragraph without rows in the word file has no positive words, and moves nobody else's labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from superact.datasets.base import Dataset, row_name
from superact.datasets.tables import columns_besides, integers, positives, read_table
from superact.datasets.words import word_spans
from superact.errors import BadInput, BadTable, WordMismatch

_WORD_COLUMNS = {"paragraph_id", "sentence_id", "word", "sentiment_label"}
_PARAGRAPH_COLUMNS = {"paragraph_id", "sentence_id", "sentence", "sentiment_label"}


@dataclass(frozen=True, eq=False)
class WordFile:
    """The words of every listed paragraph and their positive labels.

    `words`: sample Int32, word Int32 (0-based position in its paragraph), text String, in file order; `positives`:
    sample Int32, label String, word Int32, sorted.
    """

    path: Path
    labels: list[str]
    words: pl.DataFrame
    positives: pl.DataFrame


def find_label_file(root: Path, prefix: str) -> Path | None:
    """Return the one file `<prefix>_*.csv` of a dataset folder, or None. Raises BadInput when there are several."""
    found = sorted(root.glob(f"{prefix}_*.csv"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BadInput(what=f"{root} has {len(found)} {prefix} files ({names}).", remedy="Keep one of them there.")
    return found[0] if found else None


def read_paragraph_file(path: Path, n_samples: int) -> tuple[list[str], pl.DataFrame]:
    """Return the label columns and the (sample Int32, label String) positives of a paragraph file.

    Row position is the sample. Raises BadTable when the rows are not those of metadata.csv.
    """
    table = read_table(path)
    if table.height != n_samples:
        raise BadInput(
            what=f"{path} has {table.height} paragraphs and metadata.csv lists {n_samples} texts.",
            remedy="Row k of one must be row k of the other.",
        )
    if "paragraph_id" in table.columns:
        found = integers(table, path, "paragraph_id")
        wrong = (found != pl.int_range(1, n_samples + 1, eager=True)).arg_true()
        if len(wrong):
            row = int(wrong[0])
            raise BadTable(
                path=path,
                row=row_name(row),
                column="paragraph_id",
                problem=f"the paragraph is {found[row]} and its row is that of paragraph {row + 1}",
                remedy="List the paragraphs in the order of metadata.csv, numbered from 1.",
            )
    labels = columns_besides(table, path, _PARAGRAPH_COLUMNS)
    return labels, positives(table, path, labels).rename({"row": "sample"})


def read_word_file(path: Path, n_samples: int) -> WordFile:
    """Read a word file: a row a word, grouped by paragraph_id; the k-th row of a group is word k of the text."""
    table = read_table(path)
    for column in ("paragraph_id", "word"):
        if column not in table.columns:
            raise BadInput(what=f"{path} has no column {column!r}.", remedy="A word file needs paragraph_id and word.")
    paragraph = integers(table, path, "paragraph_id")
    outside = ((paragraph < 1) | (paragraph > n_samples)).arg_true()
    if len(outside):
        row = int(outside[0])
        raise BadTable(
            path=path,
            row=row_name(row),
            column="paragraph_id",
            problem=f"there is no paragraph {paragraph[row]}: metadata.csv lists {n_samples}, numbered from 1",
            remedy="Correct the number.",
        )
    words = pl.DataFrame({"sample": (paragraph - 1).cast(pl.Int32), "text": table["word"].fill_null("")})
    words = words.select("sample", pl.int_range(pl.len(), dtype=pl.Int32).over("sample").alias("word"), "text")
    labels = columns_besides(table, path, _WORD_COLUMNS)
    found = positives(table, path, labels)
    return WordFile(path, labels, words, _with_words(found, words))


def check_words(dataset: Dataset, words: WordFile) -> None:
    """Raise WordMismatch unless every listed paragraph has exactly the words of its text.

    The message counts paragraphs and words from 1.
    """
    for (sample,), group in words.words.group_by("sample", maintain_order=True):
        text = dataset.text(int(sample))
        found = [text[start:end] for start, end in word_spans(text)]
        listed = group["text"].to_list()
        if listed == found:
            continue
        position = next((k for k, (a, b) in enumerate(zip(listed, found, strict=False)) if a != b), None)
        if position is None:
            position = min(len(listed), len(found))
        raise WordMismatch(
            source=words.path,
            paragraph=int(sample) + 1,
            path=dataset.path_of(int(sample)),
            position=position + 1,
            listed=listed[position] if position < len(listed) else "(end of list)",
            found=found[position] if position < len(found) else "(end of text)",
        )


def _with_words(found: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    at = found["row"]
    rows = pl.DataFrame({"sample": words["sample"][at], "label": found["label"], "word": words["word"][at]})
    return rows.sort("sample", "label", "word")
