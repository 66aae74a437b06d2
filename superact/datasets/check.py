"""Is a dataset folder whole and right? Everything that is wrong with it, not only the first thing.

    findings = check("Coco", Path("Data"))
    [finding for finding in findings if finding.result in WRONG]

A finding says what was looked at, how it came out and what there is to do. Counts are compared with the published ones where
the folder is one of the seven published datasets. `ok` and `note` need no action, `warning` may; `missing` and `wrong` mean
that the dataset cannot be used as it is, or is not what its name says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from superact.datasets import folder_of, plugin_of
from superact.datasets.base import SPLITS, Dataset
from superact.datasets.check_parts import (
    NAMED,
    Finding,
    Result,
    check_images,
    check_texts,
    check_word_labels,
    counted,
    shortened,
)
from superact.datasets.describe import Counts, count_positives, split_sizes
from superact.datasets.folder import label_columns, open_folder
from superact.datasets.paths import Roots
from superact.datasets.plugins import no_roots, open_plugin
from superact.datasets.published import PublishedDataset, dataset_name, find_published
from superact.datasets.tables import positives, read_table
from superact.errors import BadInput
from superact.plugins import Plugin

WRONG: tuple[Result, ...] = ("missing", "wrong")


def check(
    ref: str,
    data_root: Path,
    image_root: Path | None = None,
    text_root: Path | None = None,
    progress: bool | None = None,
) -> list[Finding]:
    """Check a dataset by the name, slug or path of its folder; return all findings.

    Reads every text and the header of every image, and decodes every mask. Raises BadInput when there is no such folder.
    """
    if (plugin := plugin_of(ref, data_root)) is not None:
        no_roots(plugin, image_root, text_root)
        return list(_of_plugin(plugin, data_root, progress))
    root = folder_of(ref, data_root)
    known = find_published(root.name)
    findings = list(_published_files(root, known))
    try:
        table = read_table(root / "metadata.csv")
    except BadInput as error:
        said = Finding("metadata", "missing" if not (root / "metadata.csv").is_file() else "wrong", str(error))
        return [said, *(finding for finding in findings if "metadata.csv" not in finding.detail)]
    column = next((name for name in ("image_path", "text_path") if name in table.columns), None)
    mapped = image_root if column == "image_path" else text_root
    findings += _rows(table, known)
    findings += _labels(table, root / "metadata.csv", known)
    if column is not None:
        findings += _sample_files(table[column], Roots(root, None if mapped is None else mapped.absolute()))
    return [*findings, *_opened(root, image_root, text_root, table, known, progress)]


def _of_plugin(plugin: Plugin, data_root: Path, progress: bool | None) -> Iterable[Finding]:
    """A plug-in has no files to look for; its table, samples and labels are looked at as a folder's are."""
    yield Finding("dataset", "note", f"{plugin}: its samples come from code, not from a folder")
    try:
        dataset = open_plugin(plugin, data_root)
    except BadInput as error:
        yield Finding("opening", "wrong", str(error))
        return
    known = find_published(dataset.name)
    yield from _rows(dataset.table, known)
    yield from _labels(dataset.table, dataset.root, known)
    yield from _contents(dataset, progress)
    yield Finding("opening", "ok", _summary(dataset))


def _contents(dataset: Dataset, progress: bool | None) -> Iterable[Finding]:
    return check_images(dataset, progress) if dataset.modality == "image" else check_word_labels(dataset)


def _published_files(root: Path, known: PublishedDataset | None) -> Iterable[Finding]:
    """Whether the files of a published dataset are there, and where to get those that are not."""
    if known is None:
        detail = f"{dataset_name(root.name)} is none of the published datasets: no counts are compared"
        yield Finding("dataset", "note", detail)
        return
    yield Finding("dataset", "note", f"the published dataset {known.name} ({known.modality}s)")
    for file in known.files:
        found = [path for pattern in file.patterns for path in _matches(root, pattern)]
        name = file.patterns[0]
        if found:
            yield Finding("files", "ok", f"{name}: {file.what}")
        elif file.needed:
            yield Finding("files", "missing", f"{name}: {file.what}. Get it from {file.source}")
        else:
            result: Result = "note" if name.startswith("patches_w_image_mask") else "warning"
            detail = f"no {name} ({file.what}): {file.without}. It comes from {file.source}"
            yield Finding("files", result, detail)


def _matches(root: Path, pattern: str) -> list[Path]:
    if "*" not in pattern:
        # As it is: `../` and the brackets of a padding file's name are no patterns.
        return [root / pattern] if (root / pattern).is_file() else []
    first = next(root.glob(pattern), None)
    return [] if first is None else [first]


def _rows(table: pl.DataFrame, known: PublishedDataset | None) -> Iterable[Finding]:
    """Number of rows, and splits, which for a published dataset are known row by row."""
    if "split" not in table.columns:
        yield Finding("splits", "wrong", f"metadata.csv has no column split ({', '.join(SPLITS)})")
        return
    splits = table["split"].fill_null("")
    strange = sorted(set(splits) - set(SPLITS))
    if strange:
        yield Finding("splits", "wrong", f"{_some(map(repr, strange))} in column split: use {', '.join(SPLITS)}")
    sizes = split_sizes(splits)
    if known is None:
        yield Finding("rows", "ok", counted(table.height, "row"))
        empty = [split for split, n in zip(SPLITS, sizes, strict=True) if n == 0]
        detail = f"{_counts(sizes)}"
        yield Finding("splits", "warning" if empty else "ok", detail)
        return
    if table.height != known.rows:
        yield Finding("rows", "wrong", f"{counted(table.height, 'row')}; {known.rows:,} are published")
        yield Finding("splits", "wrong", f"{_counts(sizes)}; published: {_counts(known.split_sizes)}")
        return
    yield Finding("rows", "ok", f"{counted(table.height, 'row')}, as published")
    pairs = enumerate(zip(splits, known.splits(), strict=True))
    differ = [row for row, (found, wanted) in pairs if found != wanted]
    if differ:
        verb = "is" if len(differ) == 1 else "are"
        detail = (
            f"{counted(len(differ), 'row')} {verb} in another split than published, the first of them row {differ[0]}"
        )
        yield Finding("splits", "wrong", f"{detail} ({_counts(sizes)}; published: {_counts(known.split_sizes)})")
    else:
        yield Finding("splits", "ok", f"{_counts(sizes)}: every row as published")


