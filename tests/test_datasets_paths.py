"""Path columns: relative, absolute and mapped paths, and those that a table may not name. Pictures that are traps."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from published_folders import image_folder, write_image, write_metadata

from superact.datasets import Dataset, open_dataset
from superact.datasets.paths import Roots
from superact.errors import BadInput, BadTable, MissingFile, UnreadableFile


def opened(root: Path, **options: Path) -> Dataset:
    return open_dataset(str(root), root.parent, **options)


def table(root: Path, *paths: object, kind: str = "image") -> Path:
    write_metadata(root, [f"{kind}_path", "red", "split"], [[path, 1, "train"] for path in paths])
    return root


def test_relative_paths_under_an_image_root(tmp_path: Path) -> None:
    write_image(tmp_path / "store/val/a.png", (6, 4), 10)
    write_image(tmp_path / "D/own/b.png", (6, 4), 20)
    write_image(tmp_path / "D/val/a.png", (6, 4), 30)
    root = table(tmp_path / "D", "val/a.png", "own/b.png")
    dataset = opened(root, image_root=tmp_path / "store")
    assert dataset.samples["path"].to_list() == ["val/a.png", "own/b.png"]
    assert dataset.files == (tmp_path / "store/val/a.png", tmp_path / "D/own/b.png")
    assert [dataset.image(row).getpixel((0, 0)) for row in (0, 1)] == [(10, 10, 10), (20, 20, 20)]
    assert opened(root).image(0).getpixel((0, 0)) == (30, 30, 30)
    assert dataset.source_digest() != opened(root).source_digest()


def test_relative_paths_under_a_text_root(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/1.txt").write_text("oh great")
    root = table(tmp_path / "D", "1.txt", kind="text")
    assert opened(root, text_root=tmp_path / "texts").text(0) == "oh great"
    with pytest.raises(MissingFile, match=r"D/1\.txt does not exist"):
        opened(root, image_root=tmp_path / "texts")  # the root of the other kind maps nothing


def test_where_a_mapped_file_is_missed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(MissingFile, match=r"store/a\.png does not exist; it is named in row 0 \(line 2\)"):
        opened(table(tmp_path / "D", "a.png"), image_root=tmp_path / "store")


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no folder .*store"):
        opened(image_folder(tmp_path / "D", ["red"], [[1]]), image_root=tmp_path / "store")


def test_absolute_paths_are_named_from_their_root(tmp_path: Path) -> None:
    for name, place in (("a", "D/in"), ("b", "store")):
        write_image(tmp_path / place / f"{name}.png", (6, 4))
    root = table(tmp_path / "D", tmp_path / "D/in/a.png", tmp_path / "store/b.png")
    dataset = opened(root, image_root=tmp_path / "store")
    assert dataset.samples["path"].to_list() == ["in/a.png", "b.png"]
    relative = table(tmp_path / "E", "in/a.png", "b.png")
    write_image(relative / "in/a.png", (6, 4))
    assert opened(relative, image_root=tmp_path / "store").source_digest() == dataset.source_digest()


def test_absolute_paths_elsewhere_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "store/b.png", (6, 4))
    root = table(tmp_path / "D", tmp_path / "store/b.png")
    with pytest.raises(BadTable, match=r"column 'image_path': .*store/b\.png is not below .*D\. .*--image-root"):
        opened(root)
    with pytest.raises(BadTable, match=r"/etc/hostname is not below"):
        opened(table(tmp_path / "E", "/etc/hostname", kind="text"), text_root=tmp_path)


@pytest.mark.parametrize("path", ["../secret.png", "images/../../secret.png", "images/../images/0.png", ".."])
def test_steps_out_of_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    write_image(tmp_path / "secret.png", (6, 4))
    root = image_folder(tmp_path / "D", ["red"], [[1], [1]], names=["images/0.png", "images/1.png"])
    (root / "metadata.csv").write_text((root / "metadata.csv").read_text().replace("images/1.png", path))
    with pytest.raises(BadTable, match=r"row 1 \(line 3\), column 'image_path': .* steps out of a folder with '\.\.'"):
        opened(root)


def test_steps_out_in_a_mask_path(tmp_path: Path) -> None:
    write_image(tmp_path / "D/0.png", (6, 4))
    Image.new("L", (6, 4)).save(tmp_path / "m.png")
    write_metadata(tmp_path / "D", ["image_path", "red", "split", "mask_path"], [["0.png", 1, "train", "../m.png"]])
    with pytest.raises(BadTable, match=r"column 'mask_path': \.\./m\.png steps out"):
        opened(tmp_path / "D")


def test_a_nul_character(tmp_path: Path) -> None:
    (tmp_path / "D").mkdir()
    (tmp_path / "D/metadata.csv").write_bytes(b"image_path,red,split\na\0b.png,1,train\n")
    with pytest.raises(BadInput, match=r"NUL|not a UTF-8 CSV file"):
        opened(tmp_path / "D")


def test_links_of_the_folder_are_followed(tmp_path: Path) -> None:
    write_image(tmp_path / "disk/a.png", (6, 4), 7)
    root = table(tmp_path / "D", "images/a.png")
    (root / "images").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert opened(root).image(0).getpixel((0, 0)) == (7, 7, 7)


def test_one_file_written_in_two_ways(tmp_path: Path) -> None:
    write_image(tmp_path / "D/a.png", (6, 4))
    with pytest.raises(BadTable, match=r"a\.png is already named in row 0"):
        opened(table(tmp_path / "D", "a.png", "./a.png"))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a./\\~$ \0", max_size=12))
def test_whatever_is_located_is_below_a_root(written: str) -> None:
    root = Path("/data/sets/D")
    try:
        name, path = Roots(root).locate(written)
    except ValueError:
        return
    assert path.is_relative_to(root)
    assert ".." not in path.parts
    assert path == root / name


def png_of(width: int, height: int) -> bytes:
    """A PNG file whose header says this size; a few bytes whatever it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_of_enormous_size(tmp_path: Path, size: tuple[int, int]) -> None:
    """Of the first, Pillow only warns; the second it refuses by itself."""
    root = image_folder(tmp_path / "D", ["red"], [[1]])
    (root / "images/0.png").write_bytes(png_of(*size))
    dataset = opened(root)
    for read in (lambda: dataset.image(0), lambda: dataset.open_image(0).__enter__()):
        with pytest.raises(UnreadableFile, match=r"images/0\.png \(row 0 \(line 2\) .*(more than|exceeds limit)"):
            read()


