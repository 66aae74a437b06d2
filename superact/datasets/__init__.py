"""Datasets: folders of images or texts with labels, and the geometry and word alignment of their ground truth.

    dataset = open_dataset("CLEVR-Mini", Path("Data"))
    dataset.samples, dataset.sample_labels          # Polars frames
    dataset.image(0), dataset.masks(0)              # or .text(0), .word_labels(0)

Nothing here imports torch; Pillow is imported when the first image is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from superact.datasets.base import Dataset, Label, slug
from superact.datasets.folder import open_folder
from superact.datasets.labels import PUBLISHED, evaluate_labels
from superact.datasets.plugins import no_roots, open_plugin
from superact.datasets.published import dataset_name, dataset_slug, find_published
from superact.errors import BadInput
from superact.plugins import DATASETS, Plugin, clash, find, is_path, plugins

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
    in any case, then slug, a folder of that path next, and plug-ins last (docs/plugins.md). The published datasets answer
    to each name that their folders have (`Augmented_iSarcasm` is iSarcasm). `labels`: which are evaluated
    (`superact.datasets.labels`); the roots map the path column of images or texts (`superact.datasets.paths`). Raises
    BadInput when there is none, when two folders of `data_root` share its slug or a folder and a plug-in do, and whatever
    `superact.datasets.folder.open_folder` or `superact.datasets.plugins.open_plugin` finds wrong.
    """
    if (plugin := plugin_of(ref, data_root)) is not None:
        no_roots(plugin, image_root, text_root)
        return evaluate_labels(open_plugin(plugin, data_root), labels)
    return evaluate_labels(open_folder(folder_of(ref, data_root), image_root, text_root), labels)


def plugin_of(ref: str, data_root: Path) -> Plugin | None:
    """The plug-in that is named as for `open_dataset`, or None. Raises BadInput where another or a folder has its name."""
    plugin = find(DATASETS, ref, dataset_slug)
    if plugin is None:
        return None
    key = dataset_slug(plugin.name)
    for folder in (*_dataset_folders(data_root), Path(ref)):
        answers = folder == Path(ref) or (key and dataset_slug(folder.name) == key)
        if answers and (folder / "metadata.csv").is_file():
            raise clash(ref, plugin, f"the folder {_absolute(folder)}", "Give the path of the folder")
    return plugin


def folder_of(ref: str, data_root: Path) -> Path:
    """The folder of a dataset that is named as for `open_dataset`, whatever is in it. Raises BadInput when there is none."""
    path = Path(ref).expanduser()
    by_path = is_path(ref)
    if not by_path and (folder := _find(ref, data_root)) is not None:
        _check_unique(dataset_slug(folder.name), data_root)
        return _absolute(folder)
    if ref and path.is_dir():
        return _absolute(path)
    there = ", ".join(folder.name for folder in _dataset_folders(data_root)) or "nothing"
    where = f"the folder {path.absolute()}" if by_path else f"{data_root.absolute()} has no folder of that name or slug"
    others = ", ".join(plugin.name for plugin in plugins(DATASETS))
    raise BadInput(
        what=f"No dataset {ref!r}: {where}{' does not exist' if by_path else ''}. "
        f"Datasets in {data_root.absolute()}: {there}.{f' Plug-ins: {others}.' if others else ''}",
        remedy="Name one of these, give the path of a folder with a metadata.csv, or choose another data root.",
    )


def list_datasets(data_root: Path) -> pl.DataFrame:
    """Return one row a dataset folder of `data_root`, by name, then one a plug-in: sizes, labels and samples of each split.

    Columns: name, slug, modality String; samples, labels, train, cal, test Int64; source String (`folder`, or the
    plug-in's package). Folders without a metadata.csv are no datasets. Every dataset is opened, so the first one with an
    error raises it.
    """
    opened: list[tuple[Dataset, str]] = []
    for folder in _dataset_folders(data_root):
        _check_unique(slug(dataset_name(folder.name)), data_root)
        opened.append((open_folder(_absolute(folder)), "folder"))
    for plugin in plugins(DATASETS):
        plugin_of(plugin.name, data_root)  # a name that is not its alone is an error here, too
        opened.append((open_plugin(plugin, data_root), plugin.distribution))
    rows = []
    for dataset, source in opened:
        splits = dict(dataset.samples["split"].value_counts().iter_rows())
        counts = [splits.get(split, 0) for split in ("train", "cal", "test")]
        size = (dataset.samples.height, len(dataset.labels))
        rows.append((dataset.name, dataset.slug, dataset.modality, *size, *counts, source))
    text = dict.fromkeys(("name", "slug", "modality"), pl.String)
    numbers = dict.fromkeys(("samples", "labels", "train", "cal", "test"), pl.Int64)
    return pl.DataFrame(rows, schema={**text, **numbers, "source": pl.String}, orient="row")


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
