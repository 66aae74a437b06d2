"""What every dataset offers, whatever its folder looks like: samples, labels, and the ground truth of their parts.

Images and masks are handed out at their original resolution and in their raw pixel order; mapping them onto a model's
patch grid is `superact.datasets.geometry`, attributing tokens to words is `superact.datasets.words`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from superact.datasets.reading import file_sha256, opened_image, read_rgb, read_text
from superact.datasets.reading import row_name as row_name
from superact.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image

    from superact.datasets.masks import MaskSource

SPLITS = ("train", "cal", "test")


def slug(name: str) -> str:
    """Return the path key of a display name: lower case, `[a-z0-9.-]`, first character a letter.

    Other characters become hyphens, runs of hyphens one; what stands before the first letter is dropped.
    Raises BadInput when nothing valid remains.
    """
    key = slug_or_empty(name)
    if not key:
        raise BadInput(
            what=f"The name {name!r} has no letter of a-z, so no path key can be made from it.",
            remedy="Rename it to something with at least one such letter.",
        )
    return key


def slug_or_empty(name: str) -> str:
    """Return `slug(name)`, or the empty string where that would raise."""
    hyphened = re.sub(r"[^a-z0-9.]+", "-", name.lower())
    return re.sub(r"^[^a-z]+", "", hyphened).rstrip("-.")


@dataclass(frozen=True)
class Label:
    """A ground-truth concept and where its finest annotation comes from: `metadata`, `word file` or `mask`.

    `evaluated`: whether eval reports it (`superact.datasets.labels` chooses).
    """

    name: str
    source: Literal["metadata", "word file", "mask"]
    evaluated: bool = True


@dataclass(frozen=True, eq=False)
class Dataset:
    """A folder of images or texts with 0/1 labels and a split for each sample.

    `samples` has columns sample Int32 (0-based row of metadata.csv), path String (relative to the folder it was found
    in) and split String (`train`, `cal`, `test`). `files` are the files of the samples, in order (empty: each is its path
    below `root`). `sample_labels` has sample Int32 and label String: positives only, sorted by both. `mask_source` reads
    the masks of images; `word_positives` has sample Int32, label String and word Int32, sorted. `label_files` are the
    label tables beside metadata.csv. `notes` are sentences on what was decided for lack of a file or a choice. Datasets
    are made by `superact.datasets.open_dataset`.
    """

    name: str
    slug: str
    modality: Literal["image", "text"]
    root: Path
    licence: str | None
    labels: list[Label]
    samples: pl.DataFrame
    sample_labels: pl.DataFrame
    files: tuple[Path, ...] = ()
    mask_source: MaskSource | None = None
    word_positives: pl.DataFrame | None = None
    label_files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_token_labels(self) -> bool:
        """Whether parts of a sample (pixels or words) are labelled, not only whole samples."""
        return self.mask_source is not None or self.word_positives is not None

    @property
    def metadata_path(self) -> Path:
        """The file that lists the samples."""
        return self.root / "metadata.csv"

    def path_of(self, sample: int) -> Path:
        """The file of a sample."""
        return self.files[sample] if self.files else self.root / self._paths[sample]

    def digest(self) -> str:
        """Return the sha256 (hex) of metadata.csv, the label files and every sample and mask file, as they are now.

        Each file enters as its path inside the dataset, its size and its bytes, so that moving bytes from one file to
        the next changes the digest. Reads all files, 1 MB at a time; nothing is cached.
        """
        labels = sorted((path.relative_to(self.root).as_posix(), path) for path in self.label_files)
        masks = () if self.mask_source is None else self.mask_source.files()
        return _digest_of([(self.metadata_path.name, self.metadata_path), *labels, *self._sources(), *masks])

    def source_digest(self) -> str:
        """Return the sha256 (hex) of every sample's path and bytes: what a model sees, whatever the labels say."""
        return _digest_of(self._sources())

    def _sources(self) -> list[tuple[str, Path]]:
        return [(name, self.path_of(sample)) for sample, name in enumerate(self._paths)]

    def text(self, sample: int) -> str:
        """Return the text of a sample; line ends are read as `\\n`, a byte order mark is dropped.

        Raises UnreadableFile for a text that is missing, blank or not UTF-8.
        """
        self._require("text", sample)
        return read_text(self.path_of(sample), sample, self.metadata_path)

    def open_image(self, sample: int) -> AbstractContextManager[Image.Image]:
        """Open the image of a sample without decoding it, for its size. Raises UnreadableFile."""
        self._require("image", sample)
        return opened_image(self.path_of(sample), sample, self.metadata_path)

    def image(self, sample: int) -> Image.Image:
        """Return the image of a sample as RGB, in raw pixel order.

        An EXIF orientation is deliberately not applied: masks are drawn on the raw pixels. Raises UnreadableFile for a
        file that is truncated, no image, too large, or of more than 8 bits a channel (a conversion would clip it silently).
        """
        self._require("image", sample)
        return read_rgb(self.path_of(sample), sample, self.metadata_path)

    def masks(self, sample: int) -> dict[str, np.ndarray]:
        """Return label -> bool [height, width], for labels that the sample carries; a label without a mask is absent.

        Masks have the size of the image, or its shape at another resolution (Broden's have half). Where one mask serves
        several labels, they share the array. Empty without masks. Raises UnreadableFile for a mask that is none,
        BadTable for one of another shape than its image.
        """
        self._require("image", sample)
        carried = self._labels_of(sample)
        if self.mask_source is None or not carried:
            return {}
        with self.open_image(sample) as image:
            size = image.size
        return self.mask_source.masks(sample, carried, size)

    def word_labels(self, sample: int) -> dict[str, list[int]]:
        """Return label -> positions of its words, ascending, 0-based among the `\\S+` runs of the text.

        Labels without a positive word in this sample are absent. Empty without a word file.
        """
        self._require("text", sample)
        if self.word_positives is None:
            return {}
        rows = self.word_positives[_row_range(self._word_samples, sample)]
        words: dict[str, list[int]] = {}
        for label, word in rows.select("label", "word").iter_rows():
            words.setdefault(label, []).append(word)
        return words

    @cached_property
    def _paths(self) -> list[str]:
        return self.samples["path"].to_list()

    @cached_property
    def _label_samples(self) -> np.ndarray:
        return self.sample_labels["sample"].to_numpy()

    @cached_property
    def _word_samples(self) -> np.ndarray:
        assert self.word_positives is not None
        return self.word_positives["sample"].to_numpy()

    def _labels_of(self, sample: int) -> list[str]:
        return self.sample_labels["label"][_row_range(self._label_samples, sample)].to_list()

    def _require(self, modality: str, sample: int) -> None:
        if self.modality != modality:
            raise BadInput(
                what=f"{self.name} is a dataset of {self.modality}s; its samples have no {modality}.",
                remedy=f"Choose a dataset of {modality}s.",
            )
        if not 0 <= sample < self.samples.height:
            raise IndexError(f"{self.name} has samples 0 to {self.samples.height - 1}, not {sample}")


def _row_range(sorted_samples: np.ndarray, sample: int) -> slice:
    start, stop = np.searchsorted(sorted_samples, [sample, sample + 1])
    return slice(int(start), int(stop))


def _digest_of(files: Iterable[tuple[str, Path]]) -> str:
    """Digest of files under the names they have in the dataset. Raises BadInput for one that cannot be read."""
    total = hashlib.sha256()
    for name, path in files:
        try:
            size, content = file_sha256(path)
        except OSError as error:
            raise BadInput(what=f"{path} cannot be read: {error}.", remedy="Restore the file.") from error
        total.update(f"{name}\0{size}\0".encode() + content)
    return total.hexdigest()