def test_pillows_warning_as_an_error_is_named_too(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "D", ["red"], [[1]])
    (root / "images/0.png").write_bytes(png_of(10_000, 10_000))
    with pytest.raises(UnreadableFile, match=r"exceeds limit of 89478485 pixels"):
        opened(root).image(0)


def test_a_mask_of_enormous_size(tmp_path: Path) -> None:
    write_image(tmp_path / "D/0.png", (6, 4))
    (tmp_path / "D/m.png").write_bytes(png_of(60_000, 60_000))
    write_metadata(tmp_path / "D", ["image_path", "red", "split", "mask_path"], [["0.png", 1, "train", "m.png"]])
    with pytest.raises(UnreadableFile, match=r"m\.png .*exceeds limit"):
        opened(tmp_path / "D").masks(0)


def test_a_text_chunk_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "D", ["red"], [[1]])
    good = (root / "images/0.png").read_bytes()
    data = b"k\0\0" + zlib.compress(b"\0" * (64 << 20))
    bomb = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    (root / "images/0.png").write_bytes(good[:33] + bomb + good[33:])
    with pytest.raises(UnreadableFile, match="too large"):
        opened(root).image(0)


def test_postscript_is_not_handed_to_ghostscript(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "D", ["red"], [[1]])
    (root / "images/0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(UnreadableFile, match="cannot identify image file"):
        opened(root).image(0)


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "bmp", "gif", "webp", "ppm", "jp2"])
def test_formats_that_are_read(tmp_path: Path, extension: str) -> None:
    root = tmp_path / "D"
    write_image(root / f"a.{extension}", (16, 8))
    assert opened(table(root, f"a.{extension}")).image(0).size == (16, 8)


def test_bom_crlf_quotes_and_commas_in_metadata(tmp_path: Path) -> None:
    root = tmp_path / "D"
    for name in ("a, b.png", 'c "d".png'):
        write_image(root / name, (6, 4))
    labels = ['part::a, "b"', "object::two\nlines", "naïve ☂"]
    write_metadata(
        root, ["image_path", *labels, "split"], [["a, b.png", 1, 0, 1, "train"], ['c "d".png', 0, 1, 0, "cal"]]
    )
    path = root / "metadata.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert b"\r\n" in path.read_bytes()
    dataset = opened(root)
    assert [label.name for label in dataset.labels] == labels
    assert dataset.samples["path"].to_list() == ["a, b.png", 'c "d".png']
    assert dataset.sample_labels.rows() == [(0, "naïve ☂"), (0, labels[0]), (1, labels[1])]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("place", ["label", "path"])
def test_metadata_that_is_not_utf8(tmp_path: Path, encoding: str, place: str) -> None:
    root = tmp_path / "D"
    root.mkdir()
    label, name = ("café", "a.png") if place == "label" else ("red", "café.png")
    (root / "metadata.csv").write_bytes(f"image_path,{label},split\n{name},1,train\n".encode(encoding))
    with pytest.raises(BadInput, match=r"metadata.csv is not a UTF-8 CSV file"):
        opened(root)
