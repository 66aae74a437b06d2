"""Small folders in the shapes of the published datasets, for the tests."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SPLITS = ("train", "cal", "test")


def write_metadata(root: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_image(path: Path, size: tuple[int, int], shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), shade, np.uint8)).save(path)


def image_folder(
    root: Path,
    labels: Sequence[str],
    flags: Sequence[Sequence[int]],
    size: tuple[int, int] = (40, 30),
    names: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> Path:
    """One image a row of `flags`, all of one size, with a 0/1 column a label; splits in turn."""
    names = [f"images/{row}.png" for row in range(len(flags))] if names is None else names
    splits = [SPLITS[row % 3] for row in range(len(flags))] if splits is None else splits
    for row, name in enumerate(names):
        write_image(root / name, size, row)
    rows = [[name, *given, split] for name, given, split in zip(names, flags, splits, strict=True)]
    write_metadata(root, ["image_path", *labels, "split"], rows)
    return root


def box(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Bool [height, width]: a rectangle, right and bottom not included."""
    mask = np.zeros(size[::-1], bool)
    mask[top:bottom, left:right] = True
    return mask
