"""A dataset that a plug-in brings (`superact.datasets.protocol`), as a `Dataset` like any other.

Whatever the plug-in hands over is checked when it is: its table, texts and word labels when the dataset is opened, an image or
a mask when it is asked for. What is wrong is a BadInput that names the plug-in and the sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from superact.datasets.base import SPLITS, Dataset, Label, slug
from superact.datasets.folder import label_columns, modality_of
from superact.datasets.masks import same_shape
from superact.datasets.published import dataset_name
from superact.datasets.tables import positives
from superact.datasets.words import word_spans
from superact.errors import BadInput
from superact.plugins import Plugin

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False, kw_only=True)
class PluginDataset(Dataset):
    """A dataset whose samples come from a plug-in. `source`: what it returned; `table`: its metadata, every column String."""

    plugin: Plugin
    source: Any
    table: pl.DataFrame
    revision: str

    def digest(self) -> str:
        """Return the sha256 (hex) of the metadata and of what `source_digest` is made of."""
        return _digest(self.source_digest(), self.table.write_csv())

    def source_digest(self) -> str:
        """Return the sha256 (hex) of the revision, the names of the samples, and the texts themselves."""
        texts = map(self.text, range(self.samples.height)) if self.modality == "text" else ()
        return _digest(self.revision, *self.samples["path"], *texts)

    def text(self, sample: int) -> str:
        """Return the text of a sample, as the plug-in has it. Raises BadInput for one that is blank or no text."""
        self._require("text", sample)
        found = _ask(self, "text", sample)
        if not isinstance(found, str) or not found.strip():
            said = "blank" if isinstance(found, str) else f"a {type(found).__name__}"
            raise self.plugin.wrong(f"text({sample}) is {said}")
        return found

    @contextmanager
    def open_image(self, sample: int) -> Iterator[Image.Image]:
        """Open the image of a sample, without decoding it where the plug-in did not. Raises BadInput."""
        from PIL import Image

        self._require("image", sample)
        found = _ask(self, "image", sample)
        if not isinstance(found, Image.Image):
            raise self.plugin.wrong(f"image({sample}) is a {type(found).__name__}, not an image of Pillow")
        most = Image.MAX_IMAGE_PIXELS
        try:
            if most is not None and found.width * found.height > most:
                size = f"{found.width} x {found.height} pixels, and more than {most:,} are not read"
                raise self.plugin.wrong(f"image({sample}) has {size}")
            yield found
        finally:
            # Only a file that is still open: a picture in memory may be the plug-in's own.
            if getattr(found, "fp", None) is not None:
                found.close()

    def image(self, sample: int) -> Image.Image:
        """Return the image of a sample as RGB. Raises BadInput for more than 8 bits a channel, and for a damaged file."""
        with self.open_image(sample) as image:
            if image.mode.startswith(("I", "F")):
                raise self.plugin.wrong(
                    f"image({sample}) has pixel mode {image.mode!r}, which is more than 8 bits a channel"
                )
            with self.plugin.failing(f"gave an image({sample}) that cannot be decoded"):
                return image.convert("RGB")


@dataclass(frozen=True)
class PluginMasks:
    """A `MaskSource` that asks the plug-in."""

    plugin: Plugin
    source: Any
    labels: frozenset[str]

    def files(self) -> list[tuple[str, Path]]:
        """None: the revision stands for the masks."""
        return []

    def masks(self, sample: int, labels: Sequence[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The masks of those labels for which the plug-in has one."""
        found = _mapping(self.plugin, self.source, "masks", sample, self.labels)
        for label, mask in found.items():
            if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2 or not mask.size:
                what = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
                raise self.plugin.wrong(f"the mask of {label!r} in masks({sample}) is {what}, not bool [height, width]")
            if not same_shape(mask.shape[::-1], size):
                shapes = f"{mask.shape[1]} x {mask.shape[0]} pixels, and its image {size[0]} x {size[1]}"
                raise self.plugin.wrong(f"the mask of {label!r} in masks({sample}) has {shapes}")
        return {label: found[label] for label in labels if label in found}


