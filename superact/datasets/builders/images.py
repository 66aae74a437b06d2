"""Images in the published layout, as all builds of image datasets write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from superact.datasets.builders.site import Site
from superact.datasets.progress import progress_bar
from superact.errors import BadInput

VAL, CAL = "val2017", "cal_images/train2017"
MAKES = ["build.json", "metadata.csv", VAL, "cal_images", "instances_val2017.json", "instances_train2017.json"]
"""Where Coco's images are, and the names at the top of its folder."""

_SUFFIXES = (".jpg", ".jpeg", ".png")


def check_images(files: Sequence[Path], origin: str) -> None:
    """Raise BadInput unless every image is there."""
    missing = [path for path in files if not path.is_file()]
    if missing:
        what = f"{len(missing):,} of {len(files):,} images are missing, the first of them {missing[0]}."
        raise BadInput(what=what, remedy=f"Get them from {origin}.")


def place_images(site: Site, files: Sequence[Path], names: Sequence[str], link: bool, progress: bool | None) -> None:
    """Copy or link images to their names in the folder."""
    with progress_bar("Linking images" if link else "Copying images", len(files), progress) as advance:
        for file, name in zip(files, names, strict=True):
            site.place(name, file, link)
            advance(1)


def write_images_table(
    site: Site, paths: Sequence[str], carried: Sequence[set[str]], labels: Sequence[str], splits: Sequence[str]
) -> None:
    """Write metadata.csv, which makes the folder a dataset, last."""
    rows = (
        [path, *(int(label in found) for label in labels), split]
        for path, found, split in zip(paths, carried, splits, strict=True)
    )
    site.write_table("metadata.csv", [["image_path", *labels, "split"], *rows])


def image_files(folder: Path) -> list[Path]:
    """The pictures in a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
