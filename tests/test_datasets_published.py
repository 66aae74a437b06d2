"""The seven published datasets: names, label lists, splits and counts, and which labels are evaluated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from published_folders import image_folder, write_metadata

from superact.datasets import Label, list_datasets, open_dataset
from superact.datasets.labels import evaluate_labels
from superact.datasets.published import PUBLISHED, PublishedDataset, dataset_name, find_published, published
from superact.datasets.splits import cal_tail_split, split_u, three_way_split
from superact.errors import BadInput

by_name = pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)


def test_which_there_are() -> None:
    assert [(one.name, one.slug, one.modality, len(one.labels), one.label_columns) for one in PUBLISHED] == [
        ("CLEVR", "clevr", "image", 6, 6),
        ("Coco", "coco", "image", 29, 91),
        ("Broden-Pascal", "broden-pascal", "image", 83, 94),
        ("Broden-OpenSurfaces", "broden-opensurfaces", "image", 26, 37),
        ("Sarcasm", "sarcasm", "text", 1, 1),
        ("iSarcasm", "isarcasm", "text", 1, 7),
        ("GoEmotions", "goemotions", "text", 14, 19),
    ]
    # What is kept and what is dropped by name make up all columns, where both are named.
    assert [one.name for one in PUBLISHED if len(one.labels) + len(one.dropped) == one.label_columns] == [
        *("CLEVR", "Sarcasm", "iSarcasm", "GoEmotions")
    ]


@by_name
def test_splits_are_the_published_ones(one: PublishedDataset) -> None:
    splits = one.splits()
    assert len(splits) == one.rows == sum(one.split_sizes)
    assert tuple(Counter(splits)[split] for split in ("train", "cal", "test")) == one.split_sizes
    if one.cal_tail is not None:
        assert set(splits[-one.cal_tail :]) == {"cal"}
        assert "cal" not in splits[: -one.cal_tail]


def test_split_rule_row_by_row() -> None:
    assert split_u(5).round(8).tolist() == [0.37454012, 0.95071431, 0.73199394, 0.59865848, 0.15601864]
    assert three_way_split(5) == ["train", "cal", "test", "train", "train"]
    assert cal_tail_split(7, 2) == ["train", "test", "train", "train", "train", "cal", "cal"]
    assert published("Sarcasm").splits()[:5] == three_way_split(1446)[:5] == ["train", "cal", "test", "train", "train"]
    assert published("CLEVR").splits()[:2] == ["train", "test"]


@by_name
def test_positives_give_the_published_floor(one: PublishedDataset) -> None:
    """F1 of always saying yes, weighted by test positives: a check sum over every label's count (contract section 6)."""
    n = one.split_sizes[2]
    positive = [test for _, _, test in one.positives.values()]
    assert round(sum(p * 2 * p / (n + p) for p in positive) / sum(positive), 4) == one.always_f1
    for counts in [*one.positives.values(), *one.dropped.values()]:
        assert all(0 < count <= size for count, size in zip(counts, one.split_sizes, strict=True))


def test_published_counts_of_reference_1_8() -> None:
    assert published("Coco").positives["person"] == (2147, 271, 546)
    assert round(sum(map(sum, published("Coco").positives.values())) / 5500, 2) == 3.27
    assert published("Broden-Pascal").positives["part::chain wheel"] == (173, 61, 66)
    assert round(sum(map(sum, published("Broden-Pascal").positives.values())) / 4503, 1) == 12.8
    assert round(sum(map(sum, published("Broden-OpenSurfaces").positives.values())) / 3578, 2) == 3.48
    assert sum(map(sum, published("CLEVR").positives.values())) == 2000  # two a picture
    assert published("iSarcasm").positives == {"sarcastic": (515, 174, 178)}
    assert sum(published("iSarcasm").positives["sarcastic"]) == 867
    assert list(published("GoEmotions").dropped) == [
        "disappointment",
        "disgust",
        "excitement",
        "realization",
        "surprise",
    ]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("CLEVR", "CLEVR"),
        ("coco", "Coco"),
        ("Broden_Pascal", "Broden-Pascal"),
        ("Augmented_iSarcasm", "iSarcasm"),
        ("augmented-goemotions", "GoEmotions"),
        ("CLEVR-Mini", None),
        ("Augmented_Sarcasm", None),
        ("123", None),
    ],
)
def test_folder_names(folder: str, name: str | None) -> None:
    found = find_published(folder)
    assert (None if found is None else found.name) == name
    assert dataset_name(folder) == (name or folder)


