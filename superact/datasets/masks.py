"""Where the pixels of a label are: one implementation of MaskSource a published format.

| source | read from | a mask is for |
|---|---|---|
| FileMasks | column mask_path of metadata.csv | all labels of its row |
| ClevrMasks | object_segmentations.pt: a 2-D foreground mask a row | all labels of its row |
| BrodenMasks | segmentations.pt: label -> 2-D mask (or 3-D, of which the first channel counts) for each row | that label |
| CocoMasks (`superact.datasets.coco`) | the official annotation files | that label |

Reference sections 1.3 and 1.5. Large files are read when the first mask is asked for, and once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from superact.datasets.reading import read_mask, row_name, unreadable
from superact.datasets.tensors import as_array, load_tensors
from superact.errors import BadInput, BadTable


class MaskSource(Protocol):
    """What a dataset of images reads its masks from."""

    def files(self) -> list[tuple[str, Path]]:
        """Every file that is read, under the name by which it enters the dataset's digest, sorted."""

    def masks(self, sample: int, labels: Sequence[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return label -> bool [height, width] for those of `labels` that have a mask in this sample.

        `size` is (width, height) of the image; a mask has it, or its shape at another resolution. Labels that share a
        mask share the array. Raises BadInput or one of its kinds.
        """


@dataclass(frozen=True)
class FileMasks:
    """One image file a row, or none: `names` as metadata.csv has them, `paths` the files."""

    metadata: Path
    names: tuple[str | None, ...]
    paths: tuple[Path | None, ...]

    def files(self) -> list[tuple[str, Path]]:
        """The mask files, each once."""
        pairs = zip(self.names, self.paths, strict=True)
        return sorted({(name, path) for name, path in pairs if name is not None and path is not None})

    def masks(self, sample: int, labels: Sequence[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The row's mask for every label; none where the row names none."""
        path = self.paths[sample]
        if path is None:
            return {}
        mask = read_mask(path, sample, self.metadata)
        if mask.shape[::-1] != size:
            raise BadTable(
                path=self.metadata,
                row=row_name(sample),
                column="mask_path",
                problem=f"{self.names[sample]} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {size[0]} x {size[1]}",
                remedy="Draw the mask at the size of the image.",
            )
        return dict.fromkeys(labels, mask)


@dataclass(frozen=True)
class _TensorMasks:
    """Masks of all rows in one .pt file. `rows`: how many metadata.csv has."""

    metadata: Path
    path: Path
    rows: int

    def files(self) -> list[tuple[str, Path]]:
        """The .pt file."""
        return [(self.path.name, self.path)]

    @cached_property
    def _content(self) -> Any:
        content = load_tensors(self.path)
        try:
            n = len(content)
        except TypeError:
            raise BadInput(
                what=f"{self.path} holds a {type(content).__name__}, not one entry a row of metadata.csv.",
                remedy="Replace the file.",
            ) from None
        if n != self.rows:
            raise BadInput(
                what=f"{self.path} has masks for {n} rows and {self.metadata} lists {self.rows}.",
                remedy="Entry k of one must be row k of the other.",
            )
        return content

    def _entry(self, sample: int) -> Any:
        try:
            return self._content[sample]
        except (KeyError, IndexError, TypeError):
            raise self._wrong(sample, "the file has no entry for this row") from None

    def _binary(self, value: Any, sample: int, size: tuple[int, int], which: str) -> np.ndarray:
        """The mask bool [height, width] that one value is, by the published rule for floats."""
        try:
            mask = as_array(value)
        except ValueError as error:
            raise self._wrong(sample, f"{which} is {error}, not a mask") from error
        if mask.ndim == 3 and len(mask):
            mask = mask[0]
        if mask.ndim != 2 or not mask.size:
            raise self._wrong(sample, f"{which} has shape {tuple(mask.shape)}, not height and width")
        if not same_shape(mask.shape[::-1], size):
            shapes = f"{mask.shape[1]} x {mask.shape[0]} pixels, and its image {size[0]} x {size[1]}"
            raise self._wrong(sample, f"{which} has {shapes}, which is another shape")
        if mask.dtype.kind != "f":
            return mask > 0
        if not np.isfinite(mask).all():
            raise self._wrong(sample, f"{which} holds NaN or infinity")
        # Published masks become 8-bit pictures on the way, which cuts off below 1/255.
        return mask * 255 >= 1

    def _wrong(self, sample: int, reason: str) -> Exception:
        return unreadable(self.path, sample, self.metadata, reason)


@dataclass(frozen=True)
class ClevrMasks(_TensorMasks):
    """A foreground mask a row, the same for its colour and its shape."""

    def masks(self, sample: int, labels: Sequence[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The row's mask for every label."""
        return dict.fromkeys(labels, self._binary(self._entry(sample), sample, size, "its mask"))


@dataclass(frozen=True)
class BrodenMasks(_TensorMasks):
    """A dictionary of masks a row; a label that the row carries may have none."""

    def masks(self, sample: int, labels: Sequence[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The masks of those labels that the row's dictionary has."""
        entry = self._entry(sample)
        if not isinstance(entry, dict):
            raise self._wrong(sample, f"its entry is a {type(entry).__name__}, not a dictionary of masks by label")
        found = [label for label in labels if label in entry]
        return {label: self._binary(entry[label], sample, size, f"the mask of {label!r}") for label in found}


def same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two (width, height) are one shape at two resolutions, but for the rounding to whole pixels."""
    return abs(size[0] * other[1] - other[0] * size[1]) < max(*other, *size)
