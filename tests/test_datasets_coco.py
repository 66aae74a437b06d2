"""COCO's annotation files: polygons and run-length codes, categories and supercategories, two files for three splits."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from published_folders import box, image_folder, write_metadata
from pycocotools import mask as pycoco

import superact.datasets.coco as coco
from superact.datasets import Dataset, open_dataset
from superact.errors import BadInput, BadTable

SIZE = (40, 30)
LABELS = ("person", "cat", "animal", "dining table")
NAMES = ("val2017/000000000001.jpg", "val2017/000000000002.jpg", "cal_images/train2017/000000000003.jpg")
FLAGS = [[1, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 1]]
CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 17, "name": "cat", "supercategory": "animal"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 67, "name": "dining table", "supercategory": "furniture"},
]


def runs(mask: np.ndarray) -> dict[str, Any]:
    """COCO's plain run-length code, worked out pixel by pixel down the columns."""
    counts, expected = [], False
    for value, group in itertools.groupby(mask.T.reshape(-1).tolist()):
        if value != expected:
            counts.append(0)
        counts.append(len(list(group)))
        expected = not value
    return {"size": list(mask.shape), "counts": counts}


def rectangle(left: int, top: int, right: int, bottom: int) -> list[int]:
    return [left, top, right, top, right, bottom, left, bottom]


def mark(image: int, category: int, segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": crowd,
        "bbox": [0, 0, 1, 1],
    }


def picture(number: int, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number:012}.jpg", "width": size[0], "height": size[1]}


def instances(images: list[Any], marks: list[Any]) -> dict[str, Any]:
    return {"info": {}, "licenses": [{"id": 1}], "images": images, "annotations": marks, "categories": CATEGORIES}


