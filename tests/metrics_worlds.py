"""Random worlds for the metric tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from oracles import World


def random_world(
    seed: int,
    *,
    samples: int = 12,
    most_tokens: int = 4,
    labels: int = 3,
    clusters: int = 0,
    unit: str = "token",
    density: float = 0.4,
    grid: int = 4,
    measure: str = "cosine",
    width: int = 0,
) -> World:
    """A world of random shapes: ties, samples without content tokens, special tokens that carry labels, labels without tokens,
    token labels without sample labels. `clusters` 0: supervised. `width` of the embeddings, 0 for none.

    Scores are positive multiples of 1.5, whose means over up to four tokens are short in binary, so that no threshold lies
    half-way between two floats or cancels to nearly 0, where the last bit of the quantile, which is DuckDB's own, would decide.
    """
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.permutation(NAMES)[:labels]]
    splits = {s: str(rng.choice(["train", "cal", "test"], p=[0.2, 0.4, 0.4])) for s in range(samples)}
    lengths = rng.integers(0, most_tokens + 1, samples)
    tokens = {(s, t): bool(rng.random() < 0.75) for s in range(samples) for t in range(lengths[s])}
    with_tokens = [name for name in names if rng.random() < 0.75]
    concepts = dict.fromkeys(names, "ok") if not clusters else {str(i): "ok" for i in range(5, 5 + clusters)}
    if not clusters and rng.random() < 0.3:
        concepts[names[0]] = "no_train_positives"
    places = [(s, -1) for s in range(samples)] if unit == "cls" else [key for key, content in tokens.items() if content]
    keys = [(c, s, t) for c, status in concepts.items() if status == "ok" for s, t in places]
    world = World(
        samples=splits,
        tokens=tokens,
        labels={name: bool(rng.random() < 0.9) for name in names},
        sample_labels={(s, name) for s in range(samples) for name in names if rng.random() < density},
        token_labels={(*key, name) for key in tokens for name in with_tokens if rng.random() < density},
        concepts=concepts,
        scores={key: np.float32(rng.integers(1, 2 * grid + 2) * 1.5) for key in keys},
        others={key: np.float32(rng.normal()) for key in keys},
        supervised=not clusters,
        unit=unit,
        seed=int(rng.integers(0, 2**63)),
        measure=measure,
    )
    if width:
        _embed(world, rng, width)
    return world


def _embed(world: World, rng: np.random.Generator, width: int) -> None:
    """Embeddings from a small pool, so that cosines tie, the mean (whose xhat is 0) among them; norms of the concepts."""
    world.mean = rng.normal(size=width).astype(np.float32)
    world.rms = float(rng.uniform(0.5, 2))
    pool = [world.mean, *rng.normal(size=(max(4, len(world.tokens) // 2), width)).astype(np.float32)]
    keys = [(s, -1) for s in world.samples] if world.unit == "cls" else [k for k, c in world.tokens.items() if c]
    world.embeddings = {key: pool[rng.integers(len(pool))] for key in sorted(keys)}
    world.norms = {name: float(rng.uniform(0.1, 2)) for name in world.concepts}


def other_layer(world: World, seed: int) -> World:
    """The same dataset and concepts with other scores: another layer."""
    rng = np.random.default_rng(seed)
    values = np.array(list(world.scores.values()), dtype=np.float32)
    return replace(world, scores=dict(zip(world.scores, rng.permutation(values), strict=True)))


NAMES = ["red", "Red", "rouge vif é", "2", "10", "a'b", "shape::cube", "日本", "", "%s $first"]
"""Label names that differ in case alone, look like numbers, or would break careless quoting."""
