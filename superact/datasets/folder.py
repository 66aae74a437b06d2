"""Folders in the two published formats: `metadata.csv` lists images or texts with 0/1 label columns and a split.

Images: `image_path`, label columns, `split`. Their masks come from the first of these that is there: a column `mask_path`
(one single-channel mask a row, > 0 = object, for every label that row carries), `segmentations.pt`,
`object_segmentations.pt`, COCO's annotation files (`superact.datasets.masks`). Texts: `text_path`, label columns, `split`;
beside it optionally `paragraph_level_*.csv` (whose labels then replace those of metadata.csv, as published) and
`word_level_*.csv`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import polars as pl

from superact.datasets.base import SPLITS, Dataset, Label, row_name, slug
from superact.datasets.coco import find_coco
from superact.datasets.masks import BrodenMasks, ClevrMasks, FileMasks, MaskSource
from superact.datasets.paths import Roots
from superact.datasets.published import dataset_name, find_published
from superact.datasets.tables import positives, read_table
from superact.datasets.wordfile import WordFile, check_words, find_label_file, read_paragraph_file, read_word_file
from superact.errors import BadInput, BadTable, MissingFile

NOT_LABELS = frozenset({"image_path", "text_path", "split", "class", "mask_path", "material"})


def label_columns(table: pl.DataFrame) -> list[str]:
    """The label columns of a metadata table."""
    return [column for column in table.columns if column not in NOT_LABELS]


def modality_of(table: pl.DataFrame) -> Literal["image", "text"]:
    """What the samples of a metadata table are."""
    return "text" if "text_path" in table.columns else "image"


def open_folder(root: Path, image_root: Path | None = None, text_root: Path | None = None) -> Dataset:
    """Open a dataset folder and check it: files exist, paths are unique, splits and labels valid, texts readable.

    `image_root` and `text_root` map the path column of images and texts (`superact.datasets.paths`). Images and masks are
    looked at only when read. Every error names the file and the row of metadata.csv, as its 0-based sample and its line.
    Raises BadInput or one of its kinds (MissingFile, UnreadableFile, BadTable, WordMismatch).
    """
    path = root / "metadata.csv"
    table = read_table(path)
    modality = _modality(table, path)
    roots = Roots(root, _mapped(image_root if modality == "image" else text_root))
    samples, files = _samples(table, path, f"{modality}_path", roots)
    labels = label_columns(table)
    dataset = Dataset(
        name=dataset_name(root.name),
        slug=slug(dataset_name(root.name)),
        modality=modality,
        root=root,
        licence=licence_note(root),
        labels=[Label(name, "metadata") for name in labels],
        samples=samples,
        sample_labels=pl.DataFrame(schema={"sample": pl.Int32, "label": pl.String}),
        files=tuple(files),
    )
    dataset = _with_masks(dataset, table, roots) if modality == "image" else _with_words(dataset, table)
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
    return modality_of(table)


def _mapped(root: Path | None) -> Path | None:
    if root is not None and not root.is_dir():
        raise BadInput(
            what=f"There is no folder {root}.", remedy="Name the folder that the paths of the table start from."
        )
    return None if root is None else root.absolute()


def _samples(table: pl.DataFrame, path: Path, column: str, roots: Roots) -> tuple[pl.DataFrame, list[Path]]:
    """Return the samples (sample, path, split) and the files of their paths, all of which exist."""
    splits = table["split"]
    for row, split in enumerate(splits):
        if split not in SPLITS:
            problem, remedy = f"{split or ''!r} is not a split", f"Use one of {', '.join(SPLITS)}."
            raise BadTable(path=path, row=row_name(row), column="split", problem=problem, remedy=remedy)
    located = _located(table[column], path, column, roots)
    first_seen: dict[str, int] = {}
    for row, place in enumerate(located):
        name = "" if place is None else place[0]
        problem, remedy = "the path is empty", "Correct that row."
        if name in first_seen:
            problem = f"{name} is already named in row {row_name(first_seen[name])}"
            remedy = "Remove one of the two rows."
        if not name or name in first_seen:
            raise BadTable(path=path, row=row_name(row), column=column, problem=problem, remedy=remedy)
        first_seen[name] = row
    paths = pl.Series([place[0] for place in located if place is not None], dtype=pl.String)
    samples = {"sample": pl.int_range(len(paths), dtype=pl.Int32, eager=True), "path": paths, "split": splits}
    return pl.DataFrame(samples), [place[1] for place in located if place is not None]


def _located(column: pl.Series, source: Path, name: str, roots: Roots) -> list[tuple[str, Path] | None]:
    """Return the path and file that every row names, None for an empty path. Raises BadTable and MissingFile."""
    found: list[tuple[str, Path] | None] = []
    for row, written in enumerate(column):
        if written is None or not written.strip():
            found.append(None)
            continue
        try:
            place = roots.locate(written)
        except ValueError as error:
            remedy = "Write the path relative to the dataset's folder, or map it with --image-root or --text-root."
            raise BadTable(path=source, row=row_name(row), column=name, problem=str(error), remedy=remedy) from None
        if not place[1].is_file():
            raise MissingFile(path=place[1], row=row_name(row), source=source)
        found.append(place)
    return found


def _with_masks(dataset: Dataset, table: pl.DataFrame, roots: Roots) -> Dataset:
    path = dataset.metadata_path
    labels = [label.name for label in dataset.labels]
    sample_labels = positives(table, path, labels).rename({"row": "sample"})
    source = _mask_source(dataset, table, sample_labels, roots)
    return replace(
        dataset,
        sample_labels=sample_labels,
        mask_source=source,
        labels=[Label(name, "metadata" if source is None else "mask") for name in labels],
        notes=_missing_notes(dataset, "masks") if source is None else (),
    )


def _mask_source(dataset: Dataset, table: pl.DataFrame, sample_labels: pl.DataFrame, roots: Roots) -> MaskSource | None:
    root, path, rows = dataset.root, dataset.metadata_path, dataset.samples.height
    if "mask_path" in table.columns:
        places = _located(table["mask_path"], path, "mask_path", roots)
        _check_masked(table["mask_path"], sample_labels, path)
        names, files = (tuple(None if place is None else place[part] for place in places) for part in (0, 1))
        return FileMasks(path, names, files)  # type: ignore[arg-type]
    if (tensors := root / "segmentations.pt").is_file():
        return BrodenMasks(path, tensors, rows)
    if (tensors := root / "object_segmentations.pt").is_file():
        return ClevrMasks(path, tensors, rows)
    return find_coco(root, path, dataset.files, dataset.samples["split"].to_list())


def _missing_notes(dataset: Dataset, what: str) -> tuple[str, ...]:
    """What a published dataset lacks, and what is different without it."""
    known = find_published(dataset.name)
    wanted = {"masks": ("mask", "annotations"), "words": ("labels of words",)}[what]
    files = [] if known is None else [file for file in known.files if any(word in file.what for word in wanted)]
    return tuple(
        f"{dataset.name} has no {file.patterns[0]} ({file.what}): {file.without}" for file in files if file.without
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


def _with_words(dataset: Dataset, table: pl.DataFrame) -> Dataset:
    root, n_samples = dataset.root, dataset.samples.height
    columns = [label.name for label in dataset.labels]
    paragraph_path, word_path = find_label_file(root, "paragraph_level"), find_label_file(root, "word_level")
    if paragraph_path is None:
        sample_labels = positives(table, dataset.metadata_path, columns).rename({"row": "sample"})
    else:
        columns, sample_labels = read_paragraph_file(paragraph_path, n_samples)
    words = read_word_file(word_path, n_samples) if word_path is not None else None
    dataset = replace(
        dataset,
        labels=_text_labels(columns, words),
        sample_labels=sample_labels,
        label_files=tuple(file for file in (paragraph_path, word_path) if file is not None),
        notes=_missing_notes(dataset, "words") if words is None else (),
    )
    for sample in range(n_samples):
        dataset.text(sample)
    if words is not None:
        check_words(dataset, words)
        dataset = replace(dataset, word_positives=words.positives)
    return dataset


def _text_labels(columns: list[str], words: WordFile | None) -> list[Label]:
    in_words = words.labels if words is not None else []
    names = [*columns, *(name for name in in_words if name not in columns)]
    return [Label(name, "word file" if name in in_words else "metadata") for name in names]
