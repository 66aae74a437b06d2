"""Opening dataset folders: names, samples, labels, masks, words, digests and splits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from superact.datasets import Dataset, Label, list_datasets, open_dataset, slug
from superact.datasets.splits import cal_tail_split, split_u, three_way_split
from superact.errors import BadInput


def image_folder(root: Path, masks: bool = True) -> Path:
    """Three images of 6 x 4 pixels: a red one in train, one without labels in cal, a red and round one in test."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for index in range(3):
        Image.new("RGB", (6, 4), (index * 50, 10, 200)).save(root / f"images/{index}.png")
        mask = np.zeros((4, 6), np.uint8)
        mask[index, 1:3] = 7
        Image.fromarray(mask).save(root / f"masks/{index}.png")
    rows = ["images/0.png,red_thing,1,0,train", "images/1.png,x,0,0,cal", "images/2.png,x,1,1,test"]
    header = "image_path,class,color::red,round,split"
    if masks:
        header += ",mask_path"
        rows = [f"{row},{'' if index == 1 else f'masks/{index}.png'}" for index, row in enumerate(rows)]
    (root / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def text_folder(root: Path, texts: tuple[str, ...] = ("Oh great news", "plain  text\n", "so so sad")) -> Path:
    (root / "paragraphs").mkdir(parents=True)
    rows = ["text_path,meta,split"]
    for index, text in enumerate(texts):
        (root / f"paragraphs/{index + 1}.txt").write_text(text, encoding="utf-8")
        rows.append(f"paragraphs/{index + 1}.txt,{index % 2},{('train', 'cal', 'test')[index % 3]}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root


def add_word_files(root: Path) -> Path:
    """Labels of the two files overlap in `irony`; paragraph 2 is absent from the word file."""
    (root / "paragraph_level_x.csv").write_text(
        "paragraph_id,sentence_id,sentence,irony,mood,sentiment_label\n1,1,Oh,1,0,neg\n2,1,p,0,1,\n3,1,s,1,1,pos\n"
    )
    (root / "word_level_x.csv").write_text(
        "paragraph_id,sentence_id,word,irony,sad,sentiment_label\n"
        "1,1,Oh,0,0,a\n1,1,great,1,0,b\n1,1,news,1,0,c\n3,1,so,0,1,d\n3,1,so,0,0,e\n3,1,sad,0,1,f\n"
    )
    return root


def test_slug() -> None:
    assert slug("CLEVR-Mini") == "clevr-mini"
    assert slug("Augmented_iSarcasm (v1.2)") == "augmented-isarcasm-v1.2"
    assert slug("2024_-_Data") == "data"


@pytest.mark.parametrize("name", ["", "123", "日本", "_-."])
def test_slug_of_nothing(name: str) -> None:
    with pytest.raises(BadInput, match="no letter of a-z"):
        slug(name)


def test_image_dataset(tmp_path: Path) -> None:
    dataset = open_dataset("shapes", image_folder(tmp_path / "Shapes").parent)
    assert (dataset.name, dataset.slug, dataset.modality, dataset.licence) == ("Shapes", "shapes", "image", None)
    assert dataset.labels == [Label("color::red", "mask"), Label("round", "mask")]
    assert dataset.samples.schema == {"sample": pl.Int32, "path": pl.String, "split": pl.String}
    assert dataset.samples.rows() == [
        (0, "images/0.png", "train"),
        (1, "images/1.png", "cal"),
        (2, "images/2.png", "test"),
    ]
    assert dataset.sample_labels.schema == {"sample": pl.Int32, "label": pl.String}
    assert dataset.sample_labels.rows() == [(0, "color::red"), (2, "color::red"), (2, "round")]
    assert dataset.has_token_labels
    assert dataset.image(1).mode == "RGB"
    assert dataset.image(1).getpixel((0, 0)) == (50, 10, 200)


def test_masks_only_for_carried_labels(tmp_path: Path) -> None:
    dataset = open_dataset("S", image_folder(tmp_path / "S").parent)
    masks = dataset.masks(2)
    assert list(masks) == ["color::red", "round"]
    expected = np.zeros((4, 6), bool)
    expected[2, 1:3] = True
    assert masks["round"].dtype == bool
    assert np.array_equal(masks["round"], expected)
    assert np.array_equal(masks["color::red"], expected)
    assert list(dataset.masks(0)) == ["color::red"]
    assert dataset.masks(1) == {}


def test_images_without_masks(tmp_path: Path) -> None:
    dataset = open_dataset("S", image_folder(tmp_path / "S", masks=False).parent)
    assert not dataset.has_token_labels
    assert {label.source for label in dataset.labels} == {"metadata"}
    assert dataset.masks(0) == {}


def test_exif_orientation_is_left_alone(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "S")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(root / "images/0.png", exif=exif)
    dataset = open_dataset("S", tmp_path)
    assert dataset.image(0).size == (6, 4)
    assert dataset.masks(0)["color::red"].shape == (4, 6)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_any_pixel_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    root = image_folder(tmp_path / "S")
    Image.new(mode, (6, 4)).save(root / "images/0.png", format="TIFF")
    assert open_dataset("S", tmp_path).image(0).mode == "RGB"


@pytest.mark.parametrize("mode", ["1", "P", "I;16"])
def test_single_channel_masks_of_any_depth(tmp_path: Path, mode: str) -> None:
    root = image_folder(tmp_path / "S")
    mask = Image.new(mode, (6, 4))
    mask.putpixel((3, 1), 1)
    mask.save(root / "masks/0.png")
    found = open_dataset("S", tmp_path).masks(0)["color::red"]
    assert np.argwhere(found).tolist() == [[1, 3]]


def test_text_dataset_from_metadata(tmp_path: Path) -> None:
    dataset = open_dataset("T", text_folder(tmp_path / "T").parent)
    assert (dataset.modality, dataset.has_token_labels) == ("text", False)
    assert dataset.labels == [Label("meta", "metadata")]
    assert dataset.sample_labels.rows() == [(1, "meta")]
    assert dataset.text(1) == "plain  text\n"
    assert dataset.word_labels(1) == {}


def test_text_dataset_with_word_files(tmp_path: Path) -> None:
    dataset = open_dataset("T", add_word_files(text_folder(tmp_path / "T")).parent)
    assert dataset.labels == [Label("irony", "word file"), Label("mood", "metadata"), Label("sad", "word file")]
    assert dataset.sample_labels.rows() == [(0, "irony"), (1, "mood"), (2, "irony"), (2, "mood")]
    assert dataset.has_token_labels
    assert dataset.word_labels(0) == {"irony": [1, 2]}
    assert dataset.word_labels(1) == {}
    assert dataset.word_labels(2) == {"sad": [0, 2]}


def test_word_file_without_paragraph_file(tmp_path: Path) -> None:
    root = add_word_files(text_folder(tmp_path / "T"))
    (root / "paragraph_level_x.csv").unlink()
    dataset = open_dataset("T", tmp_path)
    assert [label.name for label in dataset.labels] == ["meta", "irony", "sad"]
    assert dataset.sample_labels.rows() == [(1, "meta")]


def test_word_rows_of_a_paragraph_may_be_scattered(tmp_path: Path) -> None:
    root = add_word_files(text_folder(tmp_path / "T"))
    rows = ["3,1,so,0,1", "1,1,Oh,0,0", "3,1,so,0,0", "1,1,great,1,0", "3,1,sad,0,1", "1,1,news,1,0"]
    (root / "word_level_x.csv").write_text("\n".join(["paragraph_id,sentence_id,word,irony,sad", *rows]))
    dataset = open_dataset("T", tmp_path)
    assert dataset.word_labels(0) == {"irony": [1, 2]}
    assert dataset.word_labels(2) == {"sad": [0, 2]}


def test_words_with_quotes_and_commas(tmp_path: Path) -> None:
    root = text_folder(tmp_path / "T", ('She said "well, fine"', "a", "b"))
    (root / "word_level_x.csv").write_text('paragraph_id,word,irony\n1,She,0\n1,said,0\n1,"""well,",1\n1,"fine""",1\n')
    assert open_dataset("T", tmp_path).word_labels(0) == {"irony": [2, 3]}


def test_crlf_and_byte_order_mark(tmp_path: Path) -> None:
    root = text_folder(tmp_path / "T")
    table = root / "metadata.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    (root / "paragraphs/1.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    dataset = open_dataset("T", tmp_path)
    assert dataset.samples.height == 3
    assert dataset.text(0) == "one\ntwo"


@pytest.mark.parametrize("sample", [-1, 3])
def test_sample_out_of_range(tmp_path: Path, sample: int) -> None:
    dataset = open_dataset("T", text_folder(tmp_path / "T").parent)
    with pytest.raises(IndexError, match="samples 0 to 2"):
        dataset.text(sample)


def test_wrong_modality(tmp_path: Path) -> None:
    dataset = open_dataset("T", text_folder(tmp_path / "T").parent)
    with pytest.raises(BadInput, match="a dataset of texts; its samples have no image"):
        dataset.image(0)


def test_licence_is_the_first_line_with_text(tmp_path: Path) -> None:
    root = text_folder(tmp_path / "T")
    (root / "LICENSE.md").write_text("\n# CC BY 4.0\nmore\n")
    assert open_dataset("T", tmp_path).licence == "CC BY 4.0"


def reopened(root: Path) -> Dataset:
    return open_dataset(str(root), root.parent)


def test_digest_changes_with_every_file(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "S")
    first = reopened(root).digest()
    assert len(first) == 64
    assert reopened(root).digest() == first
    (root / "README").write_text("not part of the data")
    assert reopened(root).digest() == first
    seen = {first}
    for name in ("images/1.png", "masks/2.png", "metadata.csv"):
        path = root / name
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(reopened(root).digest())
    assert len(seen) == 4
    text = add_word_files(text_folder(tmp_path / "T"))
    before = reopened(text).digest()
    (text / "word_level_x.csv").write_text((text / "word_level_x.csv").read_text().replace("1,1,Oh,0", "1,1,Oh,1"))
    assert reopened(text).digest() != before


def test_digest_sees_bytes_that_move_between_files(tmp_path: Path) -> None:
    one = text_folder(tmp_path / "one", ("ab", "c", "d"))
    other = text_folder(tmp_path / "other", ("a", "bc", "d"))
    same = text_folder(tmp_path / "same", ("ab", "c", "d"))
    assert reopened(one).digest() != reopened(other).digest()
    assert reopened(one).digest() == reopened(same).digest()


def test_digest_names_a_file_that_has_gone(tmp_path: Path) -> None:
    dataset = open_dataset("T", text_folder(tmp_path / "T").parent)
    (tmp_path / "T/paragraphs/2.txt").unlink()
    with pytest.raises(BadInput, match=r"2\.txt cannot be read"):
        dataset.digest()


@pytest.mark.parametrize("ref", ["My_Texts", "my_texts", "MY_TEXTS", "my-texts", "My-Texts"])
def test_names_by_case_and_slug(tmp_path: Path, ref: str) -> None:
    text_folder(tmp_path / "My_Texts")
    assert open_dataset(ref, tmp_path).name == "My_Texts"


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = text_folder(tmp_path / "elsewhere" / "T")
    assert open_dataset(str(root), tmp_path / "Data").root == root
    monkeypatch.chdir(root)
    assert open_dataset(".", tmp_path / "Data").name == "T"
    assert open_dataset("../T", tmp_path / "Data").name == "T"
    monkeypatch.chdir(root.parent)
    assert open_dataset("T", tmp_path / "Data").name == "T"


def test_a_link_is_called_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "Sarcasm").symlink_to(text_folder(tmp_path / "Augmented_Sarcasm"), target_is_directory=True)
    assert open_dataset("sarcasm", tmp_path).name == "Sarcasm"


def test_unknown_dataset_says_what_is_there(tmp_path: Path) -> None:
    text_folder(tmp_path / "Known")
    with pytest.raises(BadInput) as error:
        open_dataset("unknwon", tmp_path)
    for part in ("unknwon", str(tmp_path), "Known", "metadata.csv"):
        assert part in str(error.value)
    with pytest.raises(BadInput, match=r"the folder .*missing does not exist"):
        open_dataset(str(tmp_path / "missing"), tmp_path)
    with pytest.raises(BadInput, match="nothing"):
        open_dataset("x", tmp_path / "no-such-root")


def test_two_folders_with_one_slug(tmp_path: Path) -> None:
    text_folder(tmp_path / "My_Texts")
    text_folder(tmp_path / "My-Texts")
    for ref in ("My_Texts", "my-texts"):
        with pytest.raises(BadInput, match=r"My-Texts and My_Texts .* one slug, 'my-texts'"):
            open_dataset(ref, tmp_path)
    with pytest.raises(BadInput, match="one slug"):
        list_datasets(tmp_path)


def test_list_datasets(tmp_path: Path) -> None:
    image_folder(tmp_path / "Shapes")
    add_word_files(text_folder(tmp_path / "Lines", ("Oh great news", "a", "so so sad")))
    (tmp_path / "notes").mkdir()
    listed = list_datasets(tmp_path)
    assert listed.columns == ["name", "slug", "modality", "samples", "labels", "train", "cal", "test", "source"]
    assert listed.rows() == [
        ("Lines", "lines", "text", 3, 3, 1, 1, 1, "folder"),
        ("Shapes", "shapes", "image", 3, 2, 1, 1, 1, "folder"),
    ]
    empty = list_datasets(tmp_path / "none")
    assert empty.height == 0
    assert empty.schema == listed.schema


def test_published_split_counts() -> None:
    assert Counter(cal_tail_split(1000)) == {"train": 634, "cal": 200, "test": 166}
    assert Counter(cal_tail_split(5500, 500)) == {"train": 4001, "cal": 500, "test": 999}
    expected = {4503: (2703, 891, 909), 3578: (2118, 717, 743), 1446: (861, 300, 285), 1734: (1028, 357, 349)}
    for n, counts in expected.items():
        found = Counter(three_way_split(n))
        assert tuple(found[split] for split in ("train", "cal", "test")) == counts
    assert cal_tail_split(1) == ["cal"]
    assert split_u(3).round(8).tolist() == [0.37454012, 0.95071431, 0.73199394]


def test_import_needs_no_torch_or_pillow() -> None:
    code = "import superact.datasets, superact.datasets.clevr, sys; print(sorted({'torch', 'PIL', 'rich'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
