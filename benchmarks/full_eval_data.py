"""A generated warehouse for bench_full_eval.py: hidden states with planted concepts and their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.rows import activation_rows, embedding_rows, from_columns, lists
from superact.store.shards import shard_tokens

DATASET = {"dataset": "bench"}
MODEL = {**DATASET, "model": "bench"}
PER_SAMPLE = 256
BLOCK = 128 * 1024
"""Tokens a file of embeddings; whole samples."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shape:
    """What is generated. Supervised: a concept a label, scores stored. With `clusters`: so many concepts, nothing scored."""

    tokens: int
    layers: int = 2
    labels: int = 40
    width: int = 64
    clusters: int = 0

    @property
    def samples(self) -> int:
        """Whole samples that hold the tokens."""
        return max(1, round(self.tokens / PER_SAMPLE))

    @property
    def rows(self) -> int:
        """Scores in all: (layer, concept, token)."""
        return self.layers * (self.clusters or self.labels) * self.samples * PER_SAMPLE

    @property
    def concept_set(self) -> str:
        """The set that is evaluated."""
        return "kmeans" if self.clusters else "avg"

    def names(self) -> list[str]:
        """The labels, in name order."""
        return [f"label {number:03d}" for number in range(self.labels)]

    def concepts(self) -> list[str]:
        """The concepts, in name order: the labels, or clusters by number as text."""
        return sorted(map(str, range(self.clusters))) if self.clusters else self.names()

    def keys(self, layer: int) -> dict[str, Any]:
        """Path keys of what belongs to a concept set."""
        return {**MODEL, "layer": layer, "concept_set": self.concept_set, "unit": "token"}


def generate(root: Path, shape: Shape) -> None:
    """Publish the dataset, its hidden states and, of a supervised set, its scores."""
    rng = np.random.default_rng(0)
    inside = labelled(rng, shape)
    with Warehouse(root).run("bench") as run:
        describe(run, rng, shape, inside)
        for layer in range(1, shape.layers + 1):
            write_layer(run, rng, shape, layer, inside)
        run.publish()


def labelled(rng: np.random.Generator, shape: Shape) -> list[tuple[Array, Array]]:
    """For every label its positive samples, about a tenth, and its token rows: one run of 5 to 30 % of each such sample."""
    found = []
    for _ in range(shape.labels):
        positive = np.flatnonzero(rng.random(shape.samples) < 0.1)
        lengths = (rng.uniform(0.05, 0.3, len(positive)) * PER_SAMPLE).astype(int)
        starts = positive * PER_SAMPLE + (rng.random(len(positive)) * (PER_SAMPLE - lengths)).astype(int)
        spans = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        found.append((positive, np.concatenate([np.empty(0, dtype=np.int64), *spans])))
    return found


def describe(run: Run, rng: np.random.Generator, shape: Shape, inside: list[tuple[Array, Array]]) -> None:
    """The tables about samples, tokens and labels."""
    names, samples = shape.names(), shape.samples
    splits = rng.choice(["train", "cal", "test"], samples, p=[0.6, 0.2, 0.2])
    write(run, "samples", DATASET, sample=np.arange(samples), split=splits, modality=["image"] * samples)
    write(run, "labels", DATASET, label=names, source=["bench"] * len(names), evaluated=[True] * len(names))
    for number, (table, keys) in enumerate({"sample_labels": DATASET, "token_labels": MODEL}.items()):
        rows = np.concatenate([own[number] for own in inside])
        label = np.repeat(names, [len(own[number]) for own in inside])
        order = np.argsort(rows, kind="stable")
        rows, label = rows[order], label[order]
        if table == "sample_labels":
            write(run, table, keys, sample=rows, label=label)
        else:
            write(run, table, keys, **places(rows), label=label)
    part = run.partition("tokens", {"bench": "tokens"}, **MODEL)
    for shard, rows in blocks(shape):
        n = len(rows)
        place = places(rows)
        row, col = np.divmod(place["token"], 16)
        columns = {**place, "row": row, "col": col, "is_content": np.ones(n, dtype=bool)}
        part.write(shard, [from_columns(tables()["tokens"].arrow_schema(), **columns)])


