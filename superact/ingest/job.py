"""What one ingest is about: a dataset under a model, the layers and units wanted, and how samples are cut into shards.

Shards depend only on what is in the identity, never on which layers are wanted or what an earlier run finished; so do
batches, unless memory runs out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from superact.datasets.base import Dataset, row_name
from superact.datasets.geometry import Geometry
from superact.errors import BadInput
from superact.ingest.describe_dataset import image_sizes, samples_identity, splits_digest
from superact.ingest.identity import base
from superact.models import TextModel, TokenizedText, VisionModel
from superact.store.identity import Identity

SHARD_BYTES = 16 << 20
FEWEST_ROWS, MOST_ROWS = 1024, 64 * 1024
TOKEN_BUDGET = 4096
UNITS = ("token", "cls")
REMEMBERED_TOKENS = 256 * 1024
"""Tokens of texts that are kept between the passes over them (about 25 MB); longer datasets are tokenized again."""


@dataclass(frozen=True)
class Shard:
    """Consecutive samples that are extracted together, and the content tokens they have.

    `sample` and `token` int32 [n] list the content tokens in (sample, token) order; `first` [samples + 1] says where each
    sample's begin.
    """

    number: int
    samples: list[int]
    content: list[np.ndarray[Any, Any]]
    texts: list[TokenizedText] = field(default_factory=list)

    @cached_property
    def first(self) -> np.ndarray[Any, Any]:
        """Row at which the content tokens of each sample begin; the last entry is their number."""
        return np.concatenate([[0], np.cumsum([int(mask.sum()) for mask in self.content])])

    @cached_property
    def sample(self) -> np.ndarray[Any, Any]:
        """Sample of every content token."""
        return np.repeat(np.array(self.samples, dtype=np.int32), np.diff(self.first))

    @cached_property
    def token(self) -> np.ndarray[Any, Any]:
        """Token index of every content token."""
        found = [np.flatnonzero(mask).astype(np.int32) for mask in self.content]
        return np.concatenate(found) if found else np.empty(0, np.int32)

    def keys(self, unit: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """sample and token of the rows of a unit: content tokens, or one row a sample that has any, with token -1."""
        if unit == "token":
            return self.sample, self.token
        samples = np.array(self.samples, dtype=np.int32)[self.filled]
        return samples, np.full(len(samples), -1, dtype=np.int32)

    @cached_property
    def filled(self) -> np.ndarray[Any, Any]:
        """Which samples have a content token, bool [samples]: the others have no row of unit cls either."""
        return np.diff(self.first) > 0


@dataclass(frozen=True)
class Counts:
    """How much there is to extract: samples, tokens, content tokens, and the shards they are cut into."""

    samples: int
    tokens: int
    content: int
    shards: int
    filled: int
    """Samples that have a content token: the rows of unit cls."""

    def rows(self, unit: str) -> int:
        """Rows of a unit."""
        return self.content if unit == "token" else self.filled


@dataclass
class Fitting:
    """What a run has found out about memory so far."""

    budget: int
    """Padded tokens a batch: those asked for, or fewer since a batch did not fit."""


@dataclass
class Job:
    """A dataset, a loaded model, and what is wanted of them."""

    dataset: Dataset
    model: TextModel | VisionModel
    layers: list[int]
    units: tuple[str, ...] = ("token",)
    token_budget: int = TOKEN_BUDGET
    subset: list[int] | None = None
    """Samples to look at, for estimates; all of them when None."""
    fitting: Fitting = field(init=False, repr=False)
    """Shared by the passes over a job and by its copies for some of the layers; recorded, never part of an identity."""
    _remembered: dict[int, TokenizedText] = field(default_factory=dict, init=False, repr=False)
    _room: int = field(default=REMEMBERED_TOKENS, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.dataset.modality != self.model.modality:
            raise BadInput(
                what=f"{self.dataset.name} is a dataset of {self.dataset.modality}s and {self.model.name} reads "
                f"{self.model.modality}s.",
                remedy="Choose a model of the same kind.",
            )
        self.layers = self.model.resolve_layers(self.layers)
        for unit in self.units:
            if unit not in UNITS:
                raise BadInput(what=f"{unit!r} is not a unit.", remedy=f"Choose among {', '.join(UNITS)}.")
        if self.token_budget < 1:
            raise BadInput(what=f"A token budget of {self.token_budget} holds no token.", remedy="Give at least 1.")
        self.fitting = Fitting(self.token_budget)
        if "cls" in self.units and isinstance(self.model, VisionModel) and self.model.cls_index is None:
            raise BadInput(what=f"{self.model.name} has no CLS token.", remedy="Leave out unit cls.")

    @property
    def keys(self) -> dict[str, str]:
        """The path keys of the dataset and model."""
        return {"dataset": self.dataset.slug, "model": self.model.slug}

    @property
    def samples(self) -> list[int]:
        """The samples in order."""
        return self.dataset.samples["sample"].to_list() if self.subset is None else self.subset

    @cached_property
    def geometry(self) -> Geometry:
        """How images and masks meet the model's patch grid."""
        assert isinstance(self.model, VisionModel)
        return Geometry(self.model.geometry, self.model.input_size, self.model.patch)  # type: ignore[arg-type]

    @cached_property
    def sizes(self) -> dict[int, tuple[int, int]]:
        """(width, height) of every image. Errors: UnreadableFile."""
        return image_sizes(self.dataset, self.samples)

    @cached_property
    def sources(self) -> str:
        """Digest of what the model sees: every source file's path and bytes."""
        return self.dataset.source_digest()

    @cached_property
    def train(self) -> np.ndarray[Any, Any]:
        """Samples of the train split, ascending."""
        return self.dataset.samples.filter(pl.col("split") == "train")["sample"].to_numpy()

    @property
    def splits(self) -> str:
        """Digest of the split column."""
        return splits_digest(self.dataset)

    def samples_identity(self) -> Identity:
        """What determines the samples table: the sources and their splits."""
        return samples_identity(self.sources, self.splits)

    def model_identity(self) -> Identity:
        """What determines the tokens and hidden states of this dataset under this model."""
        own = {f"model:{name}": value for name, value in self.model.identity.items()}
        return {**base("extract"), "sources": self.sources, **own}

    def layer_identity(self, layer: int, unit: str) -> Identity:
        """Identity of the embeddings of one layer and unit."""
        return {
            **self.model_identity(),
            "layer": layer,
            "unit": unit,
            "token_budget": self.token_budget,
            "shard_bytes": SHARD_BYTES,
        }

    def stats_identity(self, layer: int, unit: str) -> Identity:
        """Identity of the layer's statistics: those of its embeddings, and the splits."""
        return {**self.layer_identity(layer, unit), "splits": self.splits}

    @property
    def rows_per_shard(self) -> int:
        """Content tokens after which a shard ends: 16 MB a layer of float32 embeddings, within bounds."""
        return max(FEWEST_ROWS, min(MOST_ROWS, SHARD_BYTES // (4 * self.model.width)))

    def shards(self) -> Iterator[Shard]:
        """Cut the samples into shards, tokenizing texts on the way."""
        samples: list[int] = []
        content: list[np.ndarray[Any, Any]] = []
        texts: list[TokenizedText] = []
        rows = number = 0
        for sample in self.samples:
            if isinstance(self.model, TextModel):
                texts.append(self.tokenize(sample))
                content.append(texts[-1].is_content)
            else:
                content.append(self.geometry.content(*self.sizes[sample]))
            samples.append(sample)
            rows += int(content[-1].sum())
            if rows >= self.rows_per_shard:
                yield Shard(number, samples, content, texts)
                samples, content, texts, rows, number = [], [], [], 0, number + 1
        if samples or number == 0:
            yield Shard(number, samples, content, texts)

    @cached_property
    def counts(self) -> Counts:
        """Count tokens and shards; texts are tokenized for it, images only measured."""
        samples = tokens = content = shards = filled = 0
        for shard in self.shards():
            filled += int(shard.filled.sum())
            samples += len(shard.samples)
            tokens += sum(map(len, shard.content))
            content += len(shard.sample)
            shards += 1
        return Counts(samples, tokens, content, shards, filled)

    def tokenize(self, sample: int) -> TokenizedText:
        """Tokens of one text. Errors: BadInput naming the sample."""
        assert isinstance(self.model, TextModel)
        if sample in self._remembered:
            return self._remembered[sample]
        try:
            text = self.model.tokenize(self.dataset.text(sample))
        except BadInput as error:
            if not str(error).startswith("A text"):
                raise
            path = self.dataset.samples["path"][sample]
            raise BadInput(what=f"{path}, row {row_name(sample)}: {error.what}", remedy=error.remedy) from error
        if self._room >= len(text):
            self._room -= len(text)
            self._remembered[sample] = text
        return text
