"""What every dataset offers, whatever its folder looks like: samples, labels, and the ground truth of their parts.

Images and masks are handed out at their original resolution and in their raw pixel order; mapping them onto a model's
patch grid is `superact.datasets.geometry`, attributing tokens to words is `superact.datasets.words`.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from superact.errors import BadInput, BadTable, UnreadableFile

if TYPE_CHECKING:
    from PIL import Image

SPLITS = ("train", "cal", "test")
_DIGEST_BLOCK = 1 << 20


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


def row_name(row: int) -> str:
    """Name a 0-based table row the way messages do: with its line in a CSV file that has a header line."""
    return f"{row} (line {row + 2})"


@dataclass(frozen=True)
class Label:
    """A ground-truth concept and where its finest annotation comes from: `metadata`, `word file` or `mask`."""

    name: str
    source: Literal["metadata", "word file", "mask"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A folder of images or texts with 0/1 labels and a split for each sample.

    `samples` has columns sample Int32 (0-based row of metadata.csv), path String (as in metadata.csv, relative to
    `root`) and split String (`train`, `cal`, `test`). `sample_labels` has sample Int32 and label String: positives
    only, sorted by both. `mask_paths` names one mask file a sample (None: that sample has none);
    `word_positives` has sample Int32, label String and word Int32, sorted. `label_files` are the label tables beside
    metadata.csv. Datasets are made by `superact.datasets.open_dataset`.
    """

    name: str
    slug: str
    modality: Literal["image", "text"]
    root: Path
    licence: str | None
    labels: list[Label]
    samples: pl.DataFrame
    sample_labels: pl.DataFrame
    mask_paths: tuple[str | None, ...] | None = None
    word_positives: pl.DataFrame | None = None
    label_files: tuple[Path, ...] = ()

    @property
    def has_token_labels(self) -> bool:
        """Whether parts of a sample (pixels or words) are labelled, not only whole samples."""
        return self.mask_paths is not None or self.word_positives is not None

    @property
    def metadata_path(self) -> Path:
        """The file that lists the samples."""
        return self.root / "metadata.csv"

    def digest(self) -> str:
        """Return the sha256 (hex) of metadata.csv, the label files and every sample and mask file, as they are now.

        Each file enters as its path inside the dataset, its size and its bytes, so that moving bytes from one file to
        the next changes the digest. Reads all files, 1 MB at a time; nothing is cached.
        """
        masks = sorted({path for path in self.mask_paths or () if path is not None})
        labels = sorted(path.relative_to(self.root).as_posix() for path in self.label_files)
        return self._digest_of([self.metadata_path.name, *labels, *self._paths, *masks])

    def _digest_of(self, files: list[str]) -> str:
        total = hashlib.sha256()
        for relative in files:
            path = self.root / relative
            try:
                size, content = _file_sha256(path)
            except OSError as error:
                raise BadInput(what=f"{path} cannot be read: {error}.", remedy="Restore the file.") from error
            total.update(f"{relative}\0{size}\0".encode() + content)
        return total.hexdigest()

    def text(self, sample: int) -> str:
        """Return the text of a sample; line ends are read as `\\n`, a byte order mark is dropped.

        Raises UnreadableFile for a text that is missing, blank or not UTF-8.
        """
        self._require("text", sample)
        path = self.root / self._paths[sample]
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._unreadable(path, sample, f"it is not UTF-8 text (byte {error.start})") from error
        except OSError as error:
            raise self._unreadable(path, sample, str(error)) from error
        if not text.strip():
            raise self._unreadable(path, sample, "the text is empty or blank")
        return text

    def source_digest(self) -> str:
        """Return the sha256 (hex) of every sample's path and bytes: what a model sees, whatever the labels say."""
        return self._digest_of(self._paths)

    def open_image(self, sample: int) -> AbstractContextManager[Image.Image]:
        """Open the image of a sample without decoding it, for its size. Raises UnreadableFile."""
        self._require("image", sample)
        return self._opened(self.root / self._paths[sample], sample)

    def image(self, sample: int) -> Image.Image:
        """Return the image of a sample as RGB, in raw pixel order.

        An EXIF orientation is deliberately not applied: masks are drawn on the raw pixels. Raises UnreadableFile for a
        file that is truncated, no image, or of more than 8 bits a channel (a conversion would clip it silently).
        """
        self._require("image", sample)
        path = self.root / self._paths[sample]
        with self._opened(path, sample) as image:
            if image.mode.startswith(("I", "F")):
                raise self._unreadable(path, sample, f"pixel mode {image.mode!r} has more than 8 bits a channel")
            return image.convert("RGB")

    def masks(self, sample: int) -> dict[str, np.ndarray]:
        """Return label -> bool [height, width] at the image's resolution, for the labels the sample carries.

        One mask serves all labels of the sample, so every value is the same array. Empty without masks. Raises
        UnreadableFile for a mask that is no single-channel image, BadTable for one of another size than its image.
        """
        self._require("image", sample)
        carried = self._labels_of(sample)
        mask_path = self.mask_paths[sample] if self.mask_paths is not None else None
        if mask_path is None or not carried:
            return {}
        mask = self._mask(self.root / mask_path, sample)
        with self._opened(self.root / self._paths[sample], sample) as image:
            width, height = image.size
        if mask.shape != (height, width):
            raise BadTable(
                path=self.metadata_path,
                row=row_name(sample),
                column="mask_path",
                problem=f"{mask_path} is {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"its image {self._paths[sample]} is {width} x {height}",
                remedy="Draw the mask at the size of the image.",
            )
        return dict.fromkeys(carried, mask)

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

    def _unreadable(self, path: Path, sample: int, reason: str) -> UnreadableFile:
        return UnreadableFile(path=path, row=row_name(sample), source=self.metadata_path, reason=reason)

    @contextmanager
    def _opened(self, path: Path, sample: int) -> Iterator[Image.Image]:
        """Open an image file; whatever its decoder finds wrong, now or inside the block, is an UnreadableFile."""
        from PIL import Image

        # Pillow's decoders report damage with all of these; UnidentifiedImageError is an OSError.
        damage = (OSError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)
        try:
            with Image.open(path) as image:
                yield image
        except damage as error:
            raise self._unreadable(path, sample, str(error) or type(error).__name__) from error

    def _mask(self, path: Path, sample: int) -> np.ndarray:
        with self._opened(path, sample) as image:
            if len(image.getbands()) != 1:
                reason = f"a mask has one channel and this image has {len(image.getbands())} ({image.mode})"
                raise self._unreadable(path, sample, reason)
            return np.asarray(image) > 0


def _row_range(sorted_samples: np.ndarray, sample: int) -> slice:
    start, stop = np.searchsorted(sorted_samples, [sample, sample + 1])
    return slice(int(start), int(stop))


def _file_sha256(path: Path) -> tuple[int, bytes]:
    size, digest = 0, hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_DIGEST_BLOCK):
            size += len(block)
            digest.update(block)
    return size, digest.digest()
