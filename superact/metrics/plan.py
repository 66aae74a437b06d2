"""What eval is to do: one `Layer` a partition of activations, with the identities that say what it is made from.

An identity names every input by its hash, and nothing that the rows do not depend on: labels leave sample_scores alone, and
token tables and the seed leave unit cls alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from superact.errors import MissingTable, StaleInput
from superact.metrics.bootstrap import REPLICATES
from superact.schemas import FORMAT
from superact.store import Published, Run
from superact.store.identity import Identity, hash_of
from superact.store.staging import StagedPartition

STEP_VERSION = 1
_EVERY: Identity = {"step": "eval", "step_version": STEP_VERSION, "schema_version": FORMAT}
"""What every identity of eval begins with."""
DATASET_TABLES = ("samples", "labels", "sample_labels")
MODEL_TABLES = ("tokens", "token_labels")
METRICS = ("thresholds", "detection", "selection")

Keys = dict[str, Any]
Paths = Callable[[Published], list[Path]]
"""Gives the files of a partition after checking that they are whole."""


@dataclass(frozen=True)
class Protocol:
    """What eval may be asked to do differently; all of it is in the identity of the rows that depend on it."""

    seed: int = 0
    replicates: int = REPLICATES


@dataclass(frozen=True)
class Layer:
    """One (layer, concept set, unit) to evaluate: its inputs, and the partitions it fills."""

    keys: Keys
    activations: Published
    concepts: Published
    method: str
    measure: str
    supervised: bool
    sample_scores: StagedPartition
    metrics: dict[str, StagedPartition]

    @property
    def number(self) -> int:
        """The layer."""
        return int(self.keys["layer"])

    @property
    def unit(self) -> str:
        """`token` or `cls`."""
        return str(self.keys["unit"])

    @property
    def current(self) -> bool:
        """True when everything is published with these inputs."""
        return self.sample_scores.current and all(part.current for part in self.metrics.values())


def needed(run: Run, table: str, **keys: str | int) -> Published:
    """A partition that must be there. Errors: MissingTable."""
    published = run.state.get(table, **keys)
    if published is None:
        where = " ".join(map(str, keys.values()))
        raise MissingTable(
            stage="eval", table=table, where=where, warehouse=run.warehouse.root, command="superact ingest"
        )
    return published


def wanted_activations(run: Run, **wanted: Any) -> list[Published]:
    """The partitions of activations that match. Errors: MissingTable when none does."""
    found = run.state.select("activations", **wanted)
    if not found:
        where = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None) or "any dataset"
        raise MissingTable(
            stage="eval", table="activations", where=where, warehouse=run.warehouse.root, command="superact score"
        )
    return found


def plan_layer(run: Run, protocol: Protocol, activations: Published, paths: Paths) -> Layer:
    """Declare in `run` what one partition of activations leads to. Errors: MissingTable, Damaged."""
    keys = dict(activations.partition.keys)
    dataset = {"dataset": keys["dataset"]}
    sources = {"activations": activations}
    for table in ("concepts", "concept_sets"):
        sources[table] = needed(run, table, **keys)
    for table in DATASET_TABLES:
        sources[table] = needed(run, table, **dataset)
    identity: Identity = dict(_EVERY)
    if keys["unit"] == "token":
        identity["seed"] = protocol.seed  # of the random token
        for table in MODEL_TABLES:
            sources[table] = needed(run, table, **dataset, model=keys["model"])
    _check_inputs(run, activations, sources)
    identity |= {f"input:{table}": source.hash for table, source in sources.items()}
    rolled = {name: value for name, value in identity.items() if not name.endswith("labels")}
    facts = pq.read_table(paths(sources["concept_sets"])[0]).to_pylist()[0]
    return Layer(
        keys=keys,
        activations=activations,
        concepts=sources["concepts"],
        method=facts["method"],
        measure=facts["score"],
        supervised=facts["supervised"],
        sample_scores=run.partition("sample_scores", {**rolled, "table": "sample_scores"}, **keys),
        metrics={table: run.partition(table, {**identity, "table": table}, **keys) for table in METRICS},
    )


def _check_inputs(run: Run, activations: Published, sources: dict[str, Published]) -> None:
    """Raise StaleInput where scores say that they were made from other inputs than those published now.

    They would be judged by splits, labels or names that they were not made with.
    """
    keys = {name: value for name, value in activations.partition.keys if name != "concept_set"}
    where = " ".join(f"--{name} {value}" for name, value in keys.items() if name in ("dataset", "model"))
    if activations.meta.get("concepts", sources["concepts"].hash) != sources["concepts"].hash:
        raise StaleInput(
            partition=str(activations.partition), differences="concepts", command=f"superact score {where} --replace"
        )
    if "input:layer_stats" not in activations.identity:
        return
    stats = needed(run, "layer_stats", **keys)
    if activations.identity["input:layer_stats"] != stats.hash:
        raise StaleInput(
            partition=str(activations.partition), differences="layer_stats", command=f"superact score {where} --replace"
        )
    differing = _differing(stats, sources)
    if differing:
        raise StaleInput(
            partition=str(stats.partition),
            differences=", ".join(differing),
            command=f"superact ingest {where} --layers {keys['layer']} --replace",
        )


def _differing(stats: Published, sources: dict[str, Published]) -> list[str]:
    """Where the statistics of a layer name other samples, splits, tokens or model settings than the tables have."""
    found = set()
    for table in ("samples", "tokens"):
        source = sources.get(table)
        if source is None:
            continue
        if stats.identity.get(f"input:{table}", source.hash) != source.hash:
            found.add(table)
        for name in stats.identity.keys() & source.identity.keys():
            if name in ("sources", "splits") or name.startswith("model:"):
                found |= {name} if stats.identity[name] != source.identity[name] else set()
    return sorted(found)


def plan_summary(run: Run, protocol: Protocol, layers: Sequence[Layer], **group: str) -> StagedPartition:
    """Declare in `run` the summary over these layers of one (dataset, model, concept_set, unit)."""
    identity = {
        **_EVERY,
        "seed": protocol.seed,  # of the bootstrap
        "replicates": protocol.replicates,
        **{f"layer:{layer.number}": hash_of(layer.metrics["detection"].identity) for layer in layers},
    }
    return run.partition("summary", identity, **group)
