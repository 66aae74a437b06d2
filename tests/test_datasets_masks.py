"""Masks in PyTorch files: CLEVR's one a picture and Broden's one a label, and files that are anything else."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from published_folders import box, image_folder

from superact.datasets import Dataset, open_dataset
from superact.datasets.masks import BrodenMasks, ClevrMasks, FileMasks, same_shape
from superact.datasets.tensors import load_tensors
from superact.errors import BadInput, UnreadableFile

SIZE = (40, 30)
CLEVR_LABELS = ("color::blue", "color::red", "shape::cube")
BRODEN_LABELS = ("object::cat", "part::chain wheel", "color::red-c")
FLAGS = [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
BOXES = [box(SIZE, 3, 4, 9, 20), box(SIZE, 0, 0, 40, 1), box(SIZE, 0, 0, 0, 0)]


@pytest.fixture
def clevr(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "CLEVR", CLEVR_LABELS, FLAGS, SIZE)


@pytest.fixture
def broden(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "Broden-Pascal", BRODEN_LABELS, FLAGS, SIZE)


def opened(root: Path) -> Dataset:
    return open_dataset(str(root), root.parent)


def floats(masks: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(mask.astype(np.float32)) for mask in masks]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: floats(BOXES), id="list of float tensors"),
        pytest.param(lambda: tuple(mask * 0.5 for mask in floats(BOXES)), id="tuple of halves"),
        pytest.param(lambda: torch.stack(floats(BOXES)), id="one tensor"),
        pytest.param(lambda: [torch.from_numpy(mask) for mask in BOXES], id="bool"),
        pytest.param(lambda: [torch.from_numpy(mask.astype(np.uint8) * 255) for mask in BOXES], id="bytes"),
        pytest.param(lambda: [mask.bfloat16() for mask in floats(BOXES)], id="bfloat16"),
        pytest.param(lambda: [mask.astype(np.float64) for mask in BOXES], id="arrays"),
        pytest.param(lambda: np.stack(BOXES), id="one array"),
        pytest.param(lambda: [torch.stack([mask, 1 - mask]) for mask in floats(BOXES)], id="first channel"),
        pytest.param(lambda: dict(enumerate(floats(BOXES))), id="by row number"),
    ],
)
def test_clevr_mask_serves_every_label_of_its_row(clevr: Path, content: Callable[[], Any]) -> None:
    torch.save(content(), clevr / "object_segmentations.pt")
    dataset = opened(clevr)
    assert isinstance(dataset.mask_source, ClevrMasks)
    assert dataset.has_token_labels
    assert {label.source for label in dataset.labels} == {"mask"}
    found = dataset.masks(0)
    assert list(found) == ["color::blue", "shape::cube"]
    assert found["color::blue"] is found["shape::cube"]
    assert found["color::blue"].dtype == bool
    assert np.array_equal(found["color::blue"], BOXES[0])
    assert np.array_equal(dataset.masks(1)["color::red"], BOXES[1])
    assert dataset.masks(2) == {}


def test_files_of_before_torch_1_6(clevr: Path) -> None:
    torch.save(floats(BOXES), clevr / "object_segmentations.pt", _use_new_zipfile_serialization=False)
    assert np.array_equal(opened(clevr).masks(0)["shape::cube"], BOXES[0])


def test_floats_become_8_bits_as_published(clevr: Path) -> None:
    mask = torch.zeros(SIZE[::-1])
    mask[0, :4] = torch.tensor([0.0039, 1 / 255, 0.5, -1])
    torch.save([mask] * 3, clevr / "object_segmentations.pt")
    assert np.argwhere(opened(clevr).masks(0)["shape::cube"]).tolist() == [[0, 1], [0, 2]]


@pytest.mark.parametrize("as_numpy", [False, True])
def test_broden_has_a_mask_for_each_label(broden: Path, as_numpy: bool) -> None:
    small = BOXES[0][::2, ::2]
    rows: list[dict[str, Any]] = [
        {"object::cat": small, "color::red-c": np.stack([BOXES[1], BOXES[0]]), "object::dog": BOXES[0]},
        {},
        {"object::cat": BOXES[0]},
    ]
    if not as_numpy:
        rows = [{label: torch.from_numpy(mask.astype(np.float32)) for label, mask in row.items()} for row in rows]
    torch.save(rows, broden / "segmentations.pt")
    dataset = opened(broden)
    assert isinstance(dataset.mask_source, BrodenMasks)
    found = dataset.masks(0)
    assert list(found) == ["color::red-c", "object::cat"]
    assert np.array_equal(found["object::cat"], small)  # half the size of its picture, as in the release
    assert np.array_equal(found["color::red-c"], BOXES[1])
    assert dataset.masks(1) == {}  # carries part::chain wheel, which has no mask
    assert dataset.masks(2) == {}  # has a mask of a label that it does not carry


def test_mask_path_comes_before_the_files(clevr: Path) -> None:
    torch.save(floats(BOXES), clevr / "object_segmentations.pt")
    Image.fromarray(BOXES[1]).save(clevr / "m.png")
    lines = (clevr / "metadata.csv").read_text().splitlines()
    (clevr / "metadata.csv").write_text("\n".join([lines[0] + ",mask_path", *(line + ",m.png" for line in lines[1:])]))
    dataset = opened(clevr)
    assert isinstance(dataset.mask_source, FileMasks)
    assert np.array_equal(dataset.masks(0)["shape::cube"], BOXES[1])


def test_digest_has_the_mask_file_and_opening_does_not_read_it(clevr: Path) -> None:
    before = opened(clevr).digest()
    (clevr / "object_segmentations.pt").write_bytes(b"nothing of use")
    assert opened(clevr).digest() != before
    assert opened(clevr).source_digest() == opened(clevr).source_digest()


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def bare_pickle(path: Path, content: Any) -> None:
    path.write_bytes(pickle.dumps(content))


def zipped_pickle(path: Path, content: Any) -> None:
    torch.save(floats(BOXES), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, pickle.dumps(content) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize("save", [bare_pickle, zipped_pickle, lambda path, content: torch.save(content, path)])
@pytest.mark.parametrize("name", ["object_segmentations.pt", "segmentations.pt"])
def test_a_pickle_in_place_of_tensors_never_runs(clevr: Path, save: Callable[[Path, Any], None], name: str) -> None:
    trap = clevr / "trap"
    save(clevr / name, [Malicious(trap), Malicious(trap), Malicious(trap)])
    with pytest.raises(BadInput, match=rf"{name} is no PyTorch file of tensors.*could run code"):
        opened(clevr).masks(0)
    assert not trap.exists()


def test_the_trap_is_one(tmp_path: Path) -> None:
    bare_pickle(tmp_path / "x.pt", Malicious(tmp_path / "trap"))
    pickle.loads((tmp_path / "x.pt").read_bytes())
    assert (tmp_path / "trap").is_dir()


@pytest.mark.parametrize("keep", [0, 10, 500, -1])
@pytest.mark.parametrize("new_format", [True, False])
def test_truncated_tensor_files(clevr: Path, keep: int, new_format: bool) -> None:
    path = clevr / "object_segmentations.pt"
    torch.save(floats(BOXES), path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"object_segmentations.pt is no PyTorch file of tensors"):
        opened(clevr).masks(0)


def test_damaged_tensor_files_never_escape_as_another_error(clevr: Path) -> None:
    path = clevr / "object_segmentations.pt"
    rng = np.random.default_rng(0)
    outcomes = set()
    for new_format in (True, False):
        torch.save(floats([mask[:3, :4] for mask in BOXES]), path, _use_new_zipfile_serialization=new_format)
        good = path.read_bytes()
        for _ in range(100):
            content = bytearray(good)
            for position in rng.integers(0, len(good), 4):
                content[position] = int(rng.integers(256))
            path.write_bytes(bytes(content))
            try:
                opened(clevr).masks(0)
                outcomes.add("read")
            except BadInput:
                outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(lambda: 7, "holds a int, not one entry a row", id="number"),
        pytest.param(lambda: torch.tensor(1.0), "holds a Tensor, not one entry a row", id="scalar"),
        pytest.param(lambda: floats(BOXES)[:2], r"has masks for 2 rows and .*metadata.csv lists 3", id="rows"),
        pytest.param(lambda: {"a": 1, "b": 2, "c": 3}, "the file has no entry for this row", id="names"),
        pytest.param(lambda: ["mask"] * 3, "its mask is a value of type str, not a mask", id="text"),
        pytest.param(lambda: [None] * 3, "its mask is a value of type NoneType", id="nothing"),
        pytest.param(lambda: [torch.zeros(7)] * 3, r"its mask has shape \(7,\), not height and width", id="flat"),
        pytest.param(lambda: [torch.zeros(0, 4)] * 3, r"its mask has shape \(0, 4\)", id="empty"),
        pytest.param(
            lambda: [torch.zeros(2, 2, 30, 40)] * 3, r"its mask has shape \(2, 30, 40\)|shape \(2, 2", id="4-D"
        ),
        pytest.param(lambda: [torch.zeros(40, 30)] * 3, "30 x 40 pixels, and its image 40 x 30", id="turned"),
        pytest.param(lambda: [torch.full((30, 40), torch.nan)] * 3, "its mask holds NaN or infinity", id="NaN"),
        pytest.param(lambda: [torch.zeros(30, 40, dtype=torch.complex64)] * 3, "type complex64", id="complex"),
        pytest.param(lambda: [torch.zeros(30, 40).to_sparse()] * 3, "holds no plain numbers", id="sparse"),
        pytest.param(lambda: [torch.zeros(30, 40, device="meta")] * 3, "holds no plain numbers", id="no data"),
    ],
)
def test_tensor_files_of_the_wrong_shape(clevr: Path, content: Callable[[], Any], reason: str) -> None:
    torch.save(content(), clevr / "object_segmentations.pt")
    with pytest.raises(BadInput, match=reason) as error:
        opened(clevr).masks(0)
    assert "object_segmentations.pt" in str(error.value)


def test_broden_entry_that_is_no_dictionary(broden: Path) -> None:
    torch.save([[1], [2], [3]], broden / "segmentations.pt")
    with pytest.raises(UnreadableFile, match=r"row 0 \(line 2\).*its entry is a list, not a dictionary"):
        opened(broden).masks(0)


def test_broden_names_the_label_of_a_bad_mask(broden: Path) -> None:
    torch.save([{"object::cat": torch.zeros(3)}, {}, {}], broden / "segmentations.pt")
    with pytest.raises(UnreadableFile, match=r"the mask of 'object::cat' has shape \(3,\)"):
        opened(broden).masks(0)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    torch.save([np.array([Malicious(tmp_path / "trap")], dtype=object)], tmp_path / "x.pt")
    with pytest.raises(BadInput, match="no PyTorch file of tensors"):
        load_tensors(tmp_path / "x.pt")
    assert not (tmp_path / "trap").exists()


def test_compressed_tensor_files_are_not_unpacked(clevr: Path) -> None:
    """torch.save compresses nothing; torch.load would unpack 64 MB from these 60 kB, and as readily a hundred times that."""
    path = clevr / "object_segmentations.pt"
    torch.save([torch.zeros(2048, 8192)] * 3, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert path.stat().st_size < 100_000
    with pytest.raises(
        BadInput, match=r"object_segmentations\.pt is no PyTorch file of tensors: .* in it is compressed"
    ):
        opened(clevr).masks(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool])
def test_tensors_that_repeat_a_number_billions_of_times(clevr: Path, dtype: torch.dtype) -> None:
    """A view of one number with the shape of the image, a kilobyte on disk, would be compared pixel by pixel."""
    path = clevr / "object_segmentations.pt"
    torch.save([torch.zeros(1, dtype=dtype).expand(300_000, 400_000)] * 3, path)
    assert path.stat().st_size < 5000
    with pytest.raises(BadInput, match=r"its mask is a tensor of 120,000,000,000 numbers that holds 1, not a mask"):
        opened(clevr).masks(0)


def test_a_mask_that_is_a_view_is_read(clevr: Path) -> None:
    torch.save([torch.ones(1, 30, 40).expand(3, 30, 40)] * 3, clevr / "object_segmentations.pt")
    assert next(iter(opened(clevr).masks(0).values())).all()


def test_missing_tensor_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x\.pt does not exist"):
        load_tensors(tmp_path / "x.pt")


def test_same_shape() -> None:
    assert same_shape((224, 224), (112, 112))
    assert same_shape((333, 500), (166, 250))
    assert same_shape((333, 500), (167, 250))
    assert not same_shape((640, 480), (480, 640))
    assert not same_shape((640, 480), (320, 320))
