"""From boxes and phrases to tokens: by the geometry and the character offsets of the model whose tokens they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_prompts_run import Oracle
from tiny import image_dataset, save_model, table, text_dataset

from superact.datasets import open_dataset
from superact.datasets.geometry import Geometry
from superact.errors import BadInput, MissingTable
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.models import load_model
from superact.prompts.backends.base import Reply
from superact.prompts.parse import Boxes
from superact.prompts.plan import Plan
from superact.prompts.questions import Request
from superact.prompts.run import prompt
from superact.prompts.tokens import Places, in_boxes, in_spans, map_places
from superact.store import Warehouse


class Pointing(Oracle):
    """Says yes to everything, and where by a function of the request's sample."""

    def __init__(self, where: Any, **identity: Any) -> None:
        super().__init__(**identity)
        self.where = where

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        asked = ["pixels wide" in r.text or r.text.startswith("Text:") for r in requests]
        numbers = [int(r.about.split()[1].rstrip(",")) for r in requests]
        return [Reply(self.where(n) if wanted else "Yes") for n, wanted in zip(numbers, asked, strict=True)]


def extracted(root: Path, model: str, name: str, **options: Any) -> tuple[Warehouse, Any]:
    """A warehouse with the tokens of a tiny model, and the dataset."""
    dataset = open_dataset(str(root / name), root)
    folder = save_model(root / "model", model, **options)
    warehouse = Warehouse(root / "wh")
    extract(warehouse, Job(dataset, load_model(folder, device="cpu"), [1], ("token",), 64), keep_embeddings=False)
    return warehouse, dataset


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Warehouse, Any]:
    text_dataset(tmp_path / "Tiny-Text")
    return extracted(tmp_path, "BertModel", "Tiny-Text")


@pytest.fixture
def images(tmp_path: Path) -> tuple[Warehouse, Any]:
    image_dataset(tmp_path / "Tiny-Images")
    return extracted(tmp_path, "Dinov2Model", "Tiny-Images")


def test_phrases_become_tokens(texts: tuple[Warehouse, Any]) -> None:
    warehouse, dataset = texts
    prompt(
        warehouse, dataset, Pointing(lambda sample: "FOX, the dog, unicorn"), Plan(("animal", "mood"), localize=True)
    )
    found = map_places(warehouse, "tiny-text", "oracle", "model")
    tokens = table(warehouse, "tokens")
    expected, spans = [], 0
    for sample in range(2, 24, 3):
        words = dataset.text(sample).split()
        # The tokenizer has one token a word, behind one special token.
        marked = [
            i + 1 for i, word in enumerate(words) if word == "fox" or (word == "dog" and i and words[i - 1] == "the")
        ]
        marked += [i + 1 for i, word in enumerate(words[:-1]) if word == "the" and words[i + 1] == "dog"]
        spans += words.count("fox") + sum(a == "the" and b == "dog" for a, b in pairwise(words))
        expected += [(label, sample, token) for label in ("animal", "mood") for token in sorted(set(marked))]
    rows = table(warehouse, "prompt_tokens")
    assert expected and rows.select("label", "sample", "token").rows() == sorted(expected)
    assert set(rows["tokens_of"]) == {"model"} and set(rows["model"]) == {"oracle"}
    content = tokens.filter(pl.col("is_content")).select("sample", "token")
    assert rows.join(content, on=["sample", "token"], how="anti").height == 0
    assert (found.replies, found.unparsed, found.tokens) == (16, 0, len(expected))
    assert found.places == 2 * spans and 16 <= found.lost <= 48


