"""One (layer, concept set, unit) to evaluate, what eval may be asked to do differently, and which tables belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from superact.errors import BadInput
from superact.metrics.bootstrap import REPLICATES
from superact.schemas import tables
from superact.store import Published
from superact.store.identity import Identity
from superact.store.staging import StagedPartition

DATASET_TABLES = ("samples", "labels", "sample_labels")
MODEL_TABLES = ("tokens", "token_labels")
UNITS = ("sae_units",)
METRICS = ("thresholds", "detection", "selection")
LOCALIZATION = ("localization_scores", "localization")
DISTRIBUTIONS = ("distributions", "separation", "superactivator_ratio")
SUMMARIES = ("layer_selection", "summary")

STAGES = ("detect", "localize", "layers", "distributions")
KEPT_CONCEPTS = 20
"""Concepts of an unsupervised set whose detection on cal is kept for every (detector, label)."""

Keys = dict[str, Any]
Source = Literal["activations", "embeddings", "sae_activations"]
"""The table that scores come from: stored for every concept and token; computed from hidden states, a thousand concepts at a
time; or the active features of a sparse autoencoder, where an absent row is 0."""


@dataclass(frozen=True)
class Protocol:
    """What eval may be asked to do differently; all of it is in the identity of the rows that depend on it."""

    seed: int = 0
    replicates: int = REPLICATES
    all_pairs: bool = False
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise BadInput(what=f"{self.seed} is no seed.", remedy="Give a whole number from 0 to 2^64 - 1.")


@dataclass
class Layer:
    """One (layer, concept set, unit) to evaluate: its inputs, what each of its tables is made from, and what is to be filled.

    `source`: which of the inputs its scores come from. `labels`: those evaluated, or None.
    """

    keys: Keys
    sources: dict[str, Published]
    method: str
    measure: str
    supervised: bool
    source: Source
    labels: tuple[str, ...] | None
    identities: dict[str, Identity]
    parts: dict[str, StagedPartition] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The layer."""
        return int(self.keys["layer"])

    @property
    def unit(self) -> str:
        """`token` or `cls`."""
        return str(self.keys["unit"])

    def own(self, table: str) -> Keys:
        """The path keys of one of its tables: those about tokens have no unit."""
        return keys_of(table, self.keys)

    def todo(self, tables: Iterable[str]) -> bool:
        """True when one of these tables is to be filled."""
        return any(table in self.parts and not self.parts[table].current for table in tables)


def widest(layers: Sequence[Layer]) -> Layer:
    """One of the layers, with the labels that any of them evaluates: what binds the tables that all of them share."""
    every = [layer.labels for layer in layers]
    labels = None if None in every else tuple(sorted({label for own in every for label in own or ()}))
    return replace(layers[0], labels=labels)


def keys_of(table: str, keys: Keys) -> Keys:
    """Those of the keys that stand in the path of a table."""
    return {name: keys[name] for name in tables()[table].path}