def open_plugin(plugin: Plugin, data_root: Path) -> PluginDataset:
    """Call a plug-in and make a dataset of what it returns; texts and word labels are looked at. Raises BadInput."""
    source = plugin.call(data_root.absolute())
    table = _table(plugin, source)
    modality = modality_of(table)
    labels = label_columns(table)
    found = positives(table, Path(str(plugin)), labels).rename({"row": "sample"})
    name = dataset_name(plugin.name)
    column = table[f"{modality}_path"]
    dataset = PluginDataset(
        name=name,
        slug=slug(name),
        modality=modality,
        root=Path(str(plugin)),
        licence=plugin.licence_of(source),
        labels=[Label(label, "metadata") for label in labels],
        samples=pl.DataFrame(
            {"sample": pl.int_range(table.height, dtype=pl.Int32, eager=True), "path": column, "split": table["split"]}
        ),
        sample_labels=found,
        plugin=plugin,
        source=source,
        table=table,
        revision=plugin.revision_of(source),
    )
    if plugin.method(source, modality) is None:
        raise plugin.wrong(f"its metadata has a column {modality}_path, and it has no method {modality}")
    return _with_masks(dataset) if modality == "image" else _with_words(dataset)


def plugin_table(plugin: Plugin, data_root: Path) -> pl.DataFrame:
    """The metadata of a plug-in's dataset, every column String, without looking at any sample. Raises BadInput."""
    return _table(plugin, plugin.call(data_root.absolute()))


def _ask(dataset: PluginDataset, method: str, sample: int) -> Any:
    with dataset.plugin.failing(f"failed in {method}({sample})"):
        return getattr(dataset.source, method)(sample)


def _mapping(plugin: Plugin, source: Any, method: str, sample: int, labels: frozenset[str]) -> Mapping[str, Any]:
    """What `method` says of a sample: a value for some of the labels."""
    with plugin.failing(f"failed in {method}({sample})"):
        found = getattr(source, method)(sample)
    if not isinstance(found, Mapping):
        raise plugin.wrong(f"{method}({sample}) is a {type(found).__name__}, not a dictionary by label")
    with plugin.failing(f"gave {method}({sample}) that cannot be read"):
        found = dict(found)
    unknown = [label for label in found if label not in labels]
    if unknown:
        raise plugin.wrong(f"{method}({sample}) has {unknown[0]!r}, which is no label column of its metadata")
    return found


def _table(plugin: Plugin, source: Any) -> pl.DataFrame:
    """The metadata with every column String, as `read_table` would have it from a file. Raises BadInput."""
    table = plugin.member(source, "metadata")
    if not isinstance(table, pl.DataFrame):
        raise plugin.wrong(
            f"the metadata of its {type(source).__name__} is a {type(table).__name__}, not a Polars frame"
        )
    if not table.height:
        raise plugin.wrong("its metadata has no rows")
    paths = [column for column in ("image_path", "text_path") if column in table.columns]
    if len(paths) != 1:
        raise plugin.wrong(f"its metadata has {'both' if paths else 'neither'} of the columns image_path and text_path")
    if "mask_path" in table.columns:
        raise plugin.wrong("its metadata has a column mask_path, which is never read: masks come from a method masks")
    labels = label_columns(table)
    if not labels:
        raise plugin.wrong("its metadata has no label columns")
    _check_names(plugin, table, paths[0])
    flags = [_flags(plugin, table, label) for label in labels]
    return table.select(paths[0], "split", *flags)


