"""The full eval as a careful script does it: everything in memory, one vectorised pass a question. For bench_full_eval.py.

It knows what superact does not ask for: that files are whole blocks of tokens in order, that a concept is a label, that every
token is content and every label has tokens. Only the score the method is judged by is read. Nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from superact.store import Warehouse

DELTAS = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
LEVELS = np.array([0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
DETECTORS = {
    "last_token": "last",
    "max_token": "max",
    "mean_token": "mean",
    "random_token": "random",
    "superactivator": "max",
}
SPLITS = ("cal", "test")
REPLICATES = 1000

Array = np.ndarray[Any, Any]
Row = dict[str, Any]


def splitmix64(x: Array) -> Array:
    """The first output of the generator seeded with x, unsigned 64-bit."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def ratio(numerator: Array, denominator: Array) -> Array:
    """A ratio of counts, 0 where the denominator is."""
    zeros = np.zeros(np.broadcast(numerator, denominator).shape)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)


def quantiles(ordered: Array, levels: Array) -> Array:
    """Linear quantiles of ascending values along the last axis, in DOUBLE."""
    rank = levels * (ordered.shape[-1] - 1)
    low = np.floor(rank).astype(int)
    below = ordered[..., low].astype(np.float64)
    above = ordered[..., np.minimum(low + 1, ordered.shape[-1] - 1)].astype(np.float64)
    return below + (above - below) * (rank - low)


@dataclass
class Data:
    """The tables that are not about a layer. Tokens [N] of samples [S]; `truth` bool [L, S]; `inside`: token rows a label."""

    names: list[str]
    splits: dict[str, Array]
    truth: Array
    owner: Array
    starts: Array
    inside: list[Array]
    random: Array
    draws: Array

    @classmethod
    def read(cls, warehouse: Warehouse, seed: int = 0) -> Data:
        """Read them."""

        def columns(table: str, *names: str) -> list[Array]:
            rows = pq.read_table(warehouse.paths(table), columns=list(names))
            return [coded(rows[name]) if name == "label" else rows[name].to_numpy() for name in names]

        names = sorted(pq.read_table(warehouse.paths("labels"))["label"].to_pylist())
        place = {name: number for number, name in enumerate(names)}

        def coded(column: Any) -> Array:
            encoded = column.combine_chunks().dictionary_encode()
            codes = np.array([place[name] for name in encoded.dictionary.to_pylist()])
            return codes[encoded.indices.to_numpy()]

        (split,) = columns("samples", "split")
        sample, label = columns("sample_labels", "sample", "label")
        truth = np.zeros((len(names), len(split)), dtype=bool)
        truth[label, sample] = True
        (owner,) = columns("tokens", "sample")
        starts = np.searchsorted(owner, np.arange(len(split)))
        sample, token, label = columns("token_labels", "sample", "token", "label")
        order = np.argsort(label, kind="stable")
        inside = np.split((starts[sample] + token)[order], np.bincount(label, minlength=len(names)).cumsum()[:-1])
        sizes = np.diff(np.r_[starts, len(owner)]).astype(np.uint64)
        seeds = splitmix64(np.uint64(seed) ^ np.arange(len(split), dtype=np.uint64))
        token = (np.arange(len(owner)) - starts[owner]).astype(np.uint64)
        draws = splitmix64(seeds[owner] ^ token)
        splits = {name: split == name for name in ("train", *SPLITS)}
        return cls(names, splits, truth, owner, starts, inside, starts + (seeds % sizes).astype(int), draws)


