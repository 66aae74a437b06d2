"""Coco from a subset with panoptic masks: no annotation file, but a single-channel PNG of category numbers for each image.

    images/{val2017,train2017}/NAME.jpg    masks/{val2017,train2017}/NAME.png    classes.json: number -> name

Images of val2017 by name come first (train and test), those of train2017 after them (cal), as published. The masks become
instances_*.json in COCO's own format, one annotation a class, so that the folder reads like the official data. Labels: the 80
categories and 11 supercategories, and after them every other class that has a pixel.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from superact.datasets.builders.coco_classes import SUPERCATEGORY_OF, THINGS, ordered_labels
from superact.datasets.builders.images import CAL, MAKES, VAL, image_files, place_images, write_images_table
from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import sha256, text_of
from superact.datasets.progress import progress_bar
from superact.datasets.reading import opened_image
from superact.datasets.splits import cal_tail_split
from superact.errors import BadInput

STEP_VERSION = 1
_LAYOUT = "The layout is images/val2017, images/train2017, masks/ likewise, and classes.json."


def build_panoptic(
    source: Path, out: Path, *, link: bool = False, force: bool = False, progress: bool | None = None
) -> BuildReport:
    """Build Coco from such a subset. Raises BadInput or one of its kinds for missing or wrong files."""
    classes = _classes(source / "classes.json")
    groups = [image_files(source / "images" / name) for name in ("val2017", "train2017")]
    files = [*groups[0], *groups[1]]
    if not files:
        raise BadInput(what=f"{source} has no images.", remedy=_LAYOUT)
    masks = [source / "masks" / file.parent.name / f"{file.stem}.png" for file in files]
    paths = [f"{VAL if row < len(groups[0]) else CAL}/{file.name}" for row, file in enumerate(files)]
    digest = hashlib.sha256()
    found = []
    with progress_bar("Reading masks", len(files), progress) as advance:
        for row, (file, mask) in enumerate(zip(files, masks, strict=True)):
            if not mask.is_file():
                raise BadInput(what=f"{file} has no mask {mask}.", remedy=_LAYOUT)
            pixels = _pixels(mask, file, row, source, classes)
            digest.update(f"{paths[row]}\0{pixels.shape}\0".encode() + pixels.tobytes())
            found.append(_regions(pixels))
            advance(1)
    recipe = {
        "dataset": "Coco",
        "recipe": "a subset with panoptic masks; val2017 by name, then train2017 as cal",
        "step_version": STEP_VERSION,
        "images": "linked" if link else "copied",
        "sources": {"classes.json": sha256(source / "classes.json"), "masks": digest.hexdigest()},
        "makes": MAKES,
    }
    carried = [_labels(regions, classes) for _, regions in found]
    others = [name for number, name in classes.items() if name not in SUPERCATEGORY_OF and _occurs(number, found)]
    things = [(name, group) for group, names in THINGS.items() for name in names]
    labels = [*ordered_labels(things), *others]
    splits = cal_tail_split(len(files), len(groups[1]))
    with building(out, recipe, force) as site:
        place_images(site, files, paths, link, progress)
        for name, start, stop in (("val2017", 0, len(groups[0])), ("train2017", len(groups[0]), len(files))):
            document = _document(files, found, classes, range(start, stop))
            site.write(f"instances_{name}.json", json.dumps(document, separators=(",", ":")).encode())
        write_images_table(site, paths, carried, labels, splits)
    note = f"{len(groups[0]):,} images of val2017 and {len(groups[1]):,} of train2017; the published data have 5,000 and 500"
    return site.report(out, len(files), [note])


def _classes(path: Path) -> dict[int, str]:
    """Class names by number, 0 (unlabelled) left out, in the order of numbers."""
    try:
        named = {int(number): str(name) for number, name in json.loads(text_of(path)).items() if int(number) != 0}
    except (ValueError, AttributeError) as error:
        raise BadInput(what=f"{path} is no JSON object of number: name ({error}).", remedy=_LAYOUT) from error
    if len(set(named.values())) < len(named) or set(named.values()) & (THINGS.keys() - SUPERCATEGORY_OF.keys()):
        remedy = "Give every class a name of its own that is no supercategory of COCO."
        raise BadInput(what=f"{path} gives two classes one name.", remedy=remedy)
    return dict(sorted(named.items()))


def _pixels(mask: Path, image: Path, row: int, source: Path, classes: dict[int, str]) -> np.ndarray:
    """The category numbers of a mask, [height, width], checked against its image and the classes."""
    with opened_image(image, row, source) as picture:
        size = picture.size
    with opened_image(mask, row, source) as picture:
        if len(picture.getbands()) != 1:
            what = f"{mask} has {len(picture.getbands())} channels ({picture.mode}), not one of category numbers."
            raise BadInput(what=what, remedy=_LAYOUT)
        pixels = np.asarray(picture).astype(np.int32)
        if picture.size != size:
            what = f"{mask} is {picture.width} x {picture.height} pixels, its image {size[0]} x {size[1]}."
            raise BadInput(what=what, remedy="A mask has the size of its image.")
    unknown = sorted(set(np.unique(pixels).tolist()) - classes.keys() - {0})
    if unknown:
        raise BadInput(what=f"{mask} has pixels of class {unknown[0]}, which classes.json has not.", remedy=_LAYOUT)
    return pixels


Regions = tuple[tuple[int, int], dict[int, list[int]]]


def _regions(pixels: np.ndarray) -> Regions:
    """The shape of a mask, and run lengths of every class in it by COCO's rule: down the columns, background first."""
    flat = pixels.T.reshape(-1)
    runs = {}
    for number in np.unique(flat).tolist():
        if number:
            inside = np.concatenate([[False], flat == number])
            starts = np.flatnonzero(np.diff(inside, append=not inside[-1]))
            runs[number] = np.diff(starts, prepend=0).tolist()
    return (pixels.shape[0], pixels.shape[1]), runs


def _labels(regions: dict[int, list[int]], classes: dict[int, str]) -> set[str]:
    names = {classes[number] for number in regions}
    return names | {SUPERCATEGORY_OF[name] for name in names if name in SUPERCATEGORY_OF}


def _occurs(number: int, found: list[Regions]) -> bool:
    return any(number in regions for _, regions in found)


def _document(files: list[Path], found: list[Regions], classes: dict[int, str], rows: range) -> dict[str, Any]:
    """An annotation file of COCO instances for some of the rows."""
    images: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for row in rows:
        (height, width), regions = found[row]
        images.append({"id": row + 1, "file_name": files[row].name, "width": width, "height": height})
        for number, counts in regions.items():
            code = {"size": [height, width], "counts": counts}
            marks.append({"id": len(marks) + 1, "image_id": row + 1, "category_id": number, "segmentation": code})
    categories = [
        {"id": number, "name": name} | ({"supercategory": SUPERCATEGORY_OF[name]} if name in SUPERCATEGORY_OF else {})
        for number, name in classes.items()
    ]
    return {"images": images, "annotations": marks, "categories": categories}