def text_folder(root: Path, labels: tuple[str, ...] = ("sarcastic", "irony")) -> Path:
    write_metadata(root, ["text_path", *labels, "split"], [["1.txt", 1, *[0] * (len(labels) - 1), "train"]])
    (root / "1.txt").write_text("oh great")
    return root


@pytest.mark.parametrize("ref", ["Augmented_iSarcasm", "iSarcasm", "isarcasm", "augmented-isarcasm", "ISARCASM"])
@pytest.mark.parametrize("folder", ["Augmented_iSarcasm", "iSarcasm"])
def test_either_folder_name_opens_the_dataset(tmp_path: Path, ref: str, folder: str) -> None:
    root = text_folder(tmp_path / folder)
    dataset = open_dataset(ref, tmp_path)
    assert (dataset.name, dataset.slug, dataset.root) == ("iSarcasm", "isarcasm", root)
    assert list_datasets(tmp_path)["name"].to_list() == ["iSarcasm"]


def test_a_link_under_the_other_name_is_no_second_dataset(tmp_path: Path) -> None:
    text_folder(tmp_path / "Augmented_iSarcasm")
    (tmp_path / "iSarcasm").symlink_to("Augmented_iSarcasm", target_is_directory=True)
    for ref in ("iSarcasm", "Augmented_iSarcasm", "isarcasm"):
        assert open_dataset(ref, tmp_path).name == "iSarcasm"
    assert list_datasets(tmp_path).height == 1


def test_two_folders_of_one_published_dataset(tmp_path: Path) -> None:
    text_folder(tmp_path / "Augmented_iSarcasm")
    text_folder(tmp_path / "iSarcasm")
    for ref in ("iSarcasm", "Augmented_iSarcasm"):
        with pytest.raises(BadInput, match=r"Augmented_iSarcasm and iSarcasm .* one slug, 'isarcasm'"):
            open_dataset(ref, tmp_path)


COCO_COLUMNS = ("person", "cat", "dining table", "vehicle", "handbag")


def evaluated(dataset: object) -> list[str]:
    return [label.name for label in dataset.labels if label.evaluated]  # type: ignore[attr-defined]


def test_published_lists_are_the_default_and_all_lifts_them(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "Coco", COCO_COLUMNS, [[1, 1, 0, 0, 0]])
    dataset = open_dataset("coco", tmp_path)
    assert [label.name for label in dataset.labels] == list(COCO_COLUMNS)
    assert evaluated(dataset) == ["person", "dining table", "vehicle"]
    assert evaluated(open_dataset("coco", tmp_path, labels="all")) == list(COCO_COLUMNS)
    assert evaluated(open_dataset("coco", tmp_path, labels="cat,person")) == ["person", "cat"]
    assert evaluated(open_dataset("coco", tmp_path, labels=["handbag"])) == ["handbag"]
    assert dataset.sample_labels.rows() == [(0, "cat"), (0, "person")]
    assert evaluated(evaluate_labels(open_dataset(str(root), tmp_path, labels="all"))) == evaluated(dataset)


def test_another_dataset_evaluates_everything(tmp_path: Path) -> None:
    image_folder(tmp_path / "Mine", COCO_COLUMNS, [[1, 1, 0, 0, 0]])
    assert evaluated(open_dataset("Mine", tmp_path)) == list(COCO_COLUMNS)
    assert open_dataset("Mine", tmp_path).notes == ()


def test_a_folder_with_a_published_name_and_none_of_its_labels(tmp_path: Path) -> None:
    image_folder(tmp_path / "Coco", ["sky", "grass"], [[1, 1]])
    dataset = open_dataset("Coco", tmp_path)
    assert evaluated(dataset) == ["sky", "grass"]
    assert dataset.notes[-1] == (
        "Coco has none of the labels that are published under this name: all of its own are evaluated"
    )
    assert len(dataset.notes) == len(open_dataset("Coco", tmp_path, labels="all").notes) + 1


def test_label_names_with_commas_and_quotation_marks(tmp_path: Path) -> None:
    names = ['a, "b"', "c", "d e"]
    image_folder(tmp_path / "Mine", names, [[1, 0, 1]])
    dataset = open_dataset("Mine", tmp_path, labels='"a, ""b""", d e')
    assert dataset.labels == [Label(names[0], "metadata"), Label("c", "metadata", False), Label("d e", "metadata")]
    assert dataset.sample_labels.rows() == [(0, 'a, "b"'), (0, "d e")]


@pytest.mark.parametrize("labels", ["cat,nobody", ["nobody"]])
def test_unknown_labels_are_named(tmp_path: Path, labels: str | list[str]) -> None:
    image_folder(tmp_path / "Coco", COCO_COLUMNS, [[1, 1, 0, 0, 0]])
    with pytest.raises(BadInput, match=r"Coco has no label 'nobody'.*published, all, or some of: person, cat"):
        open_dataset("Coco", tmp_path, labels=labels)


