"""Small worlds of sparse autoencoders: zeros written out for the oracles, left out where they are published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from metrics_tables import KEYS, arrow, random_world, records, write_table
from oracles import World

from superact.store import Warehouse

SAE = {**KEYS, "concept_set": "sae"}
SHARES = (0.0, 0.03, 0.15, 0.3, 0.4, 0.5, 0.6, 0.95)
"""How often the features of a world are active, in turn."""
Unit = tuple[int, float, np.float32, float, float, float, str]
"""n_active, share_active, max_activation, mean_activation, p95, p99, status"""


def sparse_world(seed: int, *, samples: int = 60, features: int = 24, unit: str = "token", **options: Any) -> World:
    """A random world whose concepts are features, most of them 0 on most tokens; multiples of 1.5, as everywhere."""
    world = random_world(seed, samples=samples, clusters=features, unit=unit, measure="activation", **options)
    rng = np.random.default_rng(seed)
    share = {name: SHARES[place % len(SHARES)] for place, name in enumerate(world.concepts)}
    scores = {key: value if rng.random() < share[key[0]] else np.float32(0) for key, value in world.scores.items()}
    return replace(world, scores=scores, seed=0)


def units_of(world: World, modality: str = "text") -> dict[tuple[str], Unit]:
    """What table sae_units must hold, from the words of docs/metrics/sae-units.md."""
    cal = set(world.split("cal"))
    rows = [key for key, content in world.tokens.items() if content and key[0] in cal]
    n_rows = len(rows) if world.unit == "token" else len(cal)
    inside = {label: [key for key in rows if (*key, label) in world.token_labels] for label in world.evaluated}
    sizes = [len(own) for own in inside.values() if own]
    values = {
        name: [
            float(v) for (concept, sample, _), v in world.scores.items() if concept == name and sample in cal and v > 0
        ]
        for name in world.concepts
    }
    active = {name: own for name, own in values.items() if own}
    status = dict.fromkeys(active, "kept")
    if world.unit == "token":
        images = modality == "image"
        least, most, level = (200, n_rows * 0.02, 0.75) if images else (500, n_rows * 0.03, 0.7)
        if sizes:
            least = int(0.75 * min(sizes)) if images else max(10, int(0.01 * min(sizes)))
            most = 1.25 * max(sizes)
            level = 0.5 if len(sizes) == 1 else 0.6 if len(sizes) < 10 else 0.7 if len(sizes) < 30 else 0.8
        for name, own in active.items():
            status[name] = "dead" if len(own) < least else "ubiquitous" if len(own) > most else "kept"
        left = {name: np.quantile(active[name], 0.99) for name, own in status.items() if own == "kept"}
        for name, p99 in left.items():
            status[name] = "weak" if p99 < np.quantile(list(left.values()), level) else "kept"
    return {
        (name,): (
            *(len(own), len(own) / n_rows, np.float32(max(own)), float(np.mean(own))),
            *(float(np.quantile(own, q)) for q in (0.95, 0.99)),
            status[name],
        )
        for name, own in active.items()
    }


def kept(world: World, modality: str = "text") -> World:
    """The world that is evaluated: its concepts are the units that are kept."""
    names = [name for (name,), row in units_of(world, modality).items() if row[-1] == "kept"]
    scores = {key: value for key, value in world.scores.items() if key[0] in names}
    return replace(world, concepts=dict.fromkeys(names, "ok"), scores=scores)


def active_rows(world: World) -> list[dict[str, Any]]:
    """The rows of table sae_activations, in (feature, sample, token) order."""
    rows = [(int(concept), *key, value) for (concept, *key), value in world.scores.items() if value > 0]
    return [dict(zip(("feature", "sample", "token", "activation"), row, strict=True)) for row in sorted(rows)]


def publish_sae(
    root: Path, world: World, *, modality: str = "text", files: int = 1, version: int = 1, **keys: Any
) -> Warehouse:
    """Publish a world as `superact sae encode` does, the active rows in so many files, each of some samples."""
    keys = {**SAE, "unit": world.unit, **keys}
    found = records(world)
    found["samples"] = [{**row, "modality": modality} for row in found["samples"]]
    found["concepts"] = [{**row, "method": "sae"} for row in found["concepts"]]
    del found["activations"]
    warehouse = Warehouse(root)
    with warehouse.run("test", replace=version > 1) as run:
        for table, rows in found.items():
            write_table(run, table, rows, version if table == "concepts" else 1, **keys)
        facts = {"method": "sae", "supervised": False, "score": "activation", "k": len(world.concepts)}
        write_table(run, "concept_sets", [facts], version, **keys)
        part = run.partition("sae_activations", {"test": "sae_activations", "version": version}, **keys)
        if not part.current:
            rows = active_rows(world)
            for shard in range(files):
                own = [row for row in rows if row["sample"] * files // (max(world.samples) + 1) == shard]
                part.write(shard, [arrow("sae_activations", own)] if own else [])
        run.publish()
    return warehouse
