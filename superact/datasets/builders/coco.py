"""Coco: from the official release, or from a subset with panoptic masks as pictures (`coco_panoptic`).

Official: `val2017/`, `train2017/` and `annotations/instances_{val,train}2017.json`. Published: the 5000 images of val2017 in
the order of the annotation file, split train and test, then 500 of train2017, all cal. Which 500 is not public, but
stands in the published metadata.csv: with `rows` naming it, images and order are its own; without, they are drawn with `seed`
from the images in `train2017/`. Label columns: the 80 categories, then 11 supercategories; a flag is an annotation of that
name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from superact.datasets.builders.coco_classes import ordered_labels
from superact.datasets.builders.images import (
    CAL,
    MAKES,
    VAL,
    check_images,
    image_files,
    place_images,
    write_images_table,
)
from superact.datasets.builders.rows import published_rows
from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import find_source, look_for, sha256, source_folder
from superact.datasets.published import published
from superact.datasets.splits import cal_tail_split
from superact.errors import BadInput

STEP_VERSION = 1
ORIGIN = "cocodataset.org (val2017.zip, train2017.zip, annotations_trainval2017.zip)"


@dataclass(frozen=True)
class Part:
    """One annotation file: its images in order, their labels by name, categories, and the document itself."""

    images: list[dict[str, Any]]
    labels: dict[str, set[str]]
    categories: list[tuple[str, str | None]]
    document: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The basenames of the images."""
        return [basename(image["file_name"]) for image in self.images]


def build_coco(
    source: Path,
    out: Path,
    *,
    rows: Path | None = None,
    n_cal: int = 500,
    link: bool = False,
    seed: int = 0,
    force: bool = False,
    progress: bool | None = None,
) -> BuildReport:
    """Build Coco. `rows`: a published metadata.csv whose images are taken; `n_cal`: how many cal images are drawn without it.

    `link` makes links to the images where copies are the default. Raises BadInput for missing or wrong files.
    """
    source = source_folder(source)
    if look_for(source, "classes.json", ()) is not None:
        from superact.datasets.builders.coco_panoptic import build_panoptic

        if rows is not None:
            raise BadInput(what="A subset with panoptic masks has its own rows.", remedy="Leave --rows out.")
        return build_panoptic(source, out, link=link, force=force, progress=progress)
    val_file, train_file = (
        find_source(source, f"instances_{name}.json", ("annotations",), ORIGIN) for name in ("val2017", "train2017")
    )
    wanted = None if rows is None else published_rows(rows, "image_path", "split")
    cal_names = _cal_names(source / "train2017", n_cal, seed) if wanted is None else _named(wanted, CAL)
    val = read_part(val_file, None if wanted is None else set(_named(wanted, VAL)))
    cal = read_part(train_file, set(cal_names))
    val_names = val.names if wanted is None else _named(wanted, VAL)
    _check_listed(val_file, val, val_names)
    _check_listed(train_file, cal, cal_names)
    files = [source / "val2017" / name for name in val_names] + [source / "train2017" / name for name in cal_names]
    check_images(files, ORIGIN)
    splits = cal_tail_split(len(files), len(cal_names))
    if wanted is not None and wanted != list(zip(_paths(val_names, cal_names), splits, strict=True)):
        remedy = "Rows of val2017 come first, split by the published rule, then those of train2017, all cal."
        raise BadInput(what=f"{rows} has not the rows and splits of the published Coco.", remedy=remedy)
    recipe = {
        "dataset": "Coco",
        "recipe": "official COCO; val2017 in the order of its annotations, then cal images of train2017 "
        + ("as listed" if rows is not None else f"drawn from {n_cal}"),
        "step_version": STEP_VERSION,
        "seed": None if rows is not None else seed,
        "images": "linked" if link else "copied",
        "sources": {path.name: sha256(path) for path in (val_file, train_file)}
        | {"image list": hashlib.sha256("\n".join([*val_names, *cal_names]).encode()).hexdigest()},
        "makes": MAKES,
    }
    labels = ordered_labels([*val.categories, *cal.categories])
    carried = [val.labels[name] for name in val_names] + [cal.labels[name] for name in cal_names]
    with building(out, recipe, force) as site:
        place_images(site, files, _paths(val_names, cal_names), link, progress)
        site.write("instances_val2017.json", _json(val.document))
        site.write("instances_train2017.json", _json(cal.document))
        write_images_table(site, _paths(val_names, cal_names), carried, labels, splits)
    return site.report(out, len(files), _notes(len(val_names), len(cal_names), rows))


