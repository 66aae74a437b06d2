"""Published padding masks are compared with what the sizes of the images say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_folders import write_image, write_metadata

from superact.datasets import Dataset, open_dataset
from superact.datasets.geometry import Geometry
from superact.datasets.padding import check_padding, padding_files
from superact.errors import BadInput

SIZES = [(640, 480), (480, 640), (333, 333), (500, 333)]
SMALL, LARGE = "patches_w_image_mask_inputsize_(224, 224).pt", "patches_w_image_mask_inputsize_(560, 560).pt"
LETTERBOX = Geometry("letterbox", 560, 14)


def by_hand(sizes: list[tuple[int, int]] = SIZES) -> torch.Tensor:
    """The published builder of reference 1.4: ones in the top left block of ceil(h/14) x ceil(w/14) of 40 x 40."""
    rows = []
    for width, height in sizes:
        ratio = width / height
        fitted = (560, int(560 / ratio)) if ratio > 1 else (int(560 * ratio), 560)
        grid = torch.zeros(40, 40, dtype=torch.int32)
        grid[: -(-fitted[1] // 14), : -(-fitted[0] // 14)] = 1
        rows.append(grid.reshape(-1))
    return torch.cat(rows)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "Coco"
    for row, size in enumerate(SIZES):
        write_image(root / f"{row}.png", size)
    write_metadata(root, ["image_path", "person", "split"], [[f"{row}.png", 1, "train"] for row in range(len(SIZES))])
    return root


def opened(root: Path) -> Dataset:
    return open_dataset(str(root), root.parent)


def test_nothing_to_compare(images: Path) -> None:
    assert padding_files(opened(images)) == {}
    assert check_padding(opened(images)) == []


def test_files_that_agree(images: Path) -> None:
    torch.save(torch.ones(4 * 256, dtype=torch.int32), images / SMALL)
    torch.save(by_hand(), images / LARGE)
    dataset = opened(images)
    assert check_padding(dataset) == [images / SMALL, images / LARGE]
    assert check_padding(dataset, LETTERBOX) == [images / LARGE]
    for kind in ("squash", "crop"):
        assert check_padding(dataset, Geometry(kind, 224, 14)) == [images / SMALL]  # type: ignore[arg-type]
    sizes = dict(enumerate(SIZES))
    assert check_padding(dataset, LETTERBOX, sizes) == [images / LARGE]
    assert by_hand([(640, 480)]).sum() == 30 * 40  # reference 6, check 3
    assert by_hand([(480, 640)]).sum() == 40 * 30


@pytest.mark.parametrize(
    "geometry", [Geometry("letterbox", 224, 14), Geometry("squash", 560, 14), Geometry("squash", 224, 16)]
)
def test_other_geometries_compare_nothing(images: Path, geometry: Geometry) -> None:
    for name in (SMALL, LARGE):
        (images / name).write_bytes(b"not read")
    assert check_padding(opened(images), geometry) == []


def test_files_of_other_input_sizes_are_nobodys(images: Path) -> None:
    for key in ("(336, 336)", "(224, 560)", "224", "('text', 'text')", "(224, 224, 224)"):
        (images / f"patches_w_image_mask_inputsize_{key}.pt").write_bytes(b"not read")
    assert padding_files(opened(images)) == {}


@pytest.mark.parametrize(
    ("name", "position", "message"),
    [
        (LARGE, 1600 + 30, r"patch 30 of 1\.png, row 1 \(line 3\) .* is content in the file and padding by the size"),
        (
            LARGE,
            0,
            r"patch 0 of 0\.png, row 0 \(line 2\) .* is padding in the file and content by the size .*\(1 differ\)",
        ),
        (SMALL, 255, r"patch 255 of 0\.png, row 0 \(line 2\) .* is padding in the file and content"),
    ],
)
def test_a_difference_is_an_error_that_names_the_patch(images: Path, name: str, position: int, message: str) -> None:
    mask = by_hand() if name == LARGE else torch.ones(4 * 256, dtype=torch.int32)
    mask[position] = 1 - mask[position]
    torch.save(mask, images / name)
    with pytest.raises(BadInput, match=message) as error:
        check_padding(opened(images))
    assert "remove the file, and padding is derived" in str(error.value)


def test_images_in_another_order(images: Path) -> None:
    torch.save(by_hand(SIZES[::-1]), images / LARGE)
    with pytest.raises(BadInput, match=r"does not fit this dataset: patch \d+ of 0\.png"):
        check_padding(opened(images))


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: torch.ones(3), "it has 3 entries, and 4 images have 1,024 patches"),
        (lambda path: torch.full((1024,), 2), "it is no flat list of 0 and 1"),
        (lambda path: torch.ones(4, 256), r"it is no flat list of 0 and 1 \(shape \(4, 256\)\)"),
        (lambda path: [1] * 1024, "it holds a value of type list"),
        (lambda path: torch.ones(1).expand(10**10), "it holds a tensor of 10,000,000,000 numbers that holds 1"),
        (lambda path: torch.full((1024,), torch.nan), "it is no flat list of 0 and 1"),
        (lambda path: Malicious(path / "trap"), "is no PyTorch file of tensors: it asks for posix.mkdir"),
    ],
)
def test_files_that_are_no_padding_mask(images: Path, content: Callable[[Path], Any], message: str) -> None:
    torch.save(content(images), images / SMALL)
    with pytest.raises(BadInput, match=message) as error:
        check_padding(opened(images))
    assert "weights_only" not in str(error.value)
    assert not (images / "trap").exists()


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_padding_mask(images: Path, keep: int) -> None:
    torch.save(by_hand(), images / LARGE)
    (images / LARGE).write_bytes((images / LARGE).read_bytes()[:keep])
    with pytest.raises(
        BadInput, match=r"560\)\.pt is no PyTorch file of tensors: it is truncated, damaged|holds other"
    ):
        check_padding(opened(images))


def test_texts_have_no_padding(tmp_path: Path) -> None:
    root = tmp_path / "Lines"
    write_metadata(root, ["text_path", "sarcasm", "split"], [["1.txt", 1, "train"]])
    (root / "1.txt").write_text("oh great")
    name = "patches_w_image_mask_inputsize_('text', 'text2').pt"
    torch.save(torch.ones(9, dtype=torch.int64), root / name)
    (root / SMALL).write_bytes(b"not read")
    assert check_padding(opened(root)) == [root / name]
    torch.save(torch.from_numpy(np.array([1, 1, 0])), root / name)
    with pytest.raises(BadInput, match="token 2 is padding, and texts have none"):
        check_padding(opened(root))
