"""Which questions are asked, in which order, and what a model is given with each."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from superact.datasets.base import SPLITS, Dataset
from superact.errors import BadInput
from superact.prompts.templates import Task, Wording

if TYPE_CHECKING:
    from PIL import Image

SMALLEST_SIDE = 28
"""Pixels: a smaller image is enlarged until its smaller side has so many (the published rule; Qwen2-VL takes none smaller)."""


@dataclass(frozen=True)
class Question:
    """One sample, one label."""

    sample: int
    label: str


class Picture:
    """An image as it is shown to a model."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image.resize(shown_size(*image.size)) if min(image.size) < SMALLEST_SIDE else image

    @cached_property
    def data_url(self) -> str:
        """The image as a JPEG in a data URL."""
        buffer = io.BytesIO()
        self.image.save(buffer, format="JPEG", quality=95)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def shown_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of an image as a model sees it, from its own."""
    least = min(width, height)
    if least >= SMALLEST_SIDE:
        return width, height
    return round(width * SMALLEST_SIDE / least), round(height * SMALLEST_SIDE / least)


@dataclass(frozen=True)
class Request:
    """What a model is asked in one turn: the text, the picture above it (None for texts), and what it is about."""

    text: str
    picture: Picture | None
    about: str
    """Sample and label in words, for errors."""


class Asker:
    """Makes requests of questions about one dataset. The images last used are kept: questions come sample by sample."""

    def __init__(self, dataset: Dataset, labels: Sequence[str], wording: Wording) -> None:
        """`labels`: the list that every question shows."""
        self.dataset, self.labels, self.wording = dataset, list(labels), wording
        self._picture = lru_cache(maxsize=8)(lambda sample: Picture(dataset.image(sample)))

    def request(self, task: Task, question: Question) -> Request:
        """The request of a question. Errors: UnreadableFile for a sample that cannot be read."""
        about = f"sample {question.sample}, label {question.label!r}"
        if self.dataset.modality == "text":
            passage = self.dataset.text(question.sample)
            return Request(self.wording.text(task, self.labels, question.label, text=passage), None, about)
        picture = self._picture(question.sample)
        width, height = picture.image.size
        size = {"width": width, "height": height} if task == "localize" else {}
        return Request(self.wording.text(task, self.labels, question.label, **size), picture, about)


def split_names(text: str) -> tuple[str, ...]:
    """The splits of a list such as `test` or `cal,test`, in their usual order. Errors: BadInput."""
    named = {part.strip() for part in text.split(",") if part.strip()}
    if not named or not named <= set(SPLITS):
        raise BadInput(what=f"--split {text!r} is no split.", remedy=f"Name one or more of {', '.join(SPLITS)}.")
    return tuple(split for split in SPLITS if split in named)


def questions(
    dataset: Dataset, labels: Sequence[str], splits: Sequence[str], limit: int | None = None
) -> list[Question]:
    """Every label of every sample of the splits (of the first `limit` samples of each), sample by sample, in name order."""
    samples: list[int] = []
    for split in splits:
        found = dataset.samples.filter(dataset.samples["split"] == split)["sample"].to_list()
        samples += found[:limit]
    ordered = sorted(labels, key=str.encode)
    return [Question(sample, label) for sample in sorted(samples) for label in ordered]
