"""Datasets: folders of images or texts with labels, and the geometry and word alignment of their ground truth.

    dataset = open_dataset("CLEVR-Mini", Path("Data"))
    dataset.samples, dataset.sample_labels          # Polars frames
    dataset.image(0), dataset.masks(0)              # or .text(0), .word_labels(0)

Nothing here imports torch; Pillow is imported when the first image is read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from superact.datasets.base import Dataset, Label, slug
from superact.datasets.folder import open_folder
from superact.datasets.labels import PUBLISHED, evaluate_labels
from superact.datasets.published import dataset_name, dataset_slug, find_published
from superact.errors import BadInput

__all__ = ["Dataset", "Label", "list_datasets", "open_dataset", "slug"]


def open_dataset(
    ref: str,
    data_root: Path,
    *,
    labels: str | Sequence[str] = PUBLISHED,
    image_root: Path | None = None,
    text_root: Path | None = None,
) -> Dataset:
    """Open a dataset by the name (any case), slug or path of its folder.

    A `ref` with a path separator is a path; otherwise folders of `data_root` are looked at first, by exact name, name
    in any case, then slug, and a folder of that path last. The published datasets answer to each name that their folders
    have (`Augmented_iSarcasm` is iSarcasm). `labels`: which are evaluated (`superact.datasets.labels`); the roots map the
    path column of images or texts (`superact.datasets.paths`). Raises BadInput when there is none, when two folders of
    `data_root` share its slug, and whatever `superact.datasets.folder.open_folder` finds wrong.
    """
    return evaluate_labels(open_folder(folder_of(ref, data_root), image_root, text_root), labels)


def folder_of(ref: str, data_root: Path) -> Path:
    """The folder of a dataset that is named as for `open_dataset`, whatever is in it. Raises BadInput when there is none."""
    path = Path(ref).expanduser()
    is_path = path.is_absolute() or os.sep in ref or "/" in ref or ref in (".", "..")
    if not is_path and (folder := _find(ref, data_root)) is not None:
        _check_unique(dataset_slug(folder.name), data_root)
        return _absolute(folder)
    if ref and path.is_dir():
        return _absolute(path)
    there = ", ".join(folder.name for folder in _dataset_folders(data_root)) or "nothing"
    where = f"the folder {path.absolute()}" if is_path else f"{data_root.absolute()} has no folder of that name or slug"
    raise BadInput(
        what=f"No dataset {ref!r}: {where}{' does not exist' if is_path else ''}. "
        f"Datasets in {data_root.absolute()}: {there}.",
        remedy="Name one of these, give the path of a folder with a metadata.csv, or choose another data root.",
    )


def list_datasets(data_root: Path) -> pl.DataFrame:
    """Return one row a dataset folder of `data_root`, by name: sizes, labels and samples of each split.

    Columns: name, slug, modality String; samples, labels, train, cal, test Int64. Folders without a metadata.csv are
    no datasets. Every dataset is opened, so the first one with an error raises it.
    """
    rows = []
    for folder in _dataset_folders(data_root):
        _check_unique(slug(dataset_name(folder.name)), data_root)
        dataset = open_folder(_absolute(folder))
        splits = dict(dataset.samples["split"].value_counts().iter_rows())
        counts = [splits.get(split, 0) for split in ("train", "cal", "test")]
        size = (dataset.samples.height, len(dataset.labels))
        rows.append((dataset.name, dataset.slug, dataset.modality, *size, *counts))
    text = dict.fromkeys(("name", "slug", "modality"), pl.String)
    numbers = dict.fromkeys(("samples", "labels", "train", "cal", "test"), pl.Int64)
    return pl.DataFrame(rows, schema={**text, **numbers}, orient="row")


def _folders(data_root: Path) -> list[Path]:
    if not data_root.is_dir():
        return []
    return sorted(path for path in data_root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _dataset_folders(data_root: Path) -> list[Path]:
    """Folders with a metadata.csv, each once: of several names of one folder, a published dataset's own is preferred."""
    found: dict[tuple[Path, str], Path] = {}
    for path in _folders(data_root):
        # A link to a folder beside it, Data/iSarcasm -> Augmented_iSarcasm, is no second dataset where both have one name.
        place = (path.resolve(), dataset_slug(path.name))
        if (path / "metadata.csv").is_file() and (place not in found or path.name == dataset_name(path.name)):
            found[place] = path
    return sorted(found.values())


def _find(ref: str, data_root: Path) -> Path | None:
    folders = _folders(data_root)
    exact = [path for path in folders if path.name == ref]
    named = [path for path in folders if path.name.lower() == ref.lower()]
    known = find_published(ref)
    keys = {ref.lower()} if known is None else {ref.lower(), known.slug}
    keyed = [path for path in folders if dataset_slug(path.name) in keys]
    # Of folders that answer alike, one with a metadata.csv is what was meant.
    found = sorted(exact or named or keyed, key=lambda path: not (path / "metadata.csv").is_file())
    return found[0] if found else None


def _check_unique(key: str, data_root: Path) -> None:
    same = [path.name for path in _dataset_folders(data_root) if dataset_slug(path.name) == key]
    if len(same) > 1:
        raise BadInput(
            what=f"The folders {' and '.join(same)} of {data_root.absolute()} have one slug, {key!r}: their tables "
            "would mix in the warehouse.",
            remedy="Rename one of them.",
        )


def _absolute(path: Path) -> Path:
    # Symbolic links stay unresolved: Data/iSarcasm -> Augmented_iSarcasm is to be called by the link's name.
    return path.resolve() if ".." in path.parts else path.absolute()
