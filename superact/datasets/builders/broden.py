"""Broden-Pascal, Broden-OpenSurfaces, or another part of a Broden release, from its `index.csv` and mask pictures.

A release (the public Broden1_224): `index.csv` with columns image, split, ih, iw, sh, sw, color, object, part, material, scene,
texture; `label.csv` with number and name; `images/` with pictures and masks. A cell of a category names mask files, separated
by `;`, whose pixels are label numbers R + 256 * G, or label numbers of the whole image.

Rows are the images of the part with at least one kept label, in the order of the index. How the paper chose its 4503 and 3578
images is not public, but its metadata.csv is: with `rows` naming it, images and order are its own. A published label is found
by its name in any of the kinds that the part has (objects and parts, or materials), because the published kinds
(`object::ear`) are not Broden's; colours become `color::NAME`. Of other
parts every label is kept, as `kind::name`. Masks become `segmentations.pt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from superact.datasets.builders.images import check_images, place_images, write_images_table
from superact.datasets.builders.rows import published_rows
from superact.datasets.builders.site import BuildReport, building
from superact.datasets.builders.sources import find_source, sha256, source_folder
from superact.datasets.progress import progress_bar
from superact.datasets.published import PublishedDataset, find_published
from superact.datasets.reading import opened_image, row_name
from superact.datasets.splits import three_way_split
from superact.datasets.tables import integers, read_table
from superact.datasets.tensors import save_tensors
from superact.errors import BadInput, BadTable

STEP_VERSION = 1
ORIGIN = "netdissect.csail.mit.edu/data/broden1_224.zip"
KINDS = ("color", "object", "part", "material")
PARTS = {"Broden-Pascal": "pascal", "Broden-OpenSurfaces": "opensurfaces"}
_FOLDERS = ("broden1_224", "dataset/broden1_224", "images")


@dataclass(frozen=True)
class _Release:
    """A release: its folder, the rows of its index and label names by number."""

    root: Path
    index: pl.DataFrame
    names: dict[int, str]

    @property
    def index_path(self) -> Path:
        return self.root / "index.csv"


def build_broden(
    source: Path,
    out: Path,
    *,
    part: str | None = None,
    rows: Path | None = None,
    link: bool = False,
    seed: int = 0,
    force: bool = False,
    progress: bool | None = None,
) -> BuildReport:
    """Build a part of Broden. `part`: the first folder of its image paths (None: what the name of `out` says).

    `rows`: a published metadata.csv whose images are taken. Nothing is drawn: `seed` has no effect. Masks of the whole part
    are held in memory: about 1.5 GB for Broden-Pascal. Raises BadInput or one of its kinds for missing or wrong files.
    """
    del seed
    known = find_published(out.name) if part is None else _published_part(part)
    part = PARTS.get(known.name) if part is None and known is not None else part
    if part is None:
        remedy = f"Name it with --part ({', '.join(PARTS.values())}), or call the folder {' or '.join(PARTS)}."
        raise BadInput(what=f"{out.name} does not say which part of Broden it is to hold.", remedy=remedy)
    release = _release(source_folder(source))
    chosen = _chosen(
        release, part, None if rows is None else [path for path, _ in published_rows(rows, "image_path", "split")]
    )
    label_of = _naming(known)
    paths, masks = [], []
    with progress_bar("Reading masks", len(chosen), progress) as advance:
        for at in chosen:
            found = _masks(release, at, label_of)
            if rows is not None or any(known is None or label in known.positives for label in found):
                paths.append(release.index["image"][at])
                masks.append(found)
            advance(1)
    if not paths:
        raise BadInput(what=f"No image of {part} in {release.index_path} has a label.", remedy="Use a whole release.")
    files = [release.root / "images" / path for path in paths]
    check_images(files, ORIGIN)
    recipe = {
        "dataset": known.name if known is not None else f"Broden-{part}",
        "recipe": f"images of {part} "
        + ("as listed" if rows is not None else "with a kept label, in the order of the index"),
        "step_version": STEP_VERSION,
        "images": "linked" if link else "copied",
        "sources": {name: sha256(release.root / name) for name in ("index.csv", "label.csv")}
        | {"masks": _digest(paths, masks)},
        "makes": ["build.json", "metadata.csv", "segmentations.pt", part],
    }
    labels = _columns(known, masks, release)
    with building(out, recipe, force) as site:
        place_images(site, files, paths, link, progress)
        site.make("segmentations.pt", lambda file: save_tensors(file, masks))
        write_images_table(site, paths, [set(found) for found in masks], labels, three_way_split(len(paths)))
    return site.report(out, len(paths), _notes(known, len(paths), rows))


def _published_part(part: str) -> PublishedDataset | None:
    return next((find_published(name) for name, folder in PARTS.items() if folder == part), None)


def _release(source: Path) -> _Release:
    path = find_source(source, "index.csv", _FOLDERS[:2], ORIGIN)
    names_path = find_source(path.parent, "label.csv", (), ORIGIN)
    index, table = read_table(path), read_table(names_path)
    for where, frame, columns in ((path, index, ("image", "sh", "sw")), (names_path, table, ("number", "name"))):
        lacking = [column for column in columns if column not in frame.columns]
        if lacking:
            raise BadInput(what=f"{where} has no column {lacking[0]!r}.", remedy=f"Get a release from {ORIGIN}.")
    numbers = integers(table, names_path, "number").to_list()
    return _Release(path.parent, index, dict(zip(numbers, table["name"].fill_null("").to_list(), strict=True)))


def _chosen(release: _Release, part: str, wanted: list[str] | None) -> list[int]:
    """The rows of the index to read, in order."""
    images = release.index["image"].fill_null("").to_list()
    for row, image in enumerate(images):
        if image.startswith("/") or ".." in PurePosixPath(image).parts:
            raise _wrong(release, row, "image", f"{image} is no path below images/")
    if wanted is None:
        return [row for row, image in enumerate(images) if image.startswith(f"{part}/")]
    at = {image: row for row, image in enumerate(images)}
    lacking = [path for path in wanted if path not in at]
    if lacking:
        what = f"{release.index_path} has not {len(lacking):,} of the wanted images, the first of them {lacking[0]}."
        raise BadInput(what=what, remedy=f"Get the release from {ORIGIN}.")
    return [at[path] for path in wanted]


def _naming(known: PublishedDataset | None) -> Callable[[str, str], str | None]:
    """How a label (kind, name) is called in the dataset; None for one that is left out."""
    if known is None:
        return lambda kind, name: f"{kind}::{name}"
    by_name = {label.rpartition("::")[2]: label for label in known.labels}
    kinds = {label.partition("::")[0] for label in known.labels}

    def label_of(kind: str, name: str) -> str | None:
        if kind == "color":
            return f"color::{name}"
        return by_name.get(name) if kind in kinds else None

    return label_of


def _masks(release: _Release, row: int, label_of: Callable[[str, str], str | None]) -> dict[str, np.ndarray]:
    """Label -> bool [sh, sw] of the labels that have a pixel in a row of the index."""
    shape = _shape(release, row)
    found: dict[str, np.ndarray] = {}
    for kind in KINDS:
        cell = release.index[kind][row] if kind in release.index.columns else None
        for item in filter(None, (item.strip() for item in (cell or "").split(";"))):
            numbers = np.full(shape, int(item)) if item.isdecimal() else _numbers(release, row, kind, item, shape)
            for number in np.unique(numbers[numbers > 0]).tolist():
                if number not in release.names:
                    raise _wrong(release, row, kind, f"{item} has label number {number}, which label.csv has not")
                label = label_of(kind, release.names[number])
                if label is not None:
                    found[label] = found.get(label, np.zeros(shape, bool)) | (numbers == number)
    return dict(sorted(found.items()))


def _shape(release: _Release, row: int) -> tuple[int, int]:
    sizes = [release.index[column][row] or "" for column in ("sh", "sw")]
    if not all(size.isdecimal() and 0 < int(size) <= 65536 for size in sizes):
        raise _wrong(release, row, "sh", f"{' x '.join(sizes)} is no size of a mask")
    return int(sizes[0]), int(sizes[1])


def _numbers(release: _Release, row: int, kind: str, item: str, shape: tuple[int, int]) -> np.ndarray:
    """The label numbers in a mask file, int [sh, sw]."""
    if item.startswith("/") or ".." in PurePosixPath(item).parts:
        raise _wrong(release, row, kind, f"{item} is no path below images/")
    with opened_image(release.root / "images" / item, row, release.index_path) as picture:
        if picture.size != shape[::-1]:
            size = f"{picture.width} x {picture.height} pixels, not {shape[1]} x {shape[0]}"
            raise _wrong(release, row, kind, f"{item} has {size}")
        if picture.mode not in ("RGB", "RGBA"):
            raise _wrong(release, row, kind, f"{item} has pixel mode {picture.mode!r}, not RGB")
        pixels = np.asarray(picture).astype(np.int64)
    return pixels[..., 0] + 256 * pixels[..., 1]


def _columns(known: PublishedDataset | None, masks: list[dict[str, np.ndarray]], release: _Release) -> list[str]:
    """The label columns: colours first, then the published labels in their order (else those found, by name)."""
    found = sorted({label for row in masks for label in row})
    colours = [label for label in found if label.startswith("color::")]
    if known is None:
        return found
    return [*colours, *known.labels]


def _digest(paths: list[str], masks: list[dict[str, np.ndarray]]) -> str:
    total = hashlib.sha256()
    for path, found in zip(paths, masks, strict=True):
        total.update(path.encode() + b"\0")
        for label, mask in found.items():
            total.update(f"{label}\0{mask.shape}\0".encode() + np.packbits(mask).tobytes())
    return total.hexdigest()


def _wrong(release: _Release, row: int, column: str, problem: str) -> BadTable:
    remedy = f"Get the release from {ORIGIN}."
    return BadTable(path=release.index_path, row=row_name(row), column=column, problem=problem, remedy=remedy)


def _notes(known: PublishedDataset | None, n: int, rows: Path | None) -> list[str]:
    if known is None or rows is not None or n == known.rows:
        return []
    return [
        f"{n:,} images of the release have a kept label, and the published data have {known.rows:,}: --rows with the "
        "published metadata.csv takes the paper's own"
    ]
