"""Small releases in the shapes of the public ones, and where the real files lie."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_folders import write_image

ROOT = Path(__file__).resolve().parents[1]


def real(*parts: str) -> Path:
    """A folder of $SUPERACT_SHARED/data, or of ../shared/data beside the repository."""
    shared = os.environ.get("SUPERACT_SHARED")
    folder = (Path(shared) if shared else ROOT.parent / "shared").joinpath("data", *parts)
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: set SUPERACT_SHARED to the folder that holds data/")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def positives(rows: list[dict[str, str]], label: str) -> tuple[int, ...]:
    return tuple(sum(row[label] == "1" for row in rows if row["split"] == split) for split in ("train", "cal", "test"))


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def coco_release(root: Path, n_val: int = 6, n_train: int = 5) -> Path:
    """Official COCO in small: image k of each part has a box of a person (k even) or of a car (k odd)."""
    categories = [
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 3, "name": "car", "supercategory": "vehicle"},
        {"id": 44, "name": "bottle", "supercategory": "kitchen"},
    ]
    for part, n in (("val2017", n_val), ("train2017", n_train)):
        images, marks = [], []
        for k in range(n):
            name = f"{100 - k:012d}.jpg"  # the order of the file is not that of the names
            write_image(root / part / name, (20, 10), k)
            images.append({"id": 100 - k, "file_name": name, "width": 20, "height": 10})
            box = [2, 2, 8, 2, 8, 6, 2, 6]
            category = 3 if k % 2 else 1
            marks.append({"id": k, "image_id": 100 - k, "category_id": category, "segmentation": [box]})
        (root / "annotations").mkdir(exist_ok=True)
        document = {"images": images, "annotations": marks, "categories": categories}
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(document))
    return root


LABELS = {1: "black-c", 2: "wheel", 3: "tail", 4: "unpublished", 300: "wood", 301: "blue-c"}


def _picture(path: Path, numbers: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    zero = np.zeros_like(numbers)
    Image.fromarray(np.stack([numbers % 256, numbers // 256, zero], -1).astype(np.uint8)).save(path)
    return path.name


def broden_release(root: Path) -> Path:
    """Three images of pascal, one of them without a kept label, and one of opensurfaces; masks have half the size."""
    half = np.zeros((4, 6), int)
    half[:, :3] = 1
    objects, parts, material = half * 2, (1 - half) * 3, half * 300
    parts[0, 0] = 2  # the wheel is in a part mask, too
    none = half * 4
    rows = []
    for name, cells in {
        "pascal/a.jpg": {"color": [half], "object": [objects], "part": [parts, none]},
        "pascal/b.jpg": {"object": [none]},
        "opensurfaces/1.jpg": {"color": [half * 301], "material": [material]},
        "pascal/c.jpg": {"color": [half], "object": [none, objects]},
    }.items():
        write_image(root / "images" / name, (12, 8), len(rows))
        row = {"image": name, "split": "train", "ih": 8, "iw": 12, "sh": 4, "sw": 6, "scene": "7", "texture": ""}
        for kind in ("color", "object", "part", "material"):
            folder = name.split("/")[0]
            stem = Path(name).stem
            files = [
                _picture(root / "images" / folder / f"{stem}_{kind}_{k}.png", numbers)
                for k, numbers in enumerate(cells.get(kind, []))
            ]
            row[kind] = ";".join(f"{folder}/{file}" for file in files)
        rows.append(row)
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    lines = [
        "number,name,category,frequency,coverage,syns",
        *(f"{n},{name},object(1),1,1,{name}" for n, name in LABELS.items()),
    ]
    (root / "label.csv").write_text("\n".join(lines) + "\n")
    return root
