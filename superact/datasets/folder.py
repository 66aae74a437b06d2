"""Folders in the two published formats: `metadata.csv` lists images or texts with 0/1 label columns and a split.

Images: `image_path`, label columns, `split`, and optionally `mask_path`: one single-channel mask a row (> 0 = object)
for every label that row carries. Texts: `text_path`, label columns, `split`; beside it optionally
`paragraph_level_*.csv` (whose labels then replace those of metadata.csv, as published) and `word_level_*.csv`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import polars as pl

from superact.datasets.base import SPLITS, Dataset, Label, row_name, slug
from superact.datasets.tables import positives, read_table
from superact.datasets.wordfile import WordFile, check_words, find_label_file, read_paragraph_file, read_word_file
from superact.errors import BadInput, BadTable, MissingFile

NOT_LABELS = frozenset({"image_path", "text_path", "split", "class", "mask_path", "material"})


def open_folder(root: Path) -> Dataset:
    """Open a dataset folder and check it: files exist, paths are unique, splits and labels valid, texts readable.

    Images and masks are looked at only when read. Every error names the file and the row of metadata.csv, as its
    0-based sample and its line. Raises BadInput or one of its kinds (MissingFile, UnreadableFile, BadTable,
    WordMismatch).
    """
    path = root / "metadata.csv"
    table = read_table(path)
    modality = _modality(table, path)
    samples = _samples(table, path, f"{modality}_path")
    _check_files(root, samples["path"], path)
    labels = [column for column in table.columns if column not in NOT_LABELS]
    if modality == "image":
        dataset = _image_dataset(root, table, samples, labels)
    else:
        dataset = _text_dataset(root, table, samples, labels)
    if not dataset.labels:
        raise BadInput(
            what=f"{root} has no label columns.", remedy="Add a 0/1 column a label to metadata.csv, or a word file."
        )
    return dataset


def licence_note(root: Path) -> str | None:
    """Return the first line with text of the folder's LICENSE (or LICENCE) file, or None."""
    for path in sorted(root.iterdir()):
        if path.is_file() and path.name.lower().split(".")[0] in ("license", "licence"):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip("# \t") for line in lines if line.strip("# \t")), None)
    return None


def _modality(table: pl.DataFrame, path: Path) -> Literal["image", "text"]:
    has_image, has_text = ("image_path" in table.columns, "text_path" in table.columns)
    if has_image == has_text:
        count = "both" if has_image else "neither"
        raise BadInput(
            what=f"{path} has {count} of the columns image_path and text_path.",
            remedy="A dataset of images has the first, one of texts the second.",
        )
    if "split" not in table.columns:
        raise BadInput(what=f"{path} has no column split.", remedy=f"Add it, with one of {', '.join(SPLITS)} a row.")
    return "image" if has_image else "text"


def _samples(table: pl.DataFrame, path: Path, path_column: str) -> pl.DataFrame:
    paths, splits = table[path_column], table["split"]
    first_seen: dict[str, int] = {}
    for row, (file, split) in enumerate(zip(paths, splits, strict=True)):
        problem, column, remedy = None, path_column, "Correct that row."
        if file is None or not file.strip():
            problem = "the path is empty"
        elif file in first_seen:
            problem = f"{file} is already named in row {row_name(first_seen[file])}"
            remedy = "Remove one of the two rows."
        elif split not in SPLITS:
            problem, column = f"{split or ''!r} is not a split", "split"
            remedy = f"Use one of {', '.join(SPLITS)}."
        if problem:
            raise BadTable(path=path, row=row_name(row), column=column, problem=problem, remedy=remedy)
        first_seen[file] = row
    return pl.DataFrame(
        {"sample": pl.int_range(len(paths), dtype=pl.Int32, eager=True), "path": paths, "split": splits}
    )


def _check_files(root: Path, paths: pl.Series, source: Path) -> None:
    for row, file in enumerate(paths):
        if file is not None and not (root / file).is_file():
            raise MissingFile(path=root / file, row=row_name(row), source=source)


def _image_dataset(root: Path, table: pl.DataFrame, samples: pl.DataFrame, columns: list[str]) -> Dataset:
    path = root / "metadata.csv"
    sample_labels = positives(table, path, columns).rename({"row": "sample"})
    masks = None
    if "mask_path" in table.columns:
        column = table["mask_path"]
        _check_files(root, column, path)
        _check_masked(column, sample_labels, path)
        masks = tuple(column)
    return Dataset(
        name=root.name,
        slug=slug(root.name),
        modality="image",
        root=root,
        licence=licence_note(root),
        labels=[Label(name, "metadata" if masks is None else "mask") for name in columns],
        samples=samples,
        sample_labels=sample_labels,
        mask_paths=masks,
    )


def _check_masked(masks: pl.Series, sample_labels: pl.DataFrame, path: Path) -> None:
    """A sample that carries a label needs a mask: without one its positive pixels would silently count as negative."""
    unmasked = masks.is_null().arg_true().implode()
    lacking = sample_labels.filter(pl.col("sample").is_in(unmasked))
    if lacking.height:
        raise BadTable(
            path=path,
            row=row_name(lacking["sample"][0]),
            column="mask_path",
            problem=f"the row carries {lacking['label'][0]!r} and names no mask",
            remedy="Name its mask; only rows without any label may go without.",
        )


def _text_dataset(root: Path, table: pl.DataFrame, samples: pl.DataFrame, columns: list[str]) -> Dataset:
    paragraph_path, word_path = find_label_file(root, "paragraph_level"), find_label_file(root, "word_level")
    if paragraph_path is None:
        sample_labels = positives(table, root / "metadata.csv", columns).rename({"row": "sample"})
    else:
        columns, sample_labels = read_paragraph_file(paragraph_path, samples.height)
    words = read_word_file(word_path, samples.height) if word_path is not None else None
    dataset = Dataset(
        name=root.name,
        slug=slug(root.name),
        modality="text",
        root=root,
        licence=licence_note(root),
        labels=_text_labels(columns, words),
        samples=samples,
        sample_labels=sample_labels,
        label_files=tuple(file for file in (paragraph_path, word_path) if file is not None),
    )
    for sample in range(samples.height):
        dataset.text(sample)
    if words is not None:
        check_words(dataset, words)
        dataset = replace(dataset, word_positives=words.positives)
    return dataset


def _text_labels(columns: list[str], words: WordFile | None) -> list[Label]:
    in_words = words.labels if words is not None else []
    names = [*columns, *(name for name in in_words if name not in columns)]
    return [Label(name, "word file" if name in in_words else "metadata") for name in names]
