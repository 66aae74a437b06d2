"""The published padding masks, `patches_w_image_mask_inputsize_*.pt`: which patches (or tokens) hold content.

Superact derives this from the size of every image (`Geometry.content`); texts have no padding. A published file is compared
with what is derived, and a difference is an error, never a choice: the file was made for other images, or for another order of
them, so their masks and labels may be off, too. A file speaks of one geometry alone (reference section 1.4): at 224 pixels the
whole grid is content, at 560 the image is letterboxed, patches of 14 pixels in both. Under another geometry, and for a model of
another patch size, nothing is compared and the derived mask is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from superact.datasets.base import Dataset
from superact.datasets.geometry import Geometry
from superact.datasets.reading import row_name
from superact.datasets.tensors import as_array, load_tensors
from superact.errors import BadInput

_NAME = re.compile(r"patches_w_image_mask_inputsize_\((.*)\)\.pt")
PUBLISHED_GEOMETRY = {"224": Geometry("squash", 224, 14), "560": Geometry("letterbox", 560, 14)}


def padding_files(dataset: Dataset) -> dict[Path, Geometry | None]:
    """Return the padding files beside metadata.csv and the geometry each speaks of: None for texts.

    Files of other input sizes than the published ones are nobody's: they are left out.
    """
    found: dict[Path, Geometry | None] = {}
    for path in sorted(dataset.root.glob("patches_w_image_mask_inputsize_*.pt")):
        match = _NAME.fullmatch(path.name)
        key = [] if match is None else [part.strip(" '\"") for part in match[1].split(",")]
        if dataset.modality == "text":
            if key and key[0] == "text":
                found[path] = None
        elif len(key) == 2 and key[0] == key[1] and key[0] in PUBLISHED_GEOMETRY:
            found[path] = PUBLISHED_GEOMETRY[key[0]]
    return found


def check_padding(
    dataset: Dataset, geometry: Geometry | None = None, sizes: Mapping[int, tuple[int, int]] | None = None
) -> list[Path]:
    """Compare the padding files with what is derived; return those that were compared and agree.

    `geometry`: only the file of this geometry (None: all of them). `sizes`: (width, height) of images by sample, where they
    are known already. Raises BadInput for a file that is no flat tensor of 0 and 1, has another length or differs, naming
    the first sample and patch.
    """
    agreed = []
    for path, own in padding_files(dataset).items():
        if geometry is not None and (own is None or not _speaks_of(own, geometry)):
            continue
        found = _flat(path)
        if own is None:
            if not found.all():
                raise _differs(path, f"token {int(found.argmin())} is padding, and texts have none")
        else:
            _compare(dataset, path, found, own, sizes or {})
        agreed.append(path)
    return agreed


def _speaks_of(own: Geometry, used: Geometry) -> bool:
    """Squash and crop alike leave no padding, so that the file of 224 pixels fits both."""
    letterbox = "letterbox"
    return (own.size, own.patch) == (used.size, used.patch) and (own.kind == letterbox) == (used.kind == letterbox)


def _flat(path: Path) -> np.ndarray:
    try:
        found = as_array(load_tensors(path))
    except ValueError as error:
        raise _differs(path, f"it holds {error}") from error
    if found.ndim != 1 or not np.isin(found, (0, 1)).all():
        raise _differs(path, f"it is no flat list of 0 and 1 (shape {tuple(found.shape)})")
    return found.astype(bool)


def _compare(
    dataset: Dataset, path: Path, found: np.ndarray, geometry: Geometry, sizes: Mapping[int, tuple[int, int]]
) -> None:
    n, patches = dataset.samples.height, geometry.grid[0] * geometry.grid[1]
    if len(found) != n * patches:
        raise _differs(path, f"it has {len(found):,} entries, and {n:,} images have {n * patches:,} patches")
    needed: Iterable[tuple[int, tuple[int, int]]] = _sizes(dataset, sizes) if geometry.kind == "letterbox" else ()
    derived = np.ones((n, patches), dtype=bool)
    for sample, size in needed:
        derived[sample] = geometry.content(*size)
    wrong = np.flatnonzero(found != derived.reshape(-1))
    if len(wrong):
        sample, patch = divmod(int(wrong[0]), patches)
        said, is_so = ("content", "padding") if found[wrong[0]] else ("padding", "content")
        name = dataset.samples["path"][sample]
        where = f"patch {patch} of {name}, row {row_name(sample)} of metadata.csv,"
        raise _differs(
            path, f"{where} is {said} in the file and {is_so} by the size of the image ({len(wrong):,} differ)"
        )


def _sizes(dataset: Dataset, known: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, tuple[int, int]]]:
    for sample in range(dataset.samples.height):
        if sample in known:
            yield sample, known[sample]
        else:
            with dataset.open_image(sample) as image:
                yield sample, image.size


def _differs(path: Path, problem: str) -> BadInput:
    return BadInput(
        what=f"{path} does not fit this dataset: {problem}.",
        remedy="Check that images and metadata.csv are those it was made for; or remove the file, and padding is derived "
        "from the sizes of the images.",
    )
