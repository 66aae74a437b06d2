"""What is wrong with a dataset is named: the file, the row by sample and line, and the remedy."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superact.datasets import open_dataset
from superact.errors import BadInput, BadTable, MissingFile, UnreadableFile, WordMismatch


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "Shapes"
    root.mkdir()
    rows = ["image_path,red,round,split,mask_path"]
    for index, split in enumerate(("train", "cal", "test")):
        Image.fromarray(np.full((8, 10, 3), index * 90, np.uint8)).save(root / f"{index}.png")
        Image.new("L", (10, 8), 255).save(root / f"m{index}.png")
        rows.append(f"{index}.png,1,{index % 2},{split},m{index}.png")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    root = tmp_path / "Lines"
    root.mkdir()
    rows = ["text_path,label,split"]
    for index, (text, split) in enumerate((("one two three", "train"), ("four five", "cal"), ("six", "test"))):
        (root / f"{index}.txt").write_text(text)
        rows.append(f"{index}.txt,1,{split}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def message(kind: type[BadInput], action: Callable[[], object]) -> str:
    with pytest.raises(kind) as error:
        action()
    assert type(error.value) is kind
    return str(error.value)


def opening(kind: type[BadInput], root: Path) -> str:
    return message(kind, lambda: open_dataset(str(root), root.parent))


def test_missing_metadata(images: Path) -> None:
    (images / "metadata.csv").unlink()
    assert f"{images / 'metadata.csv'} does not exist" in opening(BadInput, images)
    assert "metadata.csv does not exist" in message(BadInput, lambda: open_dataset("shapes", images.parent))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not a UTF-8 CSV file"),
        (b"image_path,red,split\n", "no rows"),
        (b"image_path,red,split\n0.png,1,train,9\n", "not a UTF-8 CSV file"),
        (b"image_path,red,split\n\xff.png,1,train\n", "not a UTF-8 CSV file"),
        (b"red,split\n1,train\n", "neither of the columns image_path and text_path"),
        (b"image_path,text_path,red,split\na,b,1,train\n", "both of the columns"),
        (b"image_path,red\n0.png,1\n", "no column split"),
        (b"image_path,split\n0.png,train\n", "no label columns"),
        (b"image_path,class,material,split\n0.png,a,b,train\n", "no label columns"),
    ],
)
def test_malformed_metadata(images: Path, content: bytes, expected: str) -> None:
    (images / "metadata.csv").write_bytes(content)
    assert expected in opening(BadInput, images)


def test_a_metadata_file_cut_off_anywhere_is_an_error_or_whole_rows(texts: Path) -> None:
    edit(texts / "metadata.csv", "text_path,label,split", 'text_path,"a, ""b""",split')
    whole, full = (texts / "metadata.csv").read_bytes(), open_dataset(str(texts), texts.parent)
    assert [label.name for label in full.labels] == ['a, "b"']
    opened: dict[int, int] = {}
    for length in range(len(whole)):
        (texts / "metadata.csv").write_bytes(whole[:length])
        try:
            found = open_dataset(str(texts), texts.parent)
        except BadInput as error:
            assert "metadata.csv" in str(error)
            continue
        opened[length] = n = found.samples.height
        assert found.samples.equals(full.samples.head(n))
        assert found.sample_labels.equals(full.sample_labels.filter(full.sample_labels["sample"] < n))
    # Only where a line ends, or all but its line end is there: `data check` compares the number of rows.
    assert sorted(set(opened.values())) == [1, 2, 3]
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n")][1:]
    assert set(opened) == {at + k for at in ends for k in (0, 1)} - {len(whole)}


@pytest.mark.parametrize(
    ("header", "expected"), [("image_path,,split", "no name"), ("image_path,split,split", "occurs twice")]
)
def test_malformed_header(images: Path, header: str, expected: str) -> None:
    (images / "metadata.csv").write_text(f"{header}\n0.png,1,train\n")
    assert expected in opening(BadTable, images)