VAL = instances(
    [picture(1), picture(2), picture(9)],
    [
        mark(1, 1, [rectangle(0, 0, 10, 5), rectangle(20, 20, 30, 28)]),
        mark(1, 1, runs(box(SIZE, 5, 2, 15, 9)), crowd=1),
        mark(1, 17, [rectangle(30, 0, 36, 6)]),
        mark(1, 18, [rectangle(0, 20, 4, 26)]),
        mark(2, 67, [rectangle(1, 1, 39, 29)]),
        mark(9, 67, "of an image that is not asked for"),
    ],
)
CAL = instances([picture(3)], [mark(3, 18, [rectangle(8, 8, 16, 20)]), mark(3, 1, runs(box(SIZE, 0, 0, 0, 0)))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = image_folder(tmp_path / "Coco", LABELS, FLAGS, SIZE, NAMES, ("train", "test", "cal"))
    (root / "instances_val2017.json").write_text(json.dumps(VAL))
    beside = tmp_path / "Coco-Cal/annotations"
    beside.mkdir(parents=True)
    (beside / "instances_train2017.json").write_text(json.dumps(CAL))
    return root


def opened(root: Path) -> Dataset:
    return open_dataset(str(root), root.parent)


def change(path: Path, **parts: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def test_union_of_annotations_by_category_and_supercategory(folder: Path) -> None:
    dataset = opened(folder)
    assert dataset.has_token_labels
    assert dataset.notes == ()
    assert {label.source for label in dataset.labels} == {"mask"}
    found = dataset.masks(0)
    person = box(SIZE, 0, 0, 10, 5) | box(SIZE, 20, 20, 30, 28) | box(SIZE, 5, 2, 15, 9)
    cat, dog = box(SIZE, 30, 0, 36, 6), box(SIZE, 0, 20, 4, 26)
    assert list(found) == ["animal", "cat", "person"]
    assert np.array_equal(found["person"], person)
    assert np.array_equal(found["cat"], cat)
    assert np.array_equal(found["animal"], cat | dog)
    assert all(mask.shape == (30, 40) and mask.dtype == bool for mask in found.values())


def test_a_label_without_an_annotation_is_absent(folder: Path) -> None:
    found = opened(folder).masks(1)
    assert list(found) == ["dining table"]
    assert found["dining table"].sum() == 38 * 28


def test_cal_rows_are_in_the_other_file(folder: Path) -> None:
    found = opened(folder).masks(2)
    assert list(found) == ["animal", "person"]
    assert np.array_equal(found["animal"], box(SIZE, 8, 8, 16, 20))
    assert not found["person"].any()


@pytest.mark.parametrize("place", ["instances_train2017.json", "annotations/instances_train2017.json"])
def test_the_cal_file_may_lie_inside(folder: Path, place: str) -> None:
    (folder / place).parent.mkdir(exist_ok=True)
    (folder.parent / "Coco-Cal/annotations/instances_train2017.json").rename(folder / place)
    assert list(opened(folder).masks(2)) == ["animal", "person"]


def test_one_file_may_have_all_images(folder: Path) -> None:
    (folder.parent / "Coco-Cal/annotations/instances_train2017.json").unlink()
    change(
        folder / "instances_val2017.json",
        images=VAL["images"] + CAL["images"],
        annotations=VAL["annotations"] + CAL["annotations"],
    )
    assert list(opened(folder).masks(2)) == ["animal", "person"]


def test_each_row_is_looked_up_in_the_file_of_its_own_split_first(folder: Path) -> None:
    both = [picture(number) for number in (1, 2, 3)]
    for path, left in (
        (folder / "instances_val2017.json", 1),
        (folder.parent / "Coco-Cal/annotations/instances_train2017.json", 5),
    ):
        marks = [mark(number, 1, [rectangle(left, 1, left + 2, 9)]) for number in (1, 2, 3)]
        change(path, images=both, annotations=marks)
    dataset = opened(folder)
    first = [int(np.flatnonzero(dataset.masks(sample)["person"].any(axis=0))[0]) for sample in range(3)]
    assert first == [1, 1, 5]


def test_annotations_may_come_before_images(folder: Path) -> None:
    shuffled = {name: VAL[name] for name in ("annotations", "categories", "images")}
    expected = opened(folder).masks(0)
    (folder / "instances_val2017.json").write_text(json.dumps(shuffled))
    found = opened(folder).masks(0)
    assert all(np.array_equal(found[label], expected[label]) for label in LABELS[:3])


def test_each_file_is_parsed_once_and_not_before_a_mask_is_wanted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    real = coco.read_annotations
    monkeypatch.setattr(coco, "read_annotations", lambda path, names: parsed.append(path.name) or real(path, names))
    dataset = opened(folder)
    dataset.digest()
    assert parsed == []
    for sample in (0, 1, 2, 1, 0):
        dataset.masks(sample)
    assert sorted(parsed) == ["instances_train2017.json", "instances_val2017.json"]


def test_only_the_annotations_of_wanted_images_are_kept(folder: Path) -> None:
    found = coco.read_annotations(folder / "instances_val2017.json", {"000000000001.jpg"})
    assert list(found.pictures) == ["000000000001.jpg"]
    assert len(found.pictures["000000000001.jpg"].marks) == 4
    assert found.categories["animal"] == {17, 18}


def test_digest_has_both_files(folder: Path) -> None:
    seen = {opened(folder).digest()}
    for path in (folder / "instances_val2017.json", folder.parent / "Coco-Cal/annotations/instances_train2017.json"):
        path.write_text(path.read_text() + "\n")
        seen.add(opened(folder).digest())
    assert len(seen) == 3


def test_a_file_beside_is_not_that_of_every_folder(folder: Path) -> None:
    other = image_folder(folder.parent / "Other", LABELS, FLAGS[:1], SIZE, ["a.png"], ["cal"])
    assert not opened(other).has_token_labels
    (folder / "instances_val2017.json").unlink()
    assert not opened(folder).has_token_labels
    assert "Coco has no instances_val2017.json" in opened(folder).notes[0]


def test_a_missing_cal_file_is_named_when_it_is_needed(folder: Path) -> None:
    (folder.parent / "Coco-Cal/annotations/instances_train2017.json").unlink()
    dataset = opened(folder)
    assert len(dataset.masks(0)) == 3
    with pytest.raises(
        BadTable, match=r"000000000003\.jpg is not in .*instances_val2017\.json\. Rows of split cal"
    ) as error:
        dataset.masks(2)
    assert "Coco-Cal/annotations/instances_train2017.json" in str(error.value)
    assert "row 2 (line 4)" in str(error.value)


def test_an_image_of_another_size_than_its_annotation(folder: Path) -> None:
    change(folder / "instances_val2017.json", images=[picture(1, (30, 40)), picture(2)])
    with pytest.raises(BadTable, match=r"instances_val2017.json lists it with 30 x 40 pixels, and it has 40 x 30"):
        opened(folder).masks(0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"images": [', "Expecting value"),
        (b"\xff\xfe\x00", "decode"),
        (b"[" * 100_000, "recursion"),
        (b"[1, 2]", "list indices"),
        (b"null", "not subscriptable"),
        (b'{"images": []}', "an entry has no 'annotations'"),
        (b'{"images": 7, "annotations": [], "categories": []}', "not iterable"),
        (b'{"images": [{"file_name": "000000000001.jpg", "id": 1}], "annotations": []}', "no 'width'"),
        (b'{"images": [{"file_name": "000000000001.jpg", "id": 1, "width": "x", "height": 2}]}', "invalid literal"),
        (b'{"images": [{"file_name": "000000000001.jpg", "id": 1, "width": 1e999, "height": 2}]}', "infinity"),
        (b'{"images": [], "annotations": [{"id": 3}], "categories": []}', "no 'image_id'"),
        (b'{"images": [], "annotations": [], "categories": [{"name": ["a"], "id": 1}]}', "unhashable"),
    ],
)
def test_files_that_are_no_annotations(folder: Path, content: bytes, reason: str) -> None:
    (folder / "instances_val2017.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"instances_val2017.json is not an annotation file of COCO instances") as error:
        opened(folder).masks(0)
    assert reason in str(error.value)


def test_an_image_listed_twice(folder: Path) -> None:
    change(folder / "instances_val2017.json", images=[picture(1), {**picture(2), "file_name": "x/000000000001.jpg"}])
    with pytest.raises(BadInput, match=r"it lists 000000000001\.jpg twice"):
        opened(folder).masks(0)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (7, "is a int, not polygons"),
        ("MM", "is a str, not polygons"),
        (None, "is a NoneType, not polygons"),
        ([[1, 2, 3, 4]], r"a polygon of shape \(4,\)"),
        ([[1, 2, 3, 4, 5, 6, 7]], r"a polygon of shape \(7,\)"),
        ([[]], r"a polygon of shape \(0,\)"),
        ([7], r"a polygon of shape \(\)"),
        ([["a"] * 6], "a polygon that is no list of numbers"),
        ([[[1, 2], [3]]], "a polygon that is no list of numbers"),
        ([[0, 0, 1e9, 0, 5, 5]], "a polygon far outside"),
        ([[0, 0, float("nan"), 0, 5, 5]], "a polygon far outside"),
        ({"size": [40, 30], "counts": [1200]}, r"of size \[40, 30\], not \[30, 40\]"),
        ({"size": [30, 40], "counts": [1199]}, "does not fill 40 x 30 pixels"),
        ({"size": [30, 40], "counts": [1300, -100]}, "does not fill 40 x 30 pixels"),
        ({"size": [30, 40], "counts": [2**62, 2**62, 2**62, 2**62, 1200]}, "does not fill 40 x 30 pixels"),
        ({"size": [30, 40], "counts": [10**30]}, "without a list of whole numbers"),
        ({"size": [30, 40], "counts": [1.5]}, "without a list of whole numbers"),
        ({"size": [30, 40], "counts": [[1], [2, 3]]}, "without a list of whole numbers"),
        ({"size": [30, 40], "counts": None}, "without a list of whole numbers"),
        ({"size": [30, 40], "counts": ""}, "does not fill"),
        ({"size": [30, 40], "counts": "PPP"}, "ends in the middle of a number"),
        ({"size": [30, 40], "counts": "a" * 50}, "other characters than COCO's"),
        ({"size": [30, 40], "counts": "\x00 \u4e2d"}, "other characters than COCO's"),
        ({"counts": [1200]}, "of size None"),
    ],
)
def test_annotations_that_are_none(folder: Path, segmentation: Any, reason: str) -> None:
    change(folder / "instances_val2017.json", annotations=[mark(1, 17, segmentation)])
    with pytest.raises(BadTable, match=rf"row 0 \(line 2\).*its annotation of 'animal' in .*{reason}"):
        opened(folder).masks(0)


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_length_codes_come_back(mask: np.ndarray) -> None:
    height, width = mask.shape
    plain = runs(mask)
    assert np.array_equal(coco.union([plain], width, height), mask)
    packed = pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert packed["counts"] == pycoco.frPyObjects(plain, height, width)["counts"]
    named = {"size": [height, width], "counts": packed["counts"].decode()}
    assert np.array_equal(coco.union([named], width, height), mask)


@st.composite
def polygons(draw: st.DrawFn) -> tuple[int, int, list[list[float]]]:
    width, height = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    corner = st.tuples(st.floats(-3, width + 3), st.floats(-3, height + 3))
    shapes = draw(st.lists(st.lists(corner, min_size=3, max_size=8), min_size=1, max_size=3))
    near = [[value for x, y in shape for value in (min(x, 2 * width), min(y, 2 * height))] for shape in shapes]
    return width, height, [[max(value, -1.0) for value in shape] for shape in near]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(max_examples=100, deadline=None)
@given(polygons())
def test_polygons_are_drawn_as_pycocotools_draws_them(drawn: tuple[int, int, list[list[float]]]) -> None:
    width, height, shapes = drawn
    expected = np.zeros((height, width), bool)
    for shape in shapes:
        expected |= pycoco.decode(pycoco.frPyObjects([shape], height, width))[..., 0] > 0
    assert np.array_equal(coco.union([shapes], width, height), expected)
    assert np.array_equal(coco.union([[shape] for shape in shapes], width, height), expected)


def shared_subset() -> Path:
    shared = os.environ.get("SUPERACT_SHARED")
    root = Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared"
    return root / "data/coco_seg_permissive"


def test_real_pictures_and_masks(tmp_path: Path) -> None:
    """The masks of real COCO photos, written as annotations by number of category, are read back pixel by pixel."""
    subset = shared_subset()
    if not subset.is_dir():
        pytest.skip(f"no COCO subset at {subset}: set SUPERACT_SHARED to the folder that holds data/")
    names = {
        int(number): name for number, name in json.loads((subset / "classes.json").read_text()).items() if number != "0"
    }
    root, rows, truth = tmp_path / "Subset", [], {}
    documents: dict[str, dict[str, Any]] = {"val2017": instances([], []), "train2017": instances([], [])}
    for pool, document in documents.items():
        document["categories"] = [
            {"id": number, "name": name, "supercategory": "all"} for number, name in names.items()
        ]
        for path in sorted((subset / "images" / pool).glob("*.jpg"))[:6]:
            (root / pool).mkdir(parents=True, exist_ok=True)
            (root / pool / path.name).symlink_to(path)
            classes = np.asarray(Image.open(subset / "masks" / pool / f"{path.stem}.png"))
            document["images"].append(picture(int(path.stem), classes.shape[::-1]))
            present = [int(number) for number in np.unique(classes) if number in names]
            for number in present:
                document["annotations"].append(mark(int(path.stem), number, runs(classes == number)))
            truth[len(rows)] = classes, present
            rows.append((f"{pool}/{path.name}", present, "cal" if pool == "train2017" else "test"))
    used = sorted({number for _, present, _ in rows for number in present})
    table = [[name, *(int(number in present) for number in used), 1, split] for name, present, split in rows]
    write_metadata(root, ["image_path", *(names[number] for number in used), "all", "split"], table)
    for pool, document in documents.items():
        (root / f"instances_{pool}.json").write_text(json.dumps(document))
    dataset = opened(root)
    for sample, (classes, present) in truth.items():
        found = dataset.masks(sample)
        assert sorted(found) == sorted([*(names[number] for number in present), "all"])
        for number in present:
            assert np.array_equal(found[names[number]], classes == number)
        assert np.array_equal(found["all"], np.isin(classes, present))
