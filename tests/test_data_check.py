"""`data check`: right folders are right, and each thing that is wrong is found beside the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from build_sources import broden_release, coco_release, real
from PIL import Image
from published_folders import image_folder
from test_data_describe import published_folder
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets.builders import build
from superact.datasets.check import WRONG, check
from superact.datasets.published import PUBLISHED, PublishedDataset, published
from superact.errors import BadInput


def found(name: str, root: Path) -> dict[tuple[str, str], list[str]]:
    """(check, result) -> details."""
    listed: dict[tuple[str, str], list[str]] = {}
    for finding in check(name, root):
        listed.setdefault((finding.check, finding.result), []).append(finding.detail)
    return listed


def words(root: Path) -> Path:
    source = root / "in"
    source.mkdir()
    (source / "word_level_x.csv").write_text("paragraph_id,word,joy\n1,oh,1\n2,all,0\n3,is,1\n3,well,0\n2,good,1\n")
    build("sarcasm", source, root / "texts")
    return root / "texts"


@pytest.mark.parametrize(
    ("recipe", "parts", "name"),
    [
        ("goemotions", ("goemotions",), "GoEmotions"),
        ("isarcasm", ("isarcasmeval",), "iSarcasm"),
    ],
)
def test_what_was_built_is_right(tmp_path: Path, recipe: str, parts: tuple[str, ...], name: str) -> None:
    build(recipe, real(*parts), tmp_path / name)
    listed = check(name, tmp_path)
    assert {finding.result for finding in listed} == {"ok", "note"}
    n = len(published(name).positives) + len(published(name).dropped)
    details = [finding.detail for finding in listed]
    assert f"{n} of {n} labels have their published positives in every split" in details


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)
def test_published_counts_are_compared_without_the_files(tmp_path: Path, one: PublishedDataset) -> None:
    root = published_folder(tmp_path, one)
    listed = found(one.name, tmp_path)
    n = len(one.positives) + len(one.dropped)
    assert listed["rows", "ok"] == [f"{one.rows:,} rows, as published"]
    assert listed["splits", "ok"][0].endswith("every row as published")
    have = "1 label has its" if n == 1 else f"{n} labels have their"
    assert listed["positives", "ok"] == [f"{n} of {have} published positives in every split"]
    named = "the published label" if len(one.labels) == 1 else f"all {len(one.labels)} published labels"
    named += f", and {len(one.dropped)} that are not evaluated" if one.dropped else ""
    assert listed["labels", "ok" if n == one.label_columns else "note"] == [named]
    assert ("positives", "wrong") not in listed
    assert listed["paths", "missing"][0].startswith(
        f"{one.rows:,} of {one.rows:,} files of {one.modality}_path do not exist"
    )
    assert any("Get it from" in detail for detail in listed["files", "missing"])
    # One flag and one split changed: both are found.
    lines = (root / "metadata.csv").read_text().splitlines()
    row = next(k for k, line in enumerate(lines) if line.endswith(",test") and line.split(",")[1] == "1")
    cells = lines[row].split(",")
    lines[row] = ",".join([cells[0], "0", *cells[2:-1], "cal"])
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    listed = found(one.name, tmp_path)
    assert listed["splits", "wrong"][0].startswith(
        f"1 row is in another split than published, the first of them row {row - 1}"
    )
    label = one.labels[0]
    train, cal, test = one.positives[label]
    wanted = f"{label}: train {train:,}, cal {cal:,}, test {test - 1:,}; published: train {train:,}, cal {cal:,}, test {test:,}"
    assert wanted in listed["positives", "wrong"]


def test_words_that_are_not_those_of_the_text(tmp_path: Path) -> None:
    root = words(tmp_path)
    assert not [one for one in check("texts", tmp_path) if one.result in WRONG]
    (root / "paragraphs" / "paragraph_000002.txt").write_text("all bad")
    (root / "paragraphs" / "paragraph_000003.txt").write_bytes(b"\xff")
    (root / "paragraphs" / "paragraph_000001.txt").unlink()
    listed = found("texts", tmp_path)
    assert listed["words", "wrong"] == [
        "1 of 3 word lists differs from its text: paragraph 2 has 'good' in the list and 'bad' in the text at word 2"
    ]
    assert listed["texts", "wrong"] == [
        "1 cannot be read: paragraphs/paragraph_000003.txt: it is not UTF-8 text (byte 0)"
    ]
    assert listed["paths", "missing"] == ["1 of 3 files of text_path does not exist: paragraphs/paragraph_000001.txt"]
    assert ("opening", "wrong") in listed


def test_masks(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "pictures", ["cat", "dog"], [[1, 0], [0, 1], [1, 1]], size=(6, 4))
    table = (root / "metadata.csv").read_text().splitlines()
    names = ["mask_path", "m0.png", "m1.png", "m2.png"]
    (root / "metadata.csv").write_text("".join(f"{a},{b}\n" for a, b in zip(table, names, strict=True)))
    for k, (size, shade) in enumerate([((6, 4), 255), ((6, 4), 0), ((4, 6), 255)]):
        Image.fromarray(np.full(size[::-1], shade, np.uint8)).save(root / f"m{k}.png")
    listed = found("pictures", tmp_path)
    assert listed["masks", "wrong"] == ["of 1 image: row 2 (line 4): m2.png is 4 x 6 pixels, its image 6 x 4"]
    assert listed["masks", "warning"] == [
        "1 label that a row carries has a mask without a pixel, so no patch of theirs is positive: dog 1"
    ]
    (root / "images" / "0.png").write_bytes(b"no picture")
    assert found("pictures", tmp_path)["images", "wrong"][0].startswith(
        "1 cannot be read: row 0 (line 2): cannot identify"
    )


def test_padding_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    build("broden", broden_release(tmp_path / "in"), tmp_path / "P", part="pascal")
    file = tmp_path / "P" / "patches_w_image_mask_inputsize_(224, 224).pt"
    torch.save(torch.ones(2 * 256, dtype=torch.int32), file)
    assert found("P", tmp_path)["padding", "ok"] == [f"{file.name}: as the image sizes give it"]
    torch.save(torch.ones(2 * 255, dtype=torch.int32), file)
    assert "it has 510 entries, and 2 images have 512 patches" in found("P", tmp_path)["padding", "wrong"][0]


def test_a_label_without_a_mask(tmp_path: Path) -> None:
    root = build("coco", coco_release(tmp_path / "in"), tmp_path / "small", n_cal=3).path
    assert found("small", tmp_path)["masks", "ok"] == ["13 masks of the shape of the image, each with a pixel"]
    lines = (root / "metadata.csv").read_text().splitlines()
    lines[1] = lines[1].replace(",1,0,0,", ",1,0,1,", 1)
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert found("small", tmp_path)["masks", "warning"][0].endswith("positive: bottle 1")


def test_labels_of_texts_without_a_word(tmp_path: Path) -> None:
    """What a word file that was cut off between two paragraphs looks like."""
    root = words(tmp_path)
    lines = (root / "word_level_sarcasm.csv").read_text().splitlines(keepends=True)
    (root / "word_level_sarcasm.csv").write_text("".join(line for line in lines if not line.startswith("3,")))
    listed = found("texts", tmp_path)
    assert listed["words", "warning"] == [
        "1 label that a text carries has no word, so no token of theirs is positive: joy 1"
    ]
    assert listed["words", "ok"][0].startswith(
        "the words of 2 texts, in word_level_sarcasm.csv, are those of the texts; "
    )


def test_counts_of_one_and_of_many(tmp_path: Path) -> None:
    image_folder(tmp_path / "one", ["cat"], [[1]], splits=["train"])
    listed = found("one", tmp_path)
    assert listed["rows", "ok"] == ["1 row"]
    assert listed["labels", "ok"] == ["1 label"]
    assert listed["paths", "ok"] == ["the file of image_path is there"]
    assert listed["images", "ok"] == ["1 image opens, of 40 x 30 pixels"]
    assert listed["positives", "warning"] == [
        f"1 of 1 label has no positive in split {split}: cat" for split in ("cal", "test")
    ]
    assert listed["opening", "ok"] == ["opens as one: 1 image, 1 label, labels of whole samples only"]
    image_folder(tmp_path / "two", ["cat", "dog"], [[1, 0], [1, 0]], splits=["train", "test"])
    listed = found("two", tmp_path)
    assert listed["paths", "ok"] == ["all 2 files of image_path are there"]
    assert listed["images", "ok"] == ["2 images open, of 40 x 30 pixels"]
    assert listed["positives", "warning"] == [
        "1 of 2 labels has no positive in split train: dog",
        "2 of 2 labels have no positive in split cal: cat, dog",
        "1 of 2 labels has no positive in split test: dog",
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("segmentations.pt", b"no tensors", "segmentations.pt is no PyTorch file of tensors"),
        (
            "instances_val2017.json",
            b'{"images": [',
            "instances_val2017.json is not an annotation file of COCO instances",
        ),
    ],
)
def test_an_unreadable_file_of_all_masks_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, says: str
) -> None:
    from superact.datasets import coco, masks

    image_folder(tmp_path / "pictures", ["cat", "dog"], [[1, 0], [0, 1], [1, 1]])
    (tmp_path / "pictures" / name).write_bytes(content)
    reads: list[Path] = []
    for module, reader in ((masks, "load_tensors"), (coco, "read_annotations")):
        original = getattr(module, reader)
        monkeypatch.setattr(
            module, reader, lambda path, *rest, original=original: (reads.append(path), original(path, *rest))[1]
        )
    (detail,) = found("pictures", tmp_path)["masks", "wrong"]
    assert detail.startswith(says)
    assert reads == [tmp_path / "pictures" / name]


def test_the_command(tmp_path: Path) -> None:
    words(tmp_path)
    arguments = ["data", "check", "texts", "--data-root", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--format", "json"])
    rows = json.loads(done.stdout)
    assert done.exit_code == 0
    assert rows[0] == {
        "check": "dataset",
        "result": "note",
        "detail": "texts is none of the published datasets: no counts are compared",
    }
    (tmp_path / "texts" / "metadata.csv").unlink()
    done = CliRunner().invoke(app, [*arguments, "--format", "csv"])
    assert done.exit_code == 3
    assert "metadata,missing," in done.stdout and "metadata.csv does not exist" in done.stdout
    assert done.stderr == "texts: 1 missing\n"
    with pytest.raises(BadInput, match="No dataset 'nothing'"):
        check("nothing", tmp_path)
