"""Coco from the official release and from panoptic masks, and Broden from a release."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from build_sources import broden_release, coco_release, real, table
from PIL import Image
from published_folders import write_metadata

from superact.datasets import open_dataset
from superact.datasets.builders import build
from superact.datasets.builders.coco_classes import SUPERCATEGORIES, SUPERCATEGORY_OF, THINGS, ordered_labels
from superact.datasets.published import published
from superact.datasets.splits import cal_tail_split, three_way_split
from superact.errors import BadInput


def test_label_columns_of_coco() -> None:
    labels = ordered_labels([(name, group) for group, names in THINGS.items() for name in names])
    assert (len(labels), len(SUPERCATEGORY_OF)) == (published("Coco").label_columns, 80) == (91, 80)
    assert labels[:2] == ["person", "bicycle"]
    assert tuple(labels[80:]) == SUPERCATEGORIES
    assert set(published("Coco").labels) <= set(labels)


def test_coco_subset_real(tmp_path: Path) -> None:
    source = real("coco_seg_permissive")
    done = build("coco", source, tmp_path / "Coco-Mini", link=True)
    assert done.rows == 53
    dataset = open_dataset("Coco-Mini", tmp_path)
    assert dataset.samples["split"].to_list() == cal_tail_split(53, 26)
    names = {int(number): name for number, name in json.loads((source / "classes.json").read_text()).items()}
    for sample, path in enumerate(dataset.samples["path"]):
        part, stem = path.split("/")[-2], Path(path).stem
        numbers = np.asarray(Image.open(source / "masks" / part / f"{stem}.png"))
        wanted: dict[str, np.ndarray] = {}
        for number in set(np.unique(numbers).tolist()) - {0}:
            for label in {names[number], SUPERCATEGORY_OF.get(names[number], names[number])}:
                wanted[label] = wanted.get(label, np.zeros(numbers.shape, bool)) | (numbers == number)
        found = dataset.masks(sample)
        assert found.keys() == wanted.keys()
        assert all((found[label] == wanted[label]).all() for label in wanted)
        assert dataset.path_of(sample).is_symlink()


def test_coco_official(tmp_path: Path) -> None:
    source = coco_release(tmp_path / "in")
    done = build("coco", source, tmp_path / "Coco", n_cal=3)
    rows = table(done.path / "metadata.csv")
    assert list(rows[0]) == ["image_path", "person", "car", "bottle", "vehicle", "kitchen", "split"]
    assert [row["image_path"] for row in rows[:6]] == [f"val2017/{100 - k:012d}.jpg" for k in range(6)]
    cal = [row["image_path"] for row in rows[6:]]
    assert cal == sorted(set(cal)) and len(cal) == 3
    assert all(path.startswith("cal_images/train2017/") for path in cal)
    assert [row["split"] for row in rows] == cal_tail_split(9, 3)
    assert [(row["person"], row["car"], row["vehicle"], row["bottle"]) for row in rows[:2]] == [
        ("1", "0", "0", "0"),
        ("0", "1", "1", "0"),
    ]
    dataset = open_dataset("Coco", tmp_path)
    for sample in range(9):
        masks = dataset.masks(sample)
        assert {tuple(np.argwhere(mask)[0]) for mask in masks.values()} == {(2, 2)}
    kept = json.loads((done.path / "instances_train2017.json").read_text())
    assert len(kept["images"]) == len(kept["annotations"]) == 3


def test_coco_rows_of_a_published_table(tmp_path: Path) -> None:
    source = coco_release(tmp_path / "in")
    names = [f"val2017/{number:012d}.jpg" for number in (98, 100)] + [f"cal_images/train2017/{97:012d}.jpg"]
    splits = cal_tail_split(3, 1)
    write_metadata(tmp_path / "given", ["image_path", "split"], list(zip(names, splits, strict=True)))
    done = build("coco", source, tmp_path / "Coco", rows=tmp_path / "given" / "metadata.csv")
    assert [row["image_path"] for row in table(done.path / "metadata.csv")] == names
    write_metadata(tmp_path / "given", ["image_path", "split"], [[name, "train"] for name in names])
    with pytest.raises(BadInput, match="has not the rows and splits of the published Coco"):
        build("coco", source, tmp_path / "other", rows=tmp_path / "given" / "metadata.csv")


@pytest.mark.parametrize(
    ("removed", "says"),
    [
        ("annotations/instances_train2017.json", "There is no instances_train2017.json in"),
        ("val2017/000000000098.jpg", "1 of 9 images are missing, the first of them"),
        ("train2017/000000000097.jpg", None),
    ],
)
def test_coco_missing_sources(tmp_path: Path, removed: str, says: str | None) -> None:
    source = coco_release(tmp_path / "in")
    (source / removed).unlink()
    n_cal = 3 if says else 5
    with pytest.raises(BadInput) as error:
        build("coco", source, tmp_path / "out", n_cal=n_cal)
    assert (says or "has 4 images, and 5 cal images are to be drawn from it") in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_coco_wrong_sources(tmp_path: Path) -> None:
    source = coco_release(tmp_path / "in")
    (source / "annotations" / "instances_val2017.json").write_text('{"images": [')
    with pytest.raises(BadInput, match="is not an annotation file of COCO instances"):
        build("coco", source, tmp_path / "out", n_cal=3)
    (source / "classes.json").write_text('{"1": "person"}')
    with pytest.raises(BadInput, match="has no images"):
        build("coco", source, tmp_path / "out")
    for part in ("images", "masks"):
        (source / part / "val2017").mkdir(parents=True)
    Image.new("RGB", (4, 3)).save(source / "images" / "val2017" / "a.jpg")
    mask = source / "masks" / "val2017" / "a.png"
    for picture, says in (
        (None, "has no mask"),
        (Image.new("L", (4, 4)), "is 4 x 4 pixels, its image 4 x 3"),
        (Image.new("RGB", (4, 3)), "has 3 channels"),
        (Image.new("L", (4, 3), 9), "has pixels of class 9, which classes.json has not"),
    ):
        if picture is not None:
            picture.save(mask)
        with pytest.raises(BadInput, match=says):
            build("coco", source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_broden_pascal(tmp_path: Path) -> None:
    done = build("broden", broden_release(tmp_path / "in"), tmp_path / "Broden-Pascal")
    rows = table(done.path / "metadata.csv")
    # b has no kept label.
    assert [row["image_path"] for row in rows] == ["pascal/a.jpg", "pascal/c.jpg"]
    assert list(rows[0]) == ["image_path", "color::black-c", *published("Broden-Pascal").labels, "split"]
    assert [row["split"] for row in rows] == three_way_split(2)
    dataset = open_dataset("Broden-Pascal", tmp_path)
    masks = dataset.masks(0)
    left = np.zeros((4, 6), bool)
    left[:, :3] = True
    tail = ~left
    tail[0, 0] = False
    assert masks.keys() == {"color::black-c", "object::wheel", "part::tail"}
    assert (masks["object::wheel"] == left).all() and (masks["part::tail"] == tail).all()
    assert dataset.masks(1).keys() == {"color::black-c", "object::wheel"}
    assert "published data have 4,503" in done.notes[0]


def test_broden_other_parts_and_rows(tmp_path: Path) -> None:
    source = broden_release(tmp_path / "in")
    build("broden", source, tmp_path / "OS", part="opensurfaces")
    dataset = open_dataset("OS", tmp_path)
    assert dataset.masks(0).keys() == {"color::blue-c", "material::wood"}  # number 300: the second channel counts
    write_metadata(tmp_path / "given", ["image_path", "split"], [["pascal/c.jpg", "train"], ["pascal/b.jpg", "test"]])
    done = build("broden", source, tmp_path / "P", part="pascal", rows=tmp_path / "given" / "metadata.csv")
    assert [row["image_path"] for row in table(done.path / "metadata.csv")] == ["pascal/c.jpg", "pascal/b.jpg"]
    with pytest.raises(BadInput, match="does not say which part of Broden"):
        build("broden", source, tmp_path / "Something")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("pascal/a_object_0.png", "pascal/none.png", "none.png"),
        ("pascal/a_object_0.png", "../../x.png", "../../x.png is no path below images/"),
        ("pascal/a_object_0.png", "9999", "label number 9999, which label.csv has not"),
        ("pascal/a_object_0.png", "pascal/a.jpg", "pascal/a.jpg has 12 x 8 pixels, not 6 x 4"),
        (",4,6,", ",four,6,", "four x 6 is no size of a mask"),
        ("image,", "picture,", "has no column 'image'"),
    ],
)
def test_broden_wrong_index(tmp_path: Path, old: str, new: str, says: str) -> None:
    source = broden_release(tmp_path / "in")
    index = source / "index.csv"
    index.write_text(index.read_text().replace(old, new, 1))
    with pytest.raises(BadInput) as error:
        build("broden", source, tmp_path / "Broden-Pascal")
    assert says in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
