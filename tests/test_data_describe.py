"""The floors of a dataset from metadata.csv alone: the published ones, and one by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from published_folders import write_metadata
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets.describe import describe
from superact.datasets.published import PUBLISHED, PublishedDataset
from superact.errors import BadInput, BadTable

FLOORS = {
    "CLEVR": 0.5041,
    "Coco": 0.3174,
    "Broden-Pascal": 0.3797,
    "Broden-OpenSurfaces": 0.3413,
    "Sarcasm": 0.6588,
    "iSarcasm": 0.6755,
    "GoEmotions": 0.1015,
}


def published_folder(root: Path, one: PublishedDataset) -> Path:
    """A metadata.csv with the published splits, and the published positives on the first rows of every split."""
    counts = {**one.positives, **one.dropped}
    seen = dict.fromkeys(("train", "cal", "test"), 0)
    rows = []
    for row, split in enumerate(one.splits()):
        at = ("train", "cal", "test").index(split)
        rows.append([f"{row}.x", *(int(seen[split] < n[at]) for n in counts.values()), split])
        seen[split] += 1
    write_metadata(root / one.name, [f"{one.modality}_path", *counts, "split"], rows)
    return root / one.name


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)
def test_published_floors(tmp_path: Path, one: PublishedDataset) -> None:
    published_folder(tmp_path, one)
    found = describe(one.name, tmp_path)
    assert found.always_f1 is not None
    assert round(found.always_f1, 4) == FLOORS[one.name]
    assert {label.label: label.positives for label in found.evaluated} == one.positives
    assert (found.name, found.sizes) == (one.name, one.split_sizes)


def small(root: Path) -> Path:
    rows = [
        *(["train", 1, 0, 0], ["train", 0, 0, 1]),
        *(["cal", 1, 0, 0], ["cal", 1, 1, 1], ["cal", 0, 0, 0], ["cal", 0, 1, 0]),
        *(["test", 1, 1, 0], ["test", 1, 0, 0], ["test", 1, 1, 0], ["test", 0, 0, 0]),
    ]
    write_metadata(
        root, ["split", "dog", "mood", "never", "text_path"], [[*row, f"{k}.txt"] for k, row in enumerate(rows)]
    )
    return root


def test_by_hand(tmp_path: Path) -> None:
    small(tmp_path / "pets")
    found = describe("pets", tmp_path)
    dog, mood, never = found.labels
    assert (dog.always_f1, dog.coin_f1) == (6 / 7, pytest.approx(2 * 0.75 * 0.5 / 1.25, abs=1e-15))
    assert (mood.always_f1, mood.coin_f1) == (4 / 6, pytest.approx(0.5, abs=1e-15))
    assert (never.always_f1, never.coin_f1) == (None, None)
    assert found.always_f1 == pytest.approx((3 * 6 / 7 + 2 * 4 / 6) / 5, abs=1e-15)
    assert found.coin_f1 == pytest.approx((3 * 0.6 + 2 * 0.5) / 5, abs=1e-15)


def test_the_command(tmp_path: Path) -> None:
    small(tmp_path / "pets")
    done = CliRunner().invoke(app, ["data", "describe", "pets", "--data-root", str(tmp_path), "--format", "json"])
    rows = json.loads(done.stdout)
    assert [(row["what"], row["label"], row["train"], row["cal"], row["test"]) for row in rows] == [
        ("samples", None, 2, 4, 4),
        ("label", "dog", 1, 2, 3),
        ("label", "mood", 0, 2, 2),
        ("label", "never", 1, 1, 0),
        ("weighted", None, 2, 5, 5),
    ]
    assert done.stderr == "pets: 10 texts\n"
    one = ["data", "describe", "pets", "--labels", "mood", "--data-root", str(tmp_path), "--format", "csv"]
    done = CliRunner().invoke(app, one)
    assert done.stdout.splitlines()[-1].startswith("weighted,,0,2,2,,0.66666")
    assert done.stderr == "pets: 10 texts, 1 of 3 labels (--labels all for the others)\n"


def test_wrong_tables(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"metadata\.csv does not exist"):
        describe(str(tmp_path / "empty"), tmp_path)
    write_metadata(tmp_path / "a", ["text_path", "x", "split"], [["1.txt", 2, "train"]])
    with pytest.raises(BadTable, match="the value is '2'"):
        describe("a", tmp_path)
    write_metadata(tmp_path / "b", ["text_path", "x", "split"], [["1.txt", 1, "dev"]])
    with pytest.raises(BadTable, match="'dev' is not a split"):
        describe("b", tmp_path)