@pytest.mark.parametrize("labels", [" , ", []])
def test_no_label_named(tmp_path: Path, labels: str | list[str]) -> None:
    image_folder(tmp_path / "Coco", COCO_COLUMNS, [[1, 1, 0, 0, 0]])
    with pytest.raises(BadInput, match="No label of Coco is named"):
        open_dataset("Coco", tmp_path, labels=labels)


def test_broden_labels_with_and_without_their_kind() -> None:
    one = published("Broden-OpenSurfaces")
    columns = ["material::wood", "color::red-c", "wood", "tile", "other::fur", "brick-c"]
    assert one.kept(columns) == {
        "material::wood": "material::wood",
        "tile": "material::tile",
        "other::fur": "material::fur",
    }
    assert published("Broden-Pascal").kept(["part::chain wheel", "object::wood", "color::blue-c"]) == {
        "part::chain wheel": "part::chain wheel",
        "object::wood": "object::wood",
    }


@by_name
def test_no_two_labels_of_a_dataset_differ_in_their_kind_alone(one: PublishedDataset) -> None:
    assert len({label.rpartition("::")[2] for label in one.labels}) == len(one.labels)
    assert one.kept(one.labels) == {label: label for label in one.labels}
    assert list(one.kept(label.rpartition("::")[2] for label in one.labels).values()) == list(one.labels)


def test_notes_say_what_a_published_folder_lacks(tmp_path: Path) -> None:
    text_folder(tmp_path / "iSarcasm")
    (note,) = open_dataset("iSarcasm", tmp_path).notes
    assert note == (
        "iSarcasm has no word_level_sarcasm.csv (labels of words): only whole texts are labelled, and thresholds take "
        "the rule for that"
    )
    image_folder(tmp_path / "CLEVR", ["color::red"], [[1]])
    assert [note.split(":")[0] for note in open_dataset("CLEVR", tmp_path).notes] == [
        "CLEVR has no object_segmentations.pt (a foreground mask for each image)"
    ]
    image_folder(tmp_path / "Coco", ["person"], [[1]])
    assert len(open_dataset("Coco", tmp_path).notes) == 2
    text_folder(tmp_path / "Mine")
    assert open_dataset("Mine", tmp_path).notes == ()


def test_word_and_paragraph_files_under_their_published_names(tmp_path: Path) -> None:
    """Paragraphs count from 1; one may be missing from the word file; cls labels come from the paragraph file."""
    root = tmp_path / "Augmented_GoEmotions"
    texts = ["What a joy", "no words are listed here", 'so "very, very" sad']
    write_metadata(
        root,
        ["text_path", "joy", "surprise", "split"],
        [[f"paragraphs/paragraph_{row + 1:06}.txt", 0, 0, "train"] for row in range(3)],
    )
    (root / "paragraphs").mkdir()
    for row, text in enumerate(texts):
        (root / f"paragraphs/paragraph_{row + 1:06}.txt").write_text(text)
    (root / "paragraph_level_emotion.csv").write_bytes(
        b"\xef\xbb\xbfparagraph_id,sentence_id,sentence,joy,surprise,sentiment_label\r\n"
        b'1,1,"What a joy",1,1,x\r\n2,1,y,0,0,\r\n3,1,z,0,1,\r\n'
    )
    (root / "word_level_emotion.csv").write_bytes(
        b"\xef\xbb\xbfparagraph_id,sentence_id,word,joy,surprise,sentiment_label\r\n"
        b"1,1,What,0,1,a\r\n1,1,a,0,0,b\r\n1,1,joy,1,0,c\r\n"
        b'3,1,so,0,0,d\r\n3,1,"""very,",0,1,e\r\n3,1,"very""",0,1,f\r\n3,1,sad,0,0,g\r\n'
    )
    dataset = open_dataset("GoEmotions", tmp_path)
    assert dataset.labels == [Label("joy", "word file"), Label("surprise", "word file", evaluated=False)]
    assert dataset.sample_labels.rows() == [(0, "joy"), (0, "surprise"), (2, "surprise")]
    assert [dataset.word_labels(sample) for sample in range(3)] == [
        {"joy": [2], "surprise": [0]},
        {},
        {"surprise": [1, 2]},
    ]
    assert dataset.notes == ()


@by_name
def test_every_file_says_where_to_get_it(one: PublishedDataset) -> None:
    assert one.files[0].patterns == ("metadata.csv",)
    for file in one.files:
        assert file.patterns and file.what and file.source
        assert file.needed == (not file.without)
