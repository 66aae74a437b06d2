"""What the tables of eval are made from.

An identity names every input by its hash, and nothing that the rows do not depend on: labels leave sample_scores alone, and
token tables and the seed leave unit cls alone. Tables of stages that are not asked for have an identity too, so that a stage
can tell whether what it reads is what an earlier stage would write now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from superact.metrics.layer import (
    DATASET_TABLES,
    DISTRIBUTIONS,
    KEPT_CONCEPTS,
    METRICS,
    MODEL_TABLES,
    Layer,
    Protocol,
    Source,
)
from superact.schemas import FORMAT
from superact.store import Run
from superact.store.identity import DERIVED_BY, Identity, hash_of

STEP_VERSION = 2
_EVERY: Identity = {"step": DERIVED_BY, "step_version": STEP_VERSION, "schema_version": FORMAT}
"""What every identity of eval begins with."""

_SCORED: dict[Source, tuple[str, ...]] = {
    "activations": ("activations",),
    "embeddings": ("embeddings", "layer_stats"),
    "sae_activations": ("sae_activations", "sae_units"),
}
"""What the scores of all concepts are made from."""
_OF_TOKENS: dict[Source, tuple[str, ...]] = {
    "activations": ("activations",),
    "embeddings": ("activations",),
    "sae_activations": ("sae_activations", "tokens"),
}
"""What the scores of all content tokens for the selected concepts are read from."""


def identities(layer: Layer, protocol: Protocol, hashes: dict[str, str]) -> dict[str, Identity]:
    """What every table of a layer but localization's is made from; a derived table is named by its own identity's hash.

    `hashes` has those of the inputs, and is given those of the derived tables.
    """

    def identity(table: str, inputs: Iterable[str], **fields: Any) -> Identity:
        found = {**_EVERY, "table": table, **fields, **{f"input:{name}": hashes[name] for name in inputs}}
        hashes[table] = hash_of(found)
        return found

    token = layer.unit == "token"
    seed = {"seed": protocol.seed} if token else {}  # of the random token
    found: dict[str, Identity] = {}
    if layer.source == "sae_activations":
        # Every evaluated label of the dataset counts, whichever are asked for.
        counted = ["labels", "tokens", "token_labels"] if token else []
        found["sae_units"] = identity("sae_units", ["sae_activations", "samples", *counted])
    rolled = [*_SCORED[layer.source], "concepts", "concept_sets", "samples", *(["tokens"] if token else [])]
    judged = [*rolled, "labels", "sample_labels", *(["token_labels"] if token else [])]
    extent: Identity = {} if layer.labels is None else {"labels": list(layer.labels)}
    kept: Identity = {} if layer.supervised else {"kept_concepts": "all" if protocol.all_pairs else KEPT_CONCEPTS}
    found["sample_scores"] = identity("sample_scores", rolled, **seed)
    for table in METRICS:
        found[table] = identity(table, judged, **seed, **extent, **(kept if table == "detection" else {}))
    if layer.source == "embeddings":
        found["activations"] = identity("activations", ["embeddings", "layer_stats", "concepts", "selection"])
    if token:
        described = [*_OF_TOKENS[layer.source], "selection", "concepts", *DATASET_TABLES, "token_labels"]
        for table in DISTRIBUTIONS:
            found[table] = identity(table, described)
    return found


def localization_identities(run: Run, layer: Layer, hashes: dict[str, str]) -> dict[str, Identity]:
    """Identities of localization: with the alignment of tokens where there are embeddings, or were when it was computed.

    The alignment depends on what detector superactivator selected, which follows from the inputs named here; the seed, which
    other detectors read, leaves it alone.
    """
    if layer.unit != "token":
        return {}
    found: dict[str, Identity] = {}
    inputs = ["embeddings", "layer_stats", "concepts", "concept_sets", *DATASET_TABLES, *MODEL_TABLES]
    inputs += [name for name in _SCORED[layer.source] if name not in inputs]
    embeddings = embeddings_hash(run, layer, "localization_scores")
    if embeddings is not None and "layer_stats" in hashes:
        known = {**hashes, "embeddings": embeddings}
        extent: Identity = {} if layer.labels is None else {"labels": list(layer.labels)}
        scores: Identity = {
            **_EVERY,
            "table": "localization_scores",
            **extent,
            **{f"input:{name}": known[name] for name in inputs},
        }
        published = run.state.get("localization_scores", **layer.own("localization_scores"))
        # Without the embeddings what there is stands while it is what would be made; else it is gone with them.
        if "embeddings" in layer.sources or (published is not None and published.identity == scores):
            found["localization_scores"] = scores
            hashes["localization_scores"] = hash_of(scores)
    inputs = [*_OF_TOKENS[layer.source], "selection", "thresholds", "samples", "labels", *MODEL_TABLES, *found]
    seed = layer.identities["selection"]["seed"]  # of the drawn tokens
    found["localization"] = {
        **_EVERY,
        "table": "localization",
        "seed": seed,
        **{f"input:{name}": hashes[name] for name in inputs},
    }
    return found


def embeddings_hash(run: Run, layer: Layer, table: str) -> Any:
    """Hash of the embeddings, or of those that a derived table was made from before they were dropped; or None."""
    if "embeddings" in layer.sources:
        return layer.sources["embeddings"].hash
    published = run.state.get(table, **layer.own(table))
    return None if published is None else published.identity.get("input:embeddings")


def summary_identity(protocol: Protocol, layers: Sequence[Layer], table: str) -> Identity:
    """What a table over these layers of one (dataset, model, concept_set, unit) is made from."""
    # Of the bootstrap: layer_selection draws nothing.
    drawn = {} if table == "layer_selection" else {"seed": protocol.seed, "replicates": protocol.replicates}
    return {
        **_EVERY,
        "table": table,
        **drawn,
        **{f"layer:{layer.number}": hash_of(layer.identities["selection"]) for layer in layers},
    }
