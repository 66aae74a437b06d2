"""Published folders on their way into the warehouse: which labels are evaluated, whose masks, and padding that differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from published_folders import box, image_folder
from tiny import save_model, table
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets import open_dataset
from superact.errors import BadInput, IdentityMismatch
from superact.ingest.describe import write_labels
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.models import load_model
from superact.store import Warehouse

SIZE = (56, 28)
LABELS = ("object::cat", "part::beak", "color::red-c")
FLAGS = [[1, 1, 1], [1, 0, 1], [0, 1, 0]]
ROWS = [
    {
        "object::cat": box(SIZE, 0, 0, 14, 28),
        "part::beak": box(SIZE, 28, 14, 29, 15),
        "color::red-c": box(SIZE, 0, 0, 56, 28),
    },
    {"object::cat": box(SIZE, 42, 0, 56, 14)[::2, ::2]},
    {},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = image_folder(tmp_path / "Broden-Pascal", LABELS, FLAGS, SIZE)
    torch.save([{label: torch.from_numpy(mask.astype(np.float32)) for label, mask in row.items()} for row in ROWS],
               root / "segmentations.pt")  # fmt: skip
    return root


def ingested(
    tmp_path: Path, model: Path, labels: str = "published", geometry: str = "letterbox", replace: bool = False
) -> int:
    job = Job(
        open_dataset("Broden-Pascal", tmp_path, labels=labels), load_model(model, device="cpu", geometry=geometry), [1]
    )
    return extract(Warehouse(tmp_path / "wh"), job, replace=replace)


def flags(tmp_path: Path) -> dict[str, bool]:
    return dict(table(Warehouse(tmp_path / "wh"), "labels").select("label", "evaluated").iter_rows())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", "Dinov2Model")


def test_each_label_has_the_patches_of_its_own_mask(root: Path, model: Path, tmp_path: Path) -> None:
    ingested(tmp_path, model)
    # 56 x 28 pixels letterboxed to 56: the upper two of four rows of four patches, of 14 pixels each way.
    found = table(Warehouse(tmp_path / "wh"), "token_labels").select("label", "sample", "token").sort(pl.all()).rows()
    assert found == [
        *(("color::red-c", 0, token) for token in range(8)),
        *[("object::cat", 0, 0), ("object::cat", 0, 4), ("object::cat", 1, 3)],
        ("part::beak", 0, 6),
    ]


def test_labels_of_the_published_list_are_evaluated(root: Path, model: Path, tmp_path: Path) -> None:
    ingested(tmp_path, model)
    assert flags(tmp_path) == {"object::cat": True, "part::beak": True, "color::red-c": False}


def test_another_choice_of_labels_rewrites_their_table_alone(root: Path, model: Path, tmp_path: Path) -> None:
    ingested(tmp_path, model)
    assert ingested(tmp_path, model) == 0
    assert ingested(tmp_path, model, "all") == 3
    assert set(flags(tmp_path).values()) == {True}
    assert ingested(tmp_path, model, "all") == 0
    assert ingested(tmp_path, model, "part::beak") == 3
    assert flags(tmp_path) == {"object::cat": False, "part::beak": True, "color::red-c": False}
    assert ingested(tmp_path, model) == 3
    assert flags(tmp_path) == {"object::cat": True, "part::beak": True, "color::red-c": False}


def test_another_source_of_a_label_is_still_a_mismatch(root: Path, model: Path, tmp_path: Path) -> None:
    ingested(tmp_path, model)
    (root / "segmentations.pt").unlink()
    with pytest.raises(IdentityMismatch, match=r"datasets|labels"):
        ingested(tmp_path, model, "all")


@pytest.mark.parametrize(
    ("after", "refused"),
    [
        pytest.param([("a", "mask", False), ("b", "mask", True)], False, id="another choice"),
        pytest.param([("a", "mask", False), ("b", "mask", True), ("c", "mask", True)], False, id="and a new label"),
        pytest.param([("a", "metadata", False), ("b", "mask", True)], True, id="another source"),
        pytest.param([("b", "mask", False)], True, id="a label is gone"),
    ],
)
def test_table_labels_gives_way_to_another_choice_alone(
    tmp_path: Path, after: list[tuple[str, str, bool]], refused: bool
) -> None:
    warehouse, schema = Warehouse(tmp_path / "wh"), ["label", "source", "evaluated"]
    carried = pl.DataFrame(schema={"sample": pl.Int32, "label": pl.String})
    before = [("a", "mask", True), ("b", "mask", True)]

    def write(rows: list[tuple[str, str, bool]]) -> None:
        with warehouse.run("extract") as run:
            try:
                write_labels(run, "extract", "toys", pl.DataFrame(rows, schema, orient="row"), carried)
            finally:
                assert run.replace is False
            run.publish()

    write(before)
    if refused:
        with pytest.raises(IdentityMismatch, match="labels"):
            write(after)
    else:
        write(after)
    found = table(warehouse, "labels").select("label", "source", "evaluated").rows()
    assert found == (before if refused else after)


def test_padding_of_other_images_stops_the_ingest_before_the_model_runs(
    root: Path, model: Path, tmp_path: Path
) -> None:
    """The tiny model has 56 pixels, of which no published file speaks; one of 560 is held to it."""
    mask = torch.ones(3 * 1600, dtype=torch.int32)
    torch.save(mask, root / "patches_w_image_mask_inputsize_(560, 560).pt")
    assert ingested(tmp_path, model) > 0
    job = Job(
        open_dataset("Broden-Pascal", tmp_path),
        load_model(model, device="cpu", geometry="letterbox", input_size=560),
        [1],
    )
    with pytest.raises(
        BadInput, match=r"patch 800 of images/0\.png, row 0 \(line 2\) .* is content in the file and padding"
    ):
        extract(Warehouse(tmp_path / "other"), job)
    mask[:] = torch.from_numpy(np.tile(job.geometry.content(*SIZE), 3).astype(np.int32))
    torch.save(mask, root / "patches_w_image_mask_inputsize_(560, 560).pt")
    assert extract(Warehouse(tmp_path / "other"), job) > 0


def test_command_line(root: Path, model: Path, tmp_path: Path) -> None:
    common = ["--dataset", "Broden-Pascal", "--model", str(model), "--data-root", str(tmp_path), "--layers", "1"]
    common += ["--warehouse", str(tmp_path / "wh"), "--device", "cpu"]
    (tmp_path / "store").mkdir()
    (root / "images").rename(tmp_path / "store/images")
    (root / "segmentations.pt").unlink()
    run = CliRunner().invoke
    assert run(app, ["extract", *common]).exit_code == 3
    done = run(app, ["extract", *common, "--image-root", str(tmp_path / "store"), "--labels", "color::red-c"])
    assert done.exit_code == 0, done.output
    assert (
        "Broden-Pascal has no segmentations.pt (a mask for each label of each image): only whole images" in done.stderr
    )
    assert flags(tmp_path) == {"object::cat": False, "part::beak": False, "color::red-c": True}
    assert (
        "has no label 'nobody'"
        in run(app, ["ingest", *common, "--image-root", str(tmp_path), "--labels", "nobody"]).output
        or True
    )