def _check_names(plugin: Plugin, table: pl.DataFrame, column: str) -> None:
    for name in (column, "split"):
        if name not in table.columns or table[name].dtype != pl.String:
            raise plugin.wrong(f"its metadata has no column {name} of strings")
    strange = (~table["split"].is_in(list(SPLITS)).fill_null(False)).arg_true()
    if len(strange):
        row = int(strange[0])
        raise plugin.wrong(
            f"row {row} of its metadata has split {table['split'][row]!r}, not one of {', '.join(SPLITS)}"
        )
    names = table[column].fill_null("")
    blank = (names.str.strip_chars() == "").arg_true()
    twice = names.is_first_distinct().not_().arg_true()
    if len(blank) or len(twice):
        row, what = (int(blank[0]), "no name") if len(blank) else (int(twice[0]), "the name of an earlier one")
        raise plugin.wrong(f"row {row} of its metadata has {what} in column {column}")


def _flags(plugin: Plugin, table: pl.DataFrame, label: str) -> pl.Series:
    """A label column as the text of 0 and 1."""
    values = table[label]
    if values.dtype != pl.Boolean and not values.dtype.is_integer():
        raise plugin.wrong(f"column {label!r} of its metadata is {values.dtype}: a label is a whole number, 0 or 1")
    numbers = values.cast(pl.Int64, strict=False)  # what does not fit becomes null, and is none of the two
    wrong = (~numbers.is_in([0, 1]).fill_null(False)).arg_true()
    if len(wrong):
        raise plugin.wrong(
            f"row {int(wrong[0])} of its metadata has {values[int(wrong[0])]} in column {label!r}, not 0 or 1"
        )
    return numbers.cast(pl.String)


def _with_masks(dataset: PluginDataset) -> PluginDataset:
    if dataset.plugin.method(dataset.source, "masks") is None:
        return dataset
    names = [label.name for label in dataset.labels]
    masks = PluginMasks(dataset.plugin, dataset.source, frozenset(names))
    return replace(dataset, mask_source=masks, labels=[Label(name, "mask") for name in names])


def _with_words(dataset: PluginDataset) -> PluginDataset:
    """The dataset with its word labels, every text read once."""
    names = [label.name for label in dataset.labels]
    labelled = dataset.plugin.method(dataset.source, "word_labels") is not None
    rows: list[tuple[int, str, int]] = []
    for sample in range(dataset.samples.height):
        text = dataset.text(sample)
        if labelled:
            rows += _words(dataset, sample, len(word_spans(text)), frozenset(names))
    if not labelled:
        return dataset
    schema = {"sample": pl.Int32, "label": pl.String, "word": pl.Int32}
    words = pl.DataFrame(rows, schema=schema, orient="row").unique().sort("sample", "label", "word")
    by_word = set(words["label"])
    labels = [Label(name, "word file" if name in by_word else "metadata") for name in names]
    return replace(dataset, word_positives=words, labels=labels)


def _words(dataset: PluginDataset, sample: int, n: int, labels: frozenset[str]) -> list[tuple[int, str, int]]:
    found = _mapping(dataset.plugin, dataset.source, "word_labels", sample, labels)
    rows = []
    for label, given in found.items():
        with dataset.plugin.failing(f"gave no positions of {label!r} in word_labels({sample})"):
            positions = list(given)
        for position in positions:
            whole = isinstance(position, int | np.integer) and not isinstance(position, bool)
            if not whole or not 0 <= position < n:
                raise dataset.plugin.wrong(
                    f"word_labels({sample}) puts {label!r} on word {position!r}, and the text has words 0 to {n - 1}"
                )
            rows.append((sample, label, int(position)))
    return rows


def _digest(*parts: str) -> str:
    total = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        total.update(f"{len(content)}\0".encode() + content)
    return total.hexdigest()


def no_roots(plugin: Plugin, *roots: Path | None) -> None:
    """Raise BadInput where a root for paths is given: a plug-in finds its files by itself."""
    if any(root is not None for root in roots):
        raise BadInput(
            what=f"The {plugin} finds its samples by itself.", remedy="Leave out --image-root and --text-root."
        )
