"""The seven published datasets: how they are recognised, what their files are, and what must come out when they are read.

    find_published("Augmented_iSarcasm").name       # 'iSarcasm'
    published("Coco").labels                        # the 29 labels that are evaluated

A folder is one of them by its name alone (any case, or the slug). Numbers are those of the published metadata files
(reference sections 1.1, 1.7 and 1.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from superact.datasets import published_labels as counts
from superact.datasets.base import slug, slug_or_empty
from superact.datasets.splits import cal_tail_split, three_way_split

ARCHIVE = "the published data archive (linked in the README of github.com/BrachioLab/SuperActivators)"
_COCO = "cocodataset.org, annotations_trainval2017.zip"


@dataclass(frozen=True)
class DataFile:
    """A file or a family of files that a published dataset is read from.

    `patterns` are globs relative to the dataset's folder, in the order in which they are looked for (`../` steps to a folder
    beside it): one that matches is enough. `what` says what it holds, `source` where to get it. Without a file that is not
    `needed` the dataset opens all the same: `without` says what is then different.
    """

    patterns: tuple[str, ...]
    what: str
    source: str
    needed: bool = True
    without: str = ""


@dataclass(frozen=True)
class PublishedDataset:
    """What is known of one published dataset.

    `folders`: the names its folder may have, the dataset's own first. `labels`: those that are evaluated, in published order.
    `label_columns`: how many label columns its metadata.csv has, kept and dropped. `cal_tail`: how many rows were appended as
    cal samples (None: all three splits are drawn). `split_sizes` and `positives`: train, cal, test; `dropped`: positives of
    labels that are not evaluated, where known. `always_f1`: F1 of always saying yes on test, weighted by test positives.
    """

    name: str
    folders: tuple[str, ...]
    modality: Literal["image", "text"]
    rows: int
    split_sizes: tuple[int, int, int]
    label_columns: int
    positives: Mapping[str, tuple[int, int, int]]
    files: tuple[DataFile, ...]
    always_f1: float
    cal_tail: int | None = None
    dropped: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The path key."""
        return slug(self.name)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are evaluated."""
        return tuple(self.positives)

    def splits(self) -> list[str]:
        """The split of every row, in order: bit-exact by the published rule."""
        return three_way_split(self.rows) if self.cal_tail is None else cal_tail_split(self.rows, self.cal_tail)

    def kept(self, columns: Iterable[str]) -> dict[str, str]:
        """Return column -> published label, for the label columns or word columns that are evaluated.

        A column may lack the kind that the published name begins with, or have another (`wood` for `material::wood`)
        where no column has the whole name.
        """
        columns = list(columns)
        found = {column: column for column in columns if column in self.positives}
        rest = {_tail(label): label for label in self.positives if label not in found}
        for column in columns:
            if (label := rest.pop(_tail(column), None)) is not None:
                found[column] = label
        return found


def published(name: str) -> PublishedDataset:
    """The dataset of that name. Raises KeyError for a name that is none of the seven."""
    return _NAMES[name]


def find_published(folder: str) -> PublishedDataset | None:
    """The published dataset that a folder of this name holds, or None."""
    return _BY_SLUG.get(slug_or_empty(folder))


def dataset_name(folder: str) -> str:
    """The display name of the dataset in a folder of this name: the folder's, but for the published ones."""
    found = find_published(folder)
    return folder if found is None else found.name


def dataset_slug(folder: str) -> str:
    """The path key of the dataset in a folder of this name, or the empty string where it can have none."""
    return slug_or_empty(dataset_name(folder))


def _tail(label: str) -> str:
    return label.rpartition("::")[2]


def _images(pattern: str, source: str = ARCHIVE) -> DataFile:
    return DataFile((pattern,), "the images", source)


def _metadata() -> DataFile:
    return DataFile(("metadata.csv",), "paths, labels and splits", ARCHIVE)


def _padding(*sizes: int) -> tuple[DataFile, ...]:
    derived = "it is derived from the image sizes"
    return tuple(
        DataFile(
            (f"patches_w_image_mask_inputsize_({size}, {size}).pt",),
            f"which patches hold image content, at {size} pixels",
            ARCHIVE,
            needed=False,
            without=derived,
        )
        for size in sizes
    )


_NO_MASKS = "only whole images are labelled, and thresholds take the rule for that"
_NO_WORDS = "only whole texts are labelled, and thresholds take the rule for that"