def _labels(table: pl.DataFrame, path: Path, known: PublishedDataset | None) -> Iterable[Finding]:
    """Label columns and their positives in every split."""
    columns = label_columns(table)
    valid, found = [], []
    for column in columns:
        try:
            found.append(positives(table, path, [column]))
            valid.append(column)
        except BadInput as error:
            yield Finding("labels", "wrong", str(error))
    if not valid:
        yield Finding("labels", "wrong", "metadata.csv has no label column of 0 and 1")
        return
    if "split" not in table.columns or not table["split"].is_in(list(SPLITS)).all():
        return
    counts = count_positives(pl.concat(found), table["split"])
    if known is not None:
        yield from _published_counts(valid, counts, known)
        return
    yield Finding("labels", "ok", counted(len(valid), "label"))
    for split, at in zip(SPLITS, range(3), strict=True):
        without = [label for label in valid if counts.get(label, (0, 0, 0))[at] == 0]
        if without:
            verb = "has" if len(without) == 1 else "have"
            detail = f"{len(without)} of {counted(len(valid), 'label')} {verb} no positive in split {split}: {_some(without)}"
            yield Finding("positives", "warning", detail)
    if all(all(counts.get(label, (0, 0, 0))) for label in valid):
        yield Finding("positives", "ok", "every label has positives in every split")


def _published_counts(columns: list[str], counts: Mapping[str, Counts], known: PublishedDataset) -> Iterable[Finding]:
    """The published labels, each with its published positives in train, cal and test."""
    named = {label: column for column, label in known.kept(columns).items()}
    wanted = {**known.positives, **{label: n for label, n in known.dropped.items() if label in columns}}
    lacking = [label for label in known.labels if label not in named]
    if lacking:
        verb = "has" if len(lacking) == 1 else "have"
        detail = f"{len(lacking)} of {counted(len(known.labels), 'published label')} {verb} no column: {_some(lacking)}"
        yield Finding("labels", "wrong", detail)
    else:
        n, others = len(known.labels), len(columns) - len(known.labels)
        detail = "the published label" if n == 1 else f"all {n} published labels"
        if others:
            detail += f", and {others} that {'is' if others == 1 else 'are'} not evaluated"
        yield Finding("labels", "ok" if len(columns) == known.label_columns else "note", detail)
    right = 0
    for label, published in wanted.items():
        if label in lacking:
            continue
        found = counts.get(named.get(label, label), (0, 0, 0))
        right += found == published
        if found != published:
            yield Finding("positives", "wrong", f"{label}: {_counts(found)}; published: {_counts(published)}")
    if right:
        verb = "has its" if right == 1 else "have their"
        detail = f"{right} of {counted(len(wanted), 'label')} {verb} published positives in every split"
        yield Finding("positives", "ok", detail)


def _sample_files(column: pl.Series, roots: Roots) -> Iterable[Finding]:
    """Whether the file of every row is there."""
    missing, refused = [], []
    for written in column.fill_null(""):
        try:
            if not written:
                raise ValueError("an empty path")
            if not roots.locate(written)[1].is_file():
                missing.append(written)
        except ValueError as error:
            refused.append(str(error))
    if refused:
        yield Finding("paths", "wrong", f"{counted(len(refused), 'row')}: {_some(refused)}")
    if missing:
        verb = "does" if len(missing) == 1 else "do"
        detail = (
            f"{len(missing):,} of {counted(len(column), 'file')} of {column.name} {verb} not exist: {_some(missing)}"
        )
        yield Finding("paths", "missing", detail)
    if not missing and not refused:
        there = "the file" if len(column) == 1 else f"all {len(column):,} files"
        yield Finding("paths", "ok", f"{there} of {column.name} {'is' if len(column) == 1 else 'are'} there")


def _opened(
    root: Path,
    image_root: Path | None,
    text_root: Path | None,
    table: pl.DataFrame,
    known: PublishedDataset | None,
    progress: bool | None,
) -> Iterable[Finding]:
    """What is wrong with the contents of the files, as far as they are there."""
    if "text_path" in table.columns:
        yield from check_texts(root, table["text_path"], text_root, progress)
    try:
        dataset = open_folder(root, image_root, text_root)
    except BadInput as error:
        yield Finding("opening", "wrong", shortened(str(error), root))
        return
    yield from _contents(dataset, progress)
    yield Finding("opening", "ok", _summary(dataset))


def _summary(dataset: Dataset) -> str:
    parts = "labels of parts and whole samples" if dataset.has_token_labels else "labels of whole samples only"
    samples = counted(dataset.samples.height, dataset.modality)
    return f"opens as {dataset.name}: {samples}, {counted(len(dataset.labels), 'label')}, {parts}"


def _counts(counts: Sequence[int]) -> str:
    return ", ".join(f"{split} {n:,}" for split, n in zip(SPLITS, counts, strict=True))


def _some(items: Iterable[str]) -> str:
    """The first few of a list."""
    listed = list(items)
    rest = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