def test_boxes_become_patches(images: tuple[Warehouse, Any]) -> None:
    warehouse, dataset = images
    prompt(warehouse, dataset, Pointing(lambda sample: "[10, 5, 31.5, 20]"), Plan(("blue", "red"), localize=True))
    found = map_places(warehouse, "tiny-images", "oracle", "model")
    rows = table(warehouse, "prompt_tokens")
    grid = table(warehouse, "tokens")
    asked = sorted(set(rows["sample"]))
    assert asked == [4, 5, 10, 11, 16, 17]
    for sample in asked:
        width, height = dataset.image(sample).size
        # Squashed to 56 x 56, patches of 14: by nearest neighbour pixel i shows source pixel floor((i + .5) * n / 56).
        columns = {i // 14 for i in range(56) if 10 <= int((i + 0.5) * width / 56) < 32}
        lines = {i // 14 for i in range(56) if 5 <= int((i + 0.5) * height / 56) < 20}
        expected = sorted(4 * line + column for line in lines for column in columns)
        assert rows.filter(sample=sample, label="red")["token"].to_list() == expected
        assert grid.filter(pl.col("sample") == sample).height == 16
    assert found == Places(replies=12, unparsed=0, places=12, lost=0, tokens=len(rows))


def test_padding_is_not_pointed_at(tmp_path: Path) -> None:
    image_dataset(tmp_path / "Tiny-Images")
    dataset = open_dataset(str(tmp_path / "Tiny-Images"), tmp_path)
    model = load_model(save_model(tmp_path / "model", "Dinov2Model"), device="cpu", geometry="letterbox")
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, Job(dataset, model, [1], ("token",), 64), keep_embeddings=False)
    prompt(warehouse, dataset, Pointing(lambda sample: "[0, 0, 9999, 9999]"), Plan(("red",), localize=True))
    map_places(warehouse, "tiny-images", "oracle", "model")
    rows = table(warehouse, "prompt_tokens")
    content = table(warehouse, "tokens").filter(
        pl.col("is_content") & pl.col("sample").is_in(rows["sample"].unique().to_list())
    )
    assert rows.select("sample", "token").rows() == content.select("sample", "token").rows()
    assert content.height < 6 * 16


REPLIES = {
    4: ("None", (0, 0, 0)),
    5: ("[60, 0, 80, 20]\n[0, 0, 10, 10]", (0, 1, 1)),
    10: ("[30, 0, 10, 20]", (1, 0, 0)),
    11: ("somewhere", (1, 0, 0)),
    16: ("[-5, -5, 5, 5], [20, 20, 30, 30]", (0, 2, 0)),
    17: ("[0, 60, 10, 90]", (0, 0, 1)),
}


def test_replies_that_name_no_place_are_counted_by_kind(images: tuple[Warehouse, Any]) -> None:
    warehouse, dataset = images
    prompt(warehouse, dataset, Pointing(lambda sample: REPLIES[sample][0]), Plan(("red",), localize=True))
    found = map_places(warehouse, "tiny-images", "oracle", "model")
    unparsed, places, lost = (sum(counts[i] for _, counts in REPLIES.values()) for i in range(3))
    rows = table(warehouse, "prompt_tokens")
    assert found == Places(6, unparsed, places, lost, len(rows))
    assert set(rows["sample"]) == {5, 16}
    published = warehouse.state().select("prompt_tokens")[0]
    assert published.meta["places"] == found.__dict__


def test_mapping_again_does_nothing_and_new_answers_supersede(texts: tuple[Warehouse, Any]) -> None:
    warehouse, dataset = texts
    prompt(warehouse, dataset, Pointing(lambda sample: "fox"), Plan(("animal",), localize=True))
    first = map_places(warehouse, "tiny-text", "oracle", "model")
    before = warehouse.state().sequence
    assert map_places(warehouse, "tiny-text", "oracle", "model") == first
    assert warehouse.state().sequence == before
    prompt(warehouse, dataset, Pointing(lambda sample: "fox"), Plan(("animal", "mood"), localize=True))
    second = map_places(warehouse, "tiny-text", "oracle", "model")
    assert second.replies == 16 and second.tokens == 2 * first.tokens
    answers = warehouse.state().get("prompt_answers", dataset="tiny-text", model="oracle")
    mapped = warehouse.state().get("prompt_tokens", dataset="tiny-text", model="oracle", tokens_of="model")
    assert answers is not None and mapped is not None and mapped.identity["input:prompt_answers"] == answers.hash


def test_no_place_at_all_is_a_file_without_rows(texts: tuple[Warehouse, Any]) -> None:
    warehouse, dataset = texts
    prompt(warehouse, dataset, Pointing(lambda sample: "None"), Plan(("animal",), localize=True))
    assert map_places(warehouse, "tiny-text", "oracle", "model") == Places(8, 0, 0, 0, 0)
    assert [(p.rows, len(p.files)) for p in warehouse.state().select("prompt_tokens")] == [(0, 1)]


def test_what_is_missing_is_named(texts: tuple[Warehouse, Any]) -> None:
    warehouse, dataset = texts
    with pytest.raises(MissingTable, match="prompt_answers of dataset tiny-text, model oracle"):
        map_places(warehouse, "tiny-text", "oracle", "model")
    prompt(warehouse, dataset, Pointing(lambda sample: "fox"), Plan(("animal",)))
    with pytest.raises(BadInput, match="oracle was not asked where the labels of tiny-text are"):
        map_places(warehouse, "tiny-text", "oracle", "model")
    prompt(warehouse, dataset, Pointing(lambda sample: "fox"), Plan(("animal",), localize=True))
    with pytest.raises(MissingTable, match="tokens of dataset tiny-text, model other"):
        map_places(warehouse, "tiny-text", "oracle", "other")


@pytest.mark.parametrize("kind", ["squash", "crop", "letterbox"])
def test_boxes_take_the_way_of_the_masks(kind: Any) -> None:
    """A box is the mask of its pixels, so that a box round a mask's object hits every patch the mask hits."""
    geometry = Geometry(kind, 56, 14)
    for width, height, box in ((60, 40, (3, 4, 22, 31)), (40, 90, (0, 0, 40, 90)), (200, 100, (150, 60, 151, 61))):
        mask = np.zeros((height, width), bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        expected = geometry.patches(geometry.mask(mask))
        shown = in_boxes(Boxes(True, (tuple(map(float, box)),)), (width, height), (width, height), geometry)
        assert np.array_equal(shown, expected)


def test_a_box_measured_in_an_enlarged_picture_is_brought_back() -> None:
    geometry = Geometry("squash", 56, 14)
    small = in_boxes(Boxes(True, ((0.0, 0.0, 14.0, 28.0),)), (56, 28), (20, 10), geometry)
    assert small.reshape(4, 4).tolist() == [[True, False, False, False]] * 4


def test_tokens_that_overlap_a_span() -> None:
    start, end = np.array([0, 0, 3, 4, 8]), np.array([0, 3, 4, 8, 12])
    assert in_spans(start, end, ((4, 8),)).tolist() == [False, False, False, True, False]
    assert in_spans(start, end, ((2, 5), (11, 12))).tolist() == [False, True, True, True, True]
    assert in_spans(start, end, ()).tolist() == [False] * 5