def _text_files(unit: str) -> tuple[DataFile, ...]:
    return (
        _metadata(),
        DataFile(("paragraphs/paragraph_*.txt",), "the texts", ARCHIVE),
        DataFile((f"word_level_{unit}.csv", "word_level_*.csv"), "labels of words", ARCHIVE, False, _NO_WORDS),
        DataFile(
            (f"paragraph_level_{unit}.csv", "paragraph_level_*.csv"),
            "labels of texts",
            ARCHIVE,
            needed=False,
            without="the label columns of metadata.csv take its place",
        ),
    )


def _broden(folder: str) -> tuple[DataFile, ...]:
    masks = DataFile(("segmentations.pt",), "a mask for each label of each image", ARCHIVE, False, _NO_MASKS)
    return (_metadata(), _images(f"{folder}/*"), masks, *_padding(224, 560))


COCO_VAL = ("instances_val2017.json", "annotations/instances_val2017.json")
COCO_CAL = (
    "../Coco-Cal/annotations/instances_train2017.json",
    "instances_train2017.json",
    "annotations/instances_train2017.json",
)
"""Where the official annotations of the train and test rows, and of the cal rows, are looked for."""

PUBLISHED: tuple[PublishedDataset, ...] = (
    PublishedDataset(
        name="CLEVR",
        folders=("CLEVR",),
        modality="image",
        rows=1000,
        split_sizes=(634, 200, 166),
        cal_tail=200,
        label_columns=6,
        positives=counts.CLEVR,
        files=(
            _metadata(),
            _images("images/CLEVR_new_*.png"),
            _images("cal_images/images/CLEVR_new_*.png"),
            DataFile(("object_segmentations.pt",), "a foreground mask for each image", ARCHIVE, False, _NO_MASKS),
            *_padding(224, 560),
        ),
        always_f1=0.5041,
    ),
    PublishedDataset(
        name="Coco",
        folders=("Coco",),
        modality="image",
        rows=5500,
        split_sizes=(4001, 500, 999),
        cal_tail=500,
        label_columns=91,
        positives=counts.COCO,
        files=(
            _metadata(),
            _images("val2017/*.jpg", "cocodataset.org, val2017.zip"),
            _images("cal_images/train2017/*.jpg", "cocodataset.org, train2017.zip"),
            DataFile(COCO_VAL, "official annotations of the train and test rows", _COCO, False, _NO_MASKS),
            DataFile(COCO_CAL, "official annotations of the cal rows", _COCO, False, _NO_MASKS),
            *_padding(224, 560),
        ),
        always_f1=0.3174,
    ),
    PublishedDataset(
        name="Broden-Pascal",
        folders=("Broden-Pascal",),
        modality="image",
        rows=4503,
        split_sizes=(2703, 891, 909),
        label_columns=94,
        positives=counts.BRODEN_PASCAL,
        files=_broden("pascal"),
        always_f1=0.3797,
    ),
    PublishedDataset(
        name="Broden-OpenSurfaces",
        folders=("Broden-OpenSurfaces",),
        modality="image",
        rows=3578,
        split_sizes=(2118, 717, 743),
        label_columns=37,
        positives=counts.BRODEN_OPENSURFACES,
        files=_broden("opensurfaces"),
        always_f1=0.3413,
    ),
    PublishedDataset(
        name="Sarcasm",
        folders=("Sarcasm",),
        modality="text",
        rows=1446,
        split_sizes=(861, 300, 285),
        label_columns=1,
        positives=counts.SARCASM,
        files=_text_files("sarcasm"),
        always_f1=0.6588,
    ),
    PublishedDataset(
        name="iSarcasm",
        folders=("iSarcasm", "Augmented_iSarcasm"),
        modality="text",
        rows=1734,
        split_sizes=(1028, 357, 349),
        label_columns=7,
        positives=counts.ISARCASM,
        dropped=counts.ISARCASM_DROPPED,
        files=_text_files("sarcasm"),
        always_f1=0.6755,
    ),
    PublishedDataset(
        name="GoEmotions",
        folders=("GoEmotions", "Augmented_GoEmotions"),
        modality="text",
        rows=5427,
        split_sizes=(3271, 1082, 1074),
        label_columns=19,
        positives=counts.GOEMOTIONS,
        dropped=counts.GOEMOTIONS_DROPPED,
        files=_text_files("emotion"),
        always_f1=0.1015,
    ),
)
_NAMES = {one.name: one for one in PUBLISHED}
_BY_SLUG = {slug(folder): one for one in PUBLISHED for folder in one.folders}
