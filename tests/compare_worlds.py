"""What the tests of comparisons evaluate: five concept sets at three layers, tokens and whole samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import oracles
from metrics_tables import KEYS, other_layer, random_world, write_table
from oracles import World

from superact.metrics.compare import Comparison
from superact.metrics.evaluate import Protocol
from superact.store import Warehouse

PROTOCOL = Protocol(seed=7, replicates=25)
LAYERS = (1, 2, 4)
HELD_OUT, UNTESTED = "cube", "night"
"""A label that only unit cls can calibrate, and one that no test sample carries."""


def a_world() -> World:
    """Four labels, two of them with a corner case."""
    world = replace(random_world(5, samples=48, labels=1, density=0.3), seed=7)
    rng = np.random.default_rng(8)
    names = ["ball", HELD_OUT, "red", UNTESTED]
    content = [key for key, is_content in world.tokens.items() if is_content]
    token_labels = {(*key, name) for key in content for name in names if rng.random() < 0.3}
    # A token of train carries it, so that the weak rule does not help out.
    token_labels = {key for key in token_labels if key[2] != HELD_OUT or world.samples[key[0]] == "train"}
    carried = {(s, name) for s, _, name in token_labels} | {(s, HELD_OUT) for s in world.samples if rng.random() < 0.4}
    return replace(
        world,
        labels=dict.fromkeys(names, True),
        concepts=dict.fromkeys(names, "ok"),
        token_labels=token_labels,
        sample_labels={(s, name) for s, name in carried if name != UNTESTED or world.samples[s] != "test"},
        scores={(name, *key): np.float32(rng.integers(1, 12) * 1.5) for name in names for key in content},
        others={},
    )


def whole_samples(world: World, seed: int) -> World:
    """The same samples as unit cls, with scores of their own."""
    rng = np.random.default_rng(seed)
    scores = {(c, s, -1): np.float32(rng.integers(1, 12) * 1.5) for c in world.concepts for s in world.samples}
    return replace(world, unit="cls", scores=scores)


def make_worlds() -> dict[tuple[str, str], dict[int, World]]:
    """By concept set and unit the world of each layer; one set has no unit token."""
    base = a_world()
    found: dict[tuple[str, str], dict[int, World]] = {}
    for number, name in enumerate(("linsep", "avg", "linsep-seed1", "linsep-seed2")):
        found[name, "token"] = {layer: other_layer(base, 10 * number + layer) for layer in LAYERS}
        found[name, "cls"] = {layer: whole_samples(base, 10 * number + layer) for layer in LAYERS}
    found["whole", "cls"] = {layer: whole_samples(base, 90 + layer) for layer in LAYERS}
    return found


METHODS = {
    "avg": {"method": "avg", "score": "cosine"},
    "linsep": {"method": "linsep", "score": "cosine", "seed": 0, "hyperparameters": "{}"},
    "linsep-seed1": {"method": "linsep", "score": "cosine", "seed": 1, "hyperparameters": "{}"},
    "linsep-seed2": {"method": "linsep", "score": "cosine", "seed": 2, "hyperparameters": "{}"},
    "whole": {"method": "imported", "score": "cosine"},
}


def describe(warehouse: Warehouse, version: int = 2, **changes: dict[str, Any]) -> None:
    """Publish what the concept sets are, where publish_world says that all are `avg`; `changes` by set, with _ for -."""
    changed = {name.replace("_", "-"): facts for name, facts in changes.items()}
    with warehouse.run("test", replace=True) as run:
        for published in run.state.select("concept_sets"):
            keys = dict(published.partition.keys)
            facts = METHODS[str(keys["concept_set"])] | changed.get(str(keys["concept_set"]), {})
            write_table(run, "concept_sets", [{"supervised": True, **facts}], version, **keys)
        write_table(run, "datasets", [{"name": "Toy Set", "modality": "text", "digest": "x"}], version, **KEYS)
        facts = {"name": "Tiny model", "modality": "text", "width": 2, "blocks": 4}
        write_table(run, "models", [facts], version, **KEYS)
        run.publish()


def judged(layers: dict[int, World], layer: int | None) -> oracles.Judged:
    return oracles.judged_best(layers) if layer is None else oracles.judged(layers[layer])


def close(found: float | None, wanted: float | None) -> bool:
    return found is wanted if found is None or wanted is None else abs(found - wanted) <= 1e-12


def by_cell(comparison: Comparison) -> dict[tuple[str | None, str | None], dict[str, Any]]:
    found = {(row["concept_set"] or row["method"], row["detector"]): row for row in comparison.rows}
    assert len(found) == len(comparison.rows)
    return found