def write_layer(
    run: Run, rng: np.random.Generator, shape: Shape, layer: int, inside: list[tuple[Array, Array]]
) -> None:
    """Hidden states of one layer: noise, and in the tokens of a label its direction, strong in few of them; and the scores."""
    width, names = shape.width, shape.concepts()
    unit = {**MODEL, "layer": layer, "unit": "token"}
    directions = unit_rows(rng, shape.labels, width)
    vectors = directions
    if shape.clusters:  # some near a label's direction, most anywhere
        near = np.resize(directions, (shape.clusters, width))
        vectors = normalised(near + unit_rows(rng, shape.clusters, width) * rng.uniform(0.5, 4, (shape.clusters, 1)))
    vectors = vectors.astype(np.float32)
    strengths = rng.uniform(1.5, 4, shape.labels)
    mean, rms = rng.normal(size=width).astype(np.float32), np.float32(2 * np.sqrt(width))
    meta = {"width": width}
    write(run, "layer_stats", unit, meta, mean=lists(mean[None]), rms=[float(rms)], n=[shape.samples * PER_SAMPLE])
    facts = {"method": [shape.concept_set], "supervised": [not shape.clusters], "score": ["cosine"]}
    write(run, "concept_sets", shape.keys(layer), **facts)
    n = len(names)
    columns = {"concept": names, "method": [shape.concept_set] * n, "vector": lists(vectors), "bias": np.zeros(n)}
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    write(run, "concepts", shape.keys(layer), meta, **columns, norm=norms, status=["ok"] * n)
    embeddings = run.partition("embeddings", {"bench": "embeddings"}, **unit)
    embeddings.meta.update(meta)
    scores = None
    if not shape.clusters:
        scores = run.partition("activations", {"bench": "activations"}, **shape.keys(layer))
    for shard, rows in blocks(shape):
        values = rng.standard_normal((len(rows), width), dtype=np.float32)
        for (_, own), direction, strength in zip(inside, directions, strengths, strict=True):
            hit = own[np.searchsorted(own, rows[0]) : np.searchsorted(own, rows[-1] + 1)] - rows[0]
            values[hit] += (strength * rng.uniform(0, 2, (len(hit), 1)) * direction).astype(np.float32)
        values = values * np.float32(2) + mean
        place = {name: column.astype(np.int32) for name, column in places(rows).items()}
        embeddings.write(shard, [embedding_rows(**place, embedding=values)])
        if scores is not None:
            xhat = (values - mean) / rms
            distance = vectors @ xhat.T
            cosine = distance / np.linalg.norm(xhat, axis=1)
            groups = activation_rows(names, place["sample"], place["token"], cosine, distance)
            scores.write(shard, groups)


def blocks(shape: Shape) -> Iterator[tuple[int, Array]]:
    """The token rows of one file after the other."""
    size = min(BLOCK, shard_tokens(shape.labels))
    for shard, start in enumerate(range(0, shape.samples * PER_SAMPLE, size)):
        yield shard, np.arange(start, min(start + size, shape.samples * PER_SAMPLE))


def places(rows: Array) -> dict[str, Array]:
    """Sample and token of token rows."""
    sample, token = np.divmod(rows, PER_SAMPLE)
    return {"sample": sample, "token": token}


def unit_rows(rng: np.random.Generator, n: int, width: int) -> Array:
    """Directions float64 [n, width]."""
    return normalised(rng.normal(size=(n, width)))


def normalised(rows: Array) -> Array:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(run: Run, table: str, keys: dict[str, Any], meta: dict[str, Any] | None = None, **columns: Any) -> None:
    """Publish a small table whole."""
    part = run.partition(table, {"bench": table}, **keys)
    part.meta.update(meta or {})
    part.write(0, [from_columns(tables()[table].arrow_schema(), **columns)])