@pytest.mark.parametrize("name", ["1.png", "m1.png"])
def test_missing_image_or_mask(images: Path, name: str) -> None:
    (images / name).unlink()
    text = opening(MissingFile, images)
    assert f"{images / name} does not exist" in text
    assert "row 1 (line 3)" in text


def test_missing_text(texts: Path) -> None:
    (texts / "2.txt").unlink()
    text = opening(MissingFile, texts)
    assert "2.txt does not exist" in text
    assert "row 2 (line 4)" in text


def test_duplicate_rows(images: Path) -> None:
    edit(images / "metadata.csv", "\n2.png", "\n0.png")
    text = opening(BadTable, images)
    assert "0.png is already named in row 0 (line 2)" in text
    assert "row 2 (line 4)" in text


def test_empty_path(images: Path) -> None:
    edit(images / "metadata.csv", "\n1.png", "\n")
    text = opening(BadTable, images)
    assert "the path is empty" in text
    assert "row 1 (line 3)" in text


@pytest.mark.parametrize("split", ["valid", "", "Train"])
def test_unknown_split(images: Path, split: str) -> None:
    edit(images / "metadata.csv", ",cal,", f",{split},")
    text = opening(BadTable, images)
    assert f"{split!r} is not a split" in text
    assert "row 1 (line 3), column 'split'" in text
    assert "train, cal, test" in text


@pytest.mark.parametrize("value", ["2", "", "yes", "-1", "0.5"])
def test_label_value(images: Path, value: str) -> None:
    edit(images / "metadata.csv", "1.png,1,1,", f"1.png,1,{value},")
    text = opening(BadTable, images)
    assert f"the value is {value!r}" in text
    assert "row 1 (line 3), column 'round'" in text


def test_positive_row_without_mask(images: Path) -> None:
    edit(images / "metadata.csv", "m1.png", "")
    text = opening(BadTable, images)
    assert "carries 'red' and names no mask" in text
    assert "row 1 (line 3)" in text


@pytest.mark.parametrize("content", ["", " \n\t "])
def test_blank_text(texts: Path, content: str) -> None:
    (texts / "1.txt").write_text(content)
    text = opening(UnreadableFile, texts)
    assert "1.txt (row 1 (line 3)" in text
    assert "empty or blank" in text


def test_text_that_is_not_utf8(texts: Path) -> None:
    (texts / "1.txt").write_bytes("caf\xe9".encode("latin-1"))
    text = opening(UnreadableFile, texts)
    assert "1.txt (row 1 (line 3)" in text
    assert "not UTF-8 text (byte 3)" in text