def read_part(path: Path, names: set[str] | None) -> Part:
    """Parse an annotation file and keep the images of these basenames (None: all) and what belongs to them.

    Raises BadInput for a file that is not one of COCO's instances files.
    """
    kept: set[Any] = set()

    def sift(entry: dict[str, Any]) -> dict[str, Any] | None:
        """Drop what is not wanted while the file is parsed: the whole of train2017 takes gigabytes."""
        if "file_name" in entry:
            if names is not None and basename(entry["file_name"]) not in names:
                return None
            kept.add(entry.get("id"))
        elif "segmentation" in entry and kept and entry.get("image_id") not in kept:
            return None
        return entry

    try:
        document = json.loads(path.read_bytes(), object_hook=sift)
        images = [image for image in document["images"] if image is not None]
        named = {int(c["id"]): (str(c["name"]), c.get("supercategory")) for c in document["categories"]}
        by_id: dict[Any, set[str]] = {image["id"]: set() for image in images}
        marks = [mark for mark in document["annotations"] if mark is not None and mark["image_id"] in by_id]
        for mark in marks:
            by_id[mark["image_id"]].update(filter(None, named[int(mark["category_id"])]))
        labels = {basename(image["file_name"]): by_id[image["id"]] for image in images}
    except KeyError as error:
        reason = f"an entry has no {error}"
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    else:
        slim = {"images": images, "annotations": marks, "categories": document["categories"]}
        return Part(images, labels, list(named.values()), slim)
    raise BadInput(
        what=f"{path} is not an annotation file of COCO instances: {reason}.", remedy=f"Get it from {ORIGIN}."
    )


def basename(file_name: object) -> str:
    """The last part of a path in an annotation file."""
    return PurePosixPath(str(file_name)).name


def _cal_names(folder: Path, n: int, seed: int) -> list[str]:
    there = [path.name for path in image_files(folder)]
    if len(there) < n:
        raise BadInput(
            what=f"{folder} has {len(there):,} images, and {n:,} cal images are to be drawn from it.",
            remedy=f"Get them from {ORIGIN}, ask for fewer with --cal, or name a published metadata.csv with --rows.",
        )
    return [there[k] for k in sorted(np.random.RandomState(seed).permutation(len(there))[:n])]


def _named(wanted: list[tuple[str, str]], folder: str) -> list[str]:
    return [basename(path) for path, _ in wanted if path.startswith(f"{folder}/")]


def _paths(val: Sequence[str], cal: Sequence[str]) -> list[str]:
    return [f"{VAL}/{name}" for name in val] + [f"{CAL}/{name}" for name in cal]


def _check_listed(path: Path, part: Part, names: Sequence[str]) -> None:
    lacking = [name for name in names if name not in part.labels]
    if lacking:
        what = f"{path} does not list {len(lacking):,} of the images, the first of them {lacking[0]}."
        raise BadInput(what=what, remedy=f"Use the official annotations ({ORIGIN}).")


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _notes(n_val: int, n_cal: int, rows: Path | None) -> list[str]:
    known, notes = published("Coco"), []
    if (n_val + n_cal, n_cal) != (known.rows, known.cal_tail):
        notes.append(f"{n_val:,} images of val2017 and {n_cal:,} of train2017; the published data have 5,000 and 500")
    if rows is None:
        notes.append("the cal images were drawn; --rows with the published metadata.csv takes the paper's own")
    return notes
