"""Masks from COCO's official annotation files: polygons and run-length codes, by category and by supercategory.

Behaviour of reference section 1.5: the mask of a label in an image is the union of all annotations, crowds among them, whose
category or whose category's supercategory has the label's name. Images are found by the last part of their path. Rows of split
`cal` are looked up in instances_train2017.json and all others in instances_val2017.json (an image that is not in its own file
may be in the other one: an image has one number in all of COCO). Each file is parsed once, and of its annotations only those of
the dataset's images are kept: the train2017 file has 860,001.

Files are downloads, so nothing in them reaches pycocotools' C code unchecked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from superact.datasets.paths import name_from
from superact.datasets.published import COCO_CAL, COCO_VAL
from superact.datasets.reading import row_name
from superact.errors import BadInput, BadTable


@dataclass(frozen=True)
class _Picture:
    """An image of an annotation file: (width, height), and (category number, segmentation) of its annotations."""

    size: tuple[int, int]
    marks: list[tuple[int, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Annotations:
    """What is kept of an annotation file: images by basename, and category numbers by the names that stand for them."""

    pictures: dict[str, _Picture]
    categories: dict[str, set[int]]


@dataclass(frozen=True)
class CocoMasks:
    """Masks by label. `names` are the basenames of the images, `cal` whether each row is of that split."""

    root: Path
    metadata: Path
    names: tuple[str, ...]
    cal: tuple[bool, ...]
    val_file: Path | None
    cal_file: Path | None

    def files(self) -> list[tuple[str, Path]]:
        """The annotation files that are there."""
        found = {path for path in (self.val_file, self.cal_file) if path is not None}
        return sorted((name_from(self.root, path), path) for path in found)

    def masks(self, sample: int, labels: Sequence[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """The union of the annotations of each label; labels without an annotation are absent."""
        path, annotations = self._annotations_of(sample)
        picture = annotations.pictures[self.names[sample]]
        if picture.size != size:
            listed = " x ".join(map(str, picture.size))
            raise self._wrong(sample, f"{path.name} lists it with {listed} pixels, and it has {size[0]} x {size[1]}")
        found = {}
        for label in labels:
            numbers = annotations.categories.get(label, set())
            marks = [mark for number, mark in picture.marks if number in numbers]
            try:
                if marks:
                    found[label] = union(marks, *size)
            except ValueError as error:
                raise self._wrong(sample, f"its annotation of {label!r} in {path} {error}") from error
        return found

    def _annotations_of(self, sample: int) -> tuple[Path, _Annotations]:
        name = self.names[sample]
        own = [(self.val_file, False), (self.cal_file, True)]
        for path, is_cal in sorted(own, key=lambda pair: pair[1] != self.cal[sample]):
            if path is not None and name in (found := self._cal if is_cal else self._val).pictures:
                return path, found
        wanted = (COCO_CAL if self.cal[sample] else COCO_VAL)[0]
        searched = " or ".join(str(path) for path in (self.val_file, self.cal_file) if path is not None)
        raise self._wrong(
            sample,
            f"{name} is not in {searched}",
            f"Rows of split cal are looked up in instances_train2017.json and others in instances_val2017.json: "
            f"put the official file at {self.root / wanted}.",
        )

    def _wrong(self, sample: int, problem: str, remedy: str = "Use the official images and annotations.") -> BadTable:
        return BadTable(path=self.metadata, row=row_name(sample), column="image_path", problem=problem, remedy=remedy)

    @cached_property
    def _val(self) -> _Annotations:
        assert self.val_file is not None
        return read_annotations(self.val_file, set(self.names))

    @cached_property
    def _cal(self) -> _Annotations:
        assert self.cal_file is not None
        return read_annotations(self.cal_file, set(self.names))


def find_coco(root: Path, metadata: Path, paths: Sequence[Path], splits: Sequence[str]) -> CocoMasks | None:
    """Return the masks of a folder with official annotation files, or None for one without.

    A cal file beside the folder belongs to it only where it has annotations of its own.
    """
    val, cal = (next((p for p in patterns if (root / p).is_file()), None) for patterns in (COCO_VAL, COCO_CAL))
    is_cal = tuple(split == "cal" for split in splits)
    if not any(is_cal):
        cal = None
    if val is None and (cal is None or cal.startswith("..")):
        return None
    found = [None if name is None else root / name for name in (val, cal)]
    return CocoMasks(root, metadata, tuple(path.name for path in paths), is_cal, *found)


def read_annotations(path: Path, names: set[str]) -> _Annotations:
    """Parse an annotation file and keep what belongs to the images of these basenames.

    Raises BadInput for a file that is not one of COCO's instances files.
    """
    kept: set[Any] = set()

    def sift(entry: dict[str, Any]) -> dict[str, Any] | None:
        """Drop what is not wanted while the file is parsed, which else takes gigabytes."""
        if "file_name" in entry:
            if _basename(entry["file_name"]) not in names:
                return None
            kept.add(_key(entry.get("id")))
        # Official files list the images first; in one that does not, all annotations are held until the end.
        elif "segmentation" in entry and kept and _key(entry.get("image_id")) not in kept:
            return None
        return entry

    try:
        return _annotations(json.loads(path.read_bytes(), object_hook=sift))
    except KeyError as error:
        reason = f"an entry has no {error}"
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    raise BadInput(
        what=f"{path} is not an annotation file of COCO instances: {reason}.",
        remedy="Replace it by the official one (cocodataset.org, annotations_trainval2017.zip).",
    )


def union(marks: Sequence[Any], width: int, height: int) -> np.ndarray:
    """Return bool [height, width]: the pixels of any of these COCO segmentations.

    Raises ValueError that says what is wrong with one, to go after the words "its annotation".
    """
    from pycocotools import mask as coco

    polygons: list[list[float]] = []
    pixels = np.zeros((height, width), dtype=bool)
    for mark in marks:
        if isinstance(mark, dict):
            pixels |= _runs(_counts(mark, width, height), width, height)
        elif isinstance(mark, list):
            polygons.extend(_polygon(points, width, height) for points in mark)
        else:
            raise ValueError(f"is a {type(mark).__name__}, not polygons or a run-length code")
    # Of a list that begins with four numbers pycocotools makes boxes: polygons have six or more, as checked.
    if polygons:
        code = coco.merge(coco.frPyObjects(polygons, height, width))
        # Decoded here: pycocotools' own decoder is deprecated by NumPy 2.
        pixels |= _runs(_unpacked(code["counts"]), width, height)
    return pixels


def _annotations(document: Any) -> _Annotations:
    pictures: dict[str, _Picture] = {}
    by_id: dict[Any, _Picture] = {}
    for image in filter(None, document["images"]):
        name, picture = _basename(image["file_name"]), _Picture((int(image["width"]), int(image["height"])))
        if name in pictures:
            raise ValueError(f"it lists {name} twice")
        pictures[name] = by_id[_key(image["id"])] = picture
    for mark in filter(None, document["annotations"]):
        if (marked := by_id.get(_key(mark["image_id"]))) is not None:
            marked.marks.append((int(mark["category_id"]), mark["segmentation"]))
    categories: dict[str, set[int]] = {}
    for category in document["categories"]:
        for name in {category["name"], category.get("supercategory")} - {None}:
            categories.setdefault(name, set()).add(int(category["id"]))
    return _Annotations(pictures, categories)


def _basename(file_name: Any) -> str:
    return PurePosixPath(str(file_name)).name


def _key(number: Any) -> int | str:
    return number if isinstance(number, int) else str(number)


def _polygon(points: Any, width: int, height: int) -> list[float]:
    """The corners x, y, x, y, ... of a polygon, checked: pycocotools writes out of bounds for wild ones."""
    try:
        corners = np.array(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("has a polygon that is no list of numbers") from None
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
        raise ValueError(f"has a polygon of shape {corners.shape}, not three or more corners x, y")
    far = np.maximum(np.abs(corners[::2] - width / 2) / width, np.abs(corners[1::2] - height / 2) / height)
    if not (far <= 1.5).all():
        raise ValueError("has a polygon far outside of its image")
    return [float(value) for value in corners]


def _counts(code: dict[str, Any], width: int, height: int) -> np.ndarray:
    """Run lengths of a run-length code, plain or packed: background first, down the columns."""
    if code.get("size") != [height, width]:
        raise ValueError(f"has a run-length code of size {code.get('size')}, not [{height}, {width}]")
    counts = code.get("counts")
    if isinstance(counts, str):
        return _unpacked(counts.encode("latin-1", "replace"))
    try:
        runs = np.array(counts)
    except ValueError:
        runs = np.empty((0, 0))
    if runs.ndim != 1 or runs.dtype.kind not in "iu":
        raise ValueError("has a run-length code without a list of whole numbers")
    return runs


def _unpacked(packed: bytes) -> np.ndarray:
    """Run lengths from COCO's packed text: six bits a character, little end first, each run less the one two before."""
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        digit = character - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("has a run-length code with other characters than COCO's")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("has a run-length code that ends in the middle of a number")
    return np.array(counts, dtype=np.int64)


def _runs(counts: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bool [height, width] from run lengths. Raises ValueError unless they fill the image exactly."""
    if (counts < 0).any() or (counts > width * height).any() or int(counts.sum()) != width * height:
        raise ValueError(f"has a run-length code that does not fill {width} x {height} pixels")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T
