"""Whether what a sparse autoencoder made is of the hidden states and splits that are published now.

It is made by hand, unlike what eval derives: other inputs are refused, and the command that makes it anew is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from superact.errors import StaleInput
from superact.metrics.layer import Layer
from superact.store import Published, Run
from superact.store.identity import Identity, split_digest


def check_encoded(run: Run, layer: Layer, paths: Callable[[Published], list[Path]]) -> None:
    """Raise StaleInput where a sparse autoencoder encoded other hidden states, or of other samples, than those there are,
    and where its statistics are of other splits, which `compare` would report.

    Partitions that do not say what they were made from are taken as they are.
    """
    encoded, described = layer.sources["sae_activations"], run.state.get("sae_stats", **layer.keys)
    made_from = encoded.meta.get("made_from", {})  # the identity of the embeddings, which may have been dropped
    changed = {*differing(made_from, layer.sources)}
    embeddings, stats = layer.sources.get("embeddings"), layer.sources.get("layer_stats")
    if embeddings is not None and encoded.identity.get("input:embeddings", embeddings.hash) != embeddings.hash:
        changed.add("embeddings")
    elif stats is not None:  # extracted together with them
        changed |= {name for name, value in made_from.items() if stats.identity.get(name) != value}
    _refuse(run, layer, encoded, changed)
    if described is not None and "split_digest" in described.identity:
        splits = split_digest(*stored_splits(layer.sources["samples"], paths))
        _refuse(run, layer, described, [] if described.identity["split_digest"] == splits else ["splits"])


def stored_splits(
    samples: Published, paths: Callable[[Published], list[Path]]
) -> tuple[np.ndarray[Any, Any], list[str]]:
    """The published samples, int32 [n] ascending, and the names of their splits."""
    rows = pq.read_table(paths(samples), columns=["sample", "split"]).sort_by("sample")
    return rows["sample"].to_numpy(), rows["split"].to_pylist()


def _refuse(run: Run, layer: Layer, published: Published, changed: Iterable[str]) -> None:
    """Raise StaleInput if anything changed, with the command that encodes again as it was encoded."""
    if named := ", ".join(sorted(changed)):
        dataset, model, number, name = (layer.keys[key] for key in ("dataset", "model", "layer", "concept_set"))
        own = "" if name == "sae" else f" --concept-set {name}"
        command = f"superact sae encode {dataset} {model} SAE --layer {number}{own}{_options(run, layer)} --replace"
        raise StaleInput(partition=str(published.partition), differences=named, command=command)


def _options(run: Run, layer: Layer) -> str:
    """The --unit and --top-k of `superact sae encode` by which a set was made, where they are not the defaults.

    Without --unit the set's other unit is encoded, too, which it has to have been by the same autoencoder and --top-k.
    """
    made = {
        unit: None if published is None else [published.identity.get(name) for name in ("sae", "top_k")]
        for unit in ("token", "cls")
        for published in [run.state.get("sae_activations", **{**layer.keys, "unit": unit})]
    }
    top_k = layer.sources["sae_activations"].identity.get("top_k")
    unit = "" if made["token"] == made["cls"] else f" --unit {layer.unit}"
    return unit + ("" if top_k is None else f" --top-k {top_k}")


def differing(made_from: Identity, sources: dict[str, Published]) -> list[str]:
    """Where what was made from hidden states names other samples, splits, tokens or model settings than the tables have."""
    found = set()
    for table in ("samples", "tokens"):
        source = sources.get(table)
        if source is None:
            continue
        if made_from.get(f"input:{table}", source.hash) != source.hash:
            found.add(table)
        for name in made_from.keys() & source.identity.keys():
            if name in ("sources", "splits") or name.startswith("model:"):
                found |= {name} if made_from[name] != source.identity[name] else set()
    return sorted(found)