def damaged(png: bytes, kind: str) -> bytes:
    return {"truncated": png[: len(png) // 2], "no image": b"not an image", "empty": b"", "header": png[:20]}[kind]


@pytest.mark.parametrize("kind", ["truncated", "no image", "empty", "header"])
def test_unreadable_image_and_mask(images: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(images / "1.png")
    for name in ("1.png", "m2.png"):
        (images / name).write_bytes(damaged((images / "1.png").read_bytes(), kind))
    dataset = open_dataset(str(images), images.parent)
    text = message(UnreadableFile, lambda: dataset.image(1))
    assert f"{images / '1.png'} (row 1 (line 3)" in text
    text = message(UnreadableFile, lambda: dataset.masks(2))
    assert f"{images / 'm2.png'} (row 2 (line 4)" in text


def test_damaged_bytes_never_escape_as_another_error(images: Path) -> None:
    rng = np.random.default_rng(1)
    good = (images / "1.png").read_bytes()
    dataset = open_dataset(str(images), images.parent)
    outcomes = set()
    for _ in range(300):
        content = bytearray(good)
        for position in rng.integers(0, len(good), 3):
            content[position] = int(rng.integers(256))
        (images / "1.png").write_bytes(bytes(content))
        try:
            dataset.image(1)
            outcomes.add("read")
        except UnreadableFile:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_image_of_16_bits(images: Path) -> None:
    Image.new("I;16", (10, 8), 3000).save(images / "1.png")
    dataset = open_dataset(str(images), images.parent)
    assert "more than 8 bits" in message(UnreadableFile, lambda: dataset.image(1))


def test_mask_of_three_channels(images: Path) -> None:
    Image.new("RGB", (10, 8)).save(images / "m1.png")
    dataset = open_dataset(str(images), images.parent)
    assert "one channel and this image has 3 (RGB)" in message(UnreadableFile, lambda: dataset.masks(1))


def test_mask_of_another_size(images: Path) -> None:
    Image.new("L", (8, 10)).save(images / "m1.png")
    dataset = open_dataset(str(images), images.parent)
    text = message(BadTable, lambda: dataset.masks(1))
    assert "m1.png is 8 x 10 pixels, its image 10 x 8" in text
    assert "row 1 (line 3)" in text


WORDS = "paragraph_id,sentence_id,word,irony\n1,1,one,0\n1,1,two,1\n1,1,three,0\n2,1,four,0\n2,1,five,0\n"


@pytest.mark.parametrize(
    ("old", "new", "position", "listed", "found"),
    [
        ("1,1,two,1\n", "1,1,TWO,1\n", 2, "TWO", "two"),
        ("1,1,three,0\n", "", 3, "(end of list)", "three"),
        ("1,1,three,0\n", "1,1,three,0\n1,1,four,0\n", 4, "four", "(end of text)"),
        ("1,1,two,1\n", "1,1,,1\n", 2, "", "two"),
    ],
)
def test_word_mismatch(texts: Path, old: str, new: str, position: int, listed: str, found: str) -> None:
    (texts / "word_level_x.csv").write_text(WORDS)
    edit(texts / "word_level_x.csv", old, new)
    text = opening(WordMismatch, texts)
    assert f"paragraph 1 ({texts / '0.txt'}): word {position} is {listed!r} in the list and {found!r} in the" in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1,1,two,1", "4,1,two,1", "row 1 (line 3), column 'paragraph_id': there is no paragraph 4"),
        ("1,1,two,1", "0,1,two,1", "there is no paragraph 0"),
        ("1,1,two,1", "x,1,two,1", "'x' is not a whole number"),
        ("1,1,two,1", "1,1,two,3", "row 1 (line 3), column 'irony': the value is '3'"),
    ],
)
def test_bad_word_rows(texts: Path, old: str, new: str, expected: str) -> None:
    (texts / "word_level_x.csv").write_text(WORDS)
    edit(texts / "word_level_x.csv", old, new)
    assert expected in opening(BadTable, texts)


def test_a_word_file_cut_off_anywhere_is_an_error_or_whole_paragraphs(texts: Path) -> None:
    content = WORDS.replace("irony", '"a, ""b"""').replace("\n", "\r\n").encode()
    (texts / "word_level_x.csv").write_bytes(b"\xef\xbb\xbf" + content)
    full = open_dataset(str(texts), texts.parent)
    assert [(label.name, label.source) for label in full.labels] == [("label", "metadata"), ('a, "b"', "word file")]
    assert full.word_labels(0) == {'a, "b"': [1]}
    opened = set()
    for length in range(len(content)):
        (texts / "word_level_x.csv").write_bytes(content[:length])
        try:
            found = open_dataset(str(texts), texts.parent)
        except BadInput as error:
            assert "word_level_x.csv" in str(error)
            continue
        opened.add(length)
        assert found.word_labels(0) == full.word_labels(0)
    ends = content.index(b"2,1,four"), len(content)
    assert opened == {ends[0] - 2, ends[0] - 1, ends[0], ends[1] - 2, ends[1] - 1}


@pytest.mark.parametrize("name", ["word_level_x.csv", "paragraph_level_x.csv"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_label_files_that_are_not_utf8(texts: Path, name: str, encoding: str) -> None:
    (texts / name).write_bytes("paragraph_id,word,caf\xe9\n1,one,0\n".encode(encoding))
    assert f"{texts / name} is not a UTF-8 CSV file" in opening(BadInput, texts)


def test_a_text_path_that_steps_out(texts: Path) -> None:
    (texts.parent / "secret.txt").write_text("secret")
    edit(texts / "metadata.csv", "1.txt", "../secret.txt")
    text = opening(BadTable, texts)
    assert "row 1 (line 3), column 'text_path': ../secret.txt steps out of a folder with '..'" in text
    assert "map it with --image-root or --text-root" in text


def test_a_text_of_crlf_lines_behind_a_byte_order_mark(texts: Path) -> None:
    (texts / "1.txt").write_bytes(b"\xef\xbb\xbffour\r\nfive\r\n")
    (texts / "word_level_x.csv").write_text(WORDS)
    assert open_dataset(str(texts), texts.parent).text(1) == "four\nfive\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("word_level_x.csv", "paragraph_id,irony\n1,0\n", "no column 'word'"),
        ("word_level_x.csv", "paragraph_id,word\n1,one\n", "no label columns"),
        ("paragraph_level_x.csv", "paragraph_id,irony\n1,0\n", "has 1 paragraphs and metadata.csv lists 3"),
        ("paragraph_level_x.csv", "paragraph_id,sentence\n1,a\n2,b\n3,c\n", "no label columns"),
    ],
)
def test_malformed_label_files(texts: Path, name: str, content: str, expected: str) -> None:
    (texts / name).write_text(content)
    assert expected in opening(BadInput, texts)


def test_paragraphs_out_of_order(texts: Path) -> None:
    (texts / "paragraph_level_x.csv").write_text("paragraph_id,irony\n1,0\n3,0\n2,0\n")
    text = opening(BadTable, texts)
    assert "row 1 (line 3), column 'paragraph_id': the paragraph is 3" in text


def test_two_word_files(texts: Path) -> None:
    for name in ("word_level_a.csv", "word_level_b.csv"):
        (texts / name).write_text(WORDS)
    assert "2 word_level files (word_level_a.csv, word_level_b.csv)" in opening(BadInput, texts)


NAMES = ['it\'s, "x"', "a;b -- c", "100% [b]y[/b]", "naïve ☂ ::"]


def test_label_names_of_any_characters_reach_the_metrics_as_they_are(tmp_path: Path) -> None:
    from published_folders import write_metadata
    from tiny import save_model
    from typer.testing import CliRunner

    from superact.cli.main import app

    root, words = tmp_path / "data" / "Odd", ["the", "quick", "brown", "fox", "dog", "laughs"]
    flags = [[(row + at) % 2 for at in range(4)] for row in range(24)]
    rows = [[f"{row}.txt", *flags[row], ("train", "cal", "test")[row // 2 % 3]] for row in range(24)]
    write_metadata(root, ["text_path", *NAMES, "split"], rows)
    listed = []
    for row in range(24):
        text = [words[(row + at) % 6] for at in range(4)]
        (root / f"{row}.txt").write_text(" ".join(text))
        listed += [[row + 1, word, *(flag * (at == 1) for flag in flags[row])] for at, word in enumerate(text)]
    with (root / "word_level_x.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["paragraph_id", "word", *NAMES], *listed])
    save_model(tmp_path / "m", "BertModel")
    where = ["--warehouse", str(tmp_path / "w")]
    folders = ["--data-root", str(tmp_path / "data"), "--model", str(tmp_path / "m")]
    choice = ["--layers", "1", "--methods", "avg", "--unit", "token", "--device", "cpu"]
    query = "SELECT label, count(*) AS n FROM localization GROUP BY label ORDER BY label"
    for command in (
        ["ingest", "--dataset", "Odd", *folders, *choice, *where, "-q"],
        ["eval", "--label", NAMES[0], *where, "-q"],
        ["eval", *where, "-q"],
        ["compare", *where],
        ["sql", query, "--format", "csv", *where],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    found = list(csv.reader(done.stdout.splitlines()))
    assert [label for label, _ in found[1:]] == sorted(NAMES)