def read_scores(paths: list[str], concepts: int, tokens: int) -> Array:
    """The scores of a layer, float32 [C, N], from files that hold one concept after the other."""
    scores = np.empty((concepts, tokens), dtype=np.float32)
    start = 0
    for path in paths:
        block = pq.read_table(path, columns=["cosine"])["cosine"].to_numpy().reshape(concepts, -1)
        scores[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return scores


@dataclass
class Hidden:
    """The hidden states of a layer, float32 [N, d], raw; normalised in DOUBLE as they are asked for."""

    raw: Array
    mean: Array
    rms: float

    @classmethod
    def read(cls, warehouse: Warehouse, **keys: Any) -> Hidden:
        """Read them."""
        stats = pq.read_table(warehouse.paths("layer_stats", **keys)).to_pylist()[0]
        paths = warehouse.paths("embeddings", **keys)
        raw = np.empty((sum(pq.read_metadata(path).num_rows for path in paths), len(stats["mean"])), dtype=np.float32)
        start = 0
        for path in paths:
            for chunk in pq.read_table(path, columns=["embedding"])["embedding"].chunks:
                raw[start : start + len(chunk)] = np.asarray(chunk.flatten()).reshape(len(chunk), -1)
                start += len(chunk)
        return cls(raw, np.array(stats["mean"], dtype=np.float64), stats["rms"])

    def __getitem__(self, rows: Array) -> Array:
        """Some rows, float64 [n, d]."""
        found: Array = self.raw[rows].astype(np.float64)
        found -= self.mean
        found /= self.rms
        return found


@dataclass
class LayerState:
    """What is known of one layer: scores [C, N], hidden states, and what detection chose."""

    number: int
    scores: Array
    hidden: Hidden
    rolled: dict[str, Array]
    cuts: Array
    chosen: dict[str, dict[str, Row]]


def roll_up(scores: Array, data: Data) -> dict[str, Array]:
    """Sample scores float32 [C, S] by aggregate."""
    ends = np.r_[data.starts[1:], scores.shape[1]]
    sums = np.stack([np.add.reduceat(row.astype(np.float64), data.starts) for row in scores])
    return {
        "max": np.maximum.reduceat(scores, data.starts, axis=1),
        "mean": (sums / (ends - data.starts)).astype(np.float32),
        "last": scores[:, ends - 1],
        "random": scores[:, data.random],
    }


def confusion(own: Array, cuts: Array, truth: Array) -> tuple[Array, Array, Array]:
    """tp, fp, fn [.., deltas] of scores [.., S] against cuts float32 [.., deltas], for truth bool [S]."""
    above = own[..., None, :] >= cuts[..., :, None]
    tp = np.count_nonzero(above[..., truth], axis=-1)
    return tp, np.count_nonzero(above, axis=-1) - tp, truth.sum() - tp


def detect(data: Data, scores: Array, rolled: dict[str, Array]) -> tuple[Array, dict[str, dict[str, Row]]]:
    """Thresholds of superactivator [L, deltas], and by detector the choice of every label, with its counts on test."""
    cal, test = data.splits["cal"], data.splits["test"]
    superactivator = np.full((len(data.names), len(DELTAS)), np.nan)
    chosen: dict[str, dict[str, Row]] = {}
    for detector, aggregate in DETECTORS.items():
        found: list[Row | None] = []
        for label, inside in enumerate(data.inside):
            own = rolled[aggregate][label]
            pool = inside[cal[data.owner[inside]]]
            if not len(pool) or not data.truth[label, cal].any():
                found.append(None)
                continue
            values = scores[label, pool] if detector == "superactivator" else own[np.unique(data.owner[pool])]
            cuts = quantiles(np.sort(values), LEVELS)
            if detector == "superactivator":
                superactivator[label] = cuts
            tp, fp, fn = confusion(own[cal], cuts.astype(np.float32), data.truth[label, cal])
            f1 = ratio(2 * tp, 2 * tp + fp + fn)
            best = int(np.argmax(f1))
            counts = confusion(own[test], cuts[[best]].astype(np.float32), data.truth[label, test])
            tested = dict(zip(("tp", "fp", "fn"), (int(count[0]) for count in counts), strict=True))
            found.append({"delta": DELTAS[best], "threshold": cuts[best], "f1_cal": f1[best], **tested})
        chosen[detector] = {name: row for name, row in zip(data.names, found, strict=True) if row is not None}
    return superactivator, chosen


def detected_layers(warehouse: Warehouse) -> tuple[Data, list[LayerState]]:
    """Read everything and detect, at every layer."""
    data = Data.read(warehouse)
    keys = [dict(published.partition.keys) for published in warehouse.state().select("activations")]
    held = []
    for own in keys:
        scores = read_scores(warehouse.paths("activations", **own), len(data.names), len(data.owner))
        held.append((scores, Hidden.read(warehouse, layer=own["layer"])))
    layers = []
    for own, (scores, hidden) in zip(keys, held, strict=True):
        rolled = roll_up(scores, data)
        layers.append(LayerState(own["layer"], scores, hidden, rolled, *detect(data, scores, rolled)))
    return data, layers


def summarise(data: Data, layers: list[LayerState], seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Rows of layer_selection (the layer of every label), and of summary, with bootstrap intervals."""
    test = np.flatnonzero(data.splits["test"])
    counts = draws(len(test), seed)
    selected, summary = [], []
    for detector, aggregate in DETECTORS.items():
        fired: dict[int | None, dict[str, Array]] = {None: {}}
        rows: dict[int | None, dict[str, Row]] = {None: {}}
        for layer in layers:
            chosen = rows[layer.number] = layer.chosen[detector]
            own = fired[layer.number] = {}
            for name, row in chosen.items():
                scores = layer.rolled[aggregate][data.names.index(name), test]
                own[name] = scores >= np.float32(row["threshold"])
                best = rows[None].get(name)
                if best is None or row["f1_cal"] > best["f1_cal"]:
                    rows[None][name], fired[None][name] = {**row, "layer": layer.number}, own[name]
        for name, row in rows[None].items():
            selected.append({"detector": detector, "label": name, **row})
        for number, own in fired.items():
            summary.append({"detector": detector, "layer": number, **weighted(data, rows[number], own, test, counts)})
    return selected, summary


def draws(n: int, seed: int) -> Array:
    """How often each of n samples is drawn in each replicate: float32 [replicates, n]."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = [np.bincount(generator.integers(0, n, size=n), minlength=n) for _ in range(REPLICATES)]
    return np.stack(drawn).astype(np.float32)


def weighted(data: Data, rows: dict[str, Row], fired: dict[str, Array], test: Array, counts: Array) -> Row:
    """F1 weighted by test positives, and its interval."""
    names = [name for name in fired if data.truth[data.names.index(name), test].any()]
    if not names:
        return {"f1": None, "ci_low": None, "ci_high": None}
    tp, fp, fn = (np.array([rows[name][key] for name in names]) for key in ("tp", "fp", "fn"))
    f1 = (ratio(2 * tp, 2 * tp + fp + fn) * (tp + fn)).sum() / (tp + fn).sum()
    truth = data.truth[np.ix_([data.names.index(name) for name in names], test)].T.astype(np.float32)
    predicted = np.stack([fired[name] for name in names], axis=1).astype(np.float32)
    hits, said, mass = ((counts @ matrix).astype(np.float64) for matrix in (truth * predicted, predicted, truth))
    replicates = ratio((ratio(2 * hits, said + mass) * mass).sum(axis=1), mass.sum(axis=1))
    low, high = np.quantile(replicates, [0.025, 0.975])
    return {"f1": f1, "ci_low": low, "ci_high": high}
