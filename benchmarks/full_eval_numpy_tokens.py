"""The part of the numpy baseline that is about tokens: localization and distributions. See full_eval_numpy.py."""

from __future__ import annotations

import numpy as np
from full_eval_numpy import DELTAS, LEVELS, SPLITS, Array, Data, Hidden, LayerState, Row, quantiles, ratio

EPSILON = 1e-8


def align(data: Data, hidden: Hidden, scores: Array, cuts: Array) -> tuple[Array, Array]:
    """Global and local cosines float32 [L, cal and test tokens] of concepts with these scores [L, N] and thresholds [L]."""
    known = (data.splits["cal"] | data.splits["train"])[data.owner]
    vectors = np.empty((len(cuts), len(hidden.mean)))
    for place, cut in enumerate(cuts):
        own = np.flatnonzero((scores[place] >= cut) & known)
        values = scores[place, own].astype(np.float64)
        vectors[place] = np.exp(values - values.max()) @ hidden[own]
    evaluated = data.splits["cal"] | data.splits["test"]
    rows = np.flatnonzero(evaluated[data.owner])
    xhat = hidden[rows]
    sizes = np.maximum(np.linalg.norm(xhat, axis=1), EPSILON)
    whole = ((normalised(vectors) @ xhat.T) / sizes).astype(np.float32)
    local = np.empty_like(whole)
    ends = np.diff(np.r_[data.starts, len(data.owner)])[evaluated].cumsum()
    for start, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        single = scores[:, rows[start] : rows[end - 1] + 1]
        values = single.astype(np.float64)
        weights = np.exp(values - values.max(axis=1, keepdims=True))
        weights[single < cuts[:, None]] = 0
        own = xhat[start:end]
        local[:, start:end] = (normalised(weights @ own) @ own.T) / sizes[start:end]
    return whole, local


def split_places(data: Data) -> dict[str, Array]:
    """Which of the cal and test tokens are of a split."""
    owner = data.owner[(data.splits["cal"] | data.splits["test"])[data.owner]]
    return {split: data.splits[split][owner] for split in SPLITS}


def normalised(vectors: Array) -> Array:
    """Rows of length 1; one of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), EPSILON)


def at_or_above(values: Array, cuts: Array) -> Array:
    """How many of ascending values reach each cut."""
    return len(values) - np.searchsorted(values, cuts, side="left")


def localize(data: Data, layer: LayerState) -> list[Row]:
    """Rows of localization: the choice of every localizer on cal, and its counts on test."""
    chosen = layer.chosen["superactivator"]
    labels = [number for number, name in enumerate(data.names) if name in chosen]
    cuts = np.array([chosen[data.names[label]]["threshold"] for label in labels]).astype(np.float32)
    everything = len(labels) == len(data.names)
    whole, local = align(data, layer.hidden, layer.scores if everything else layer.scores[labels], cuts)
    parts = split_places(data)
    where = {split: np.flatnonzero(data.splits[split][data.owner]) for split in SPLITS}
    draws = {split: np.sort(data.draws[rows]) for split, rows in where.items()}
    carries = np.zeros(len(data.owner), dtype=bool)
    found = []
    for place, label in enumerate(labels):
        name, inside = data.names[label], data.inside[label]
        row, cut = layer.scores[label], np.float32(chosen[name]["threshold"])
        carries[inside] = True
        grids: dict[str, dict[str, tuple[Array, Array]]] = {}
        totals = {}
        for split, rows in where.items():
            detected = (layer.rolled["max"][label] >= cut)[data.owner[rows]]
            own = carries[rows]
            totals[split] = (int(own.sum()), len(rows))
            grid = layer.cuts[label][chosen[name]["delta"] <= DELTAS].astype(np.float32)
            values = row[rows]
            grids.setdefault("concept_vector", {})[split] = counted(values, detected, own, grid)
            for localizer, cosines in (("superactivator_global", whole), ("superactivator_local", local)):
                values = cosines[place][parts[split]]
                grids.setdefault(localizer, {})[split] = counted(values, detected, own, None)
        cal_share = totals["cal"][0] / totals["cal"][1]
        bound = np.uint64(min(int(np.ceil(cal_share * 2.0**64)), 2**64 - 1))
        drawn = {
            s: (np.searchsorted(draws[s], bound), (data.draws[r[carries[r]]] < bound).sum()) for s, r in where.items()
        }
        carries[inside] = False
        for localizer, counts in grids.items():
            tp, fp = counts["cal"]
            best = int(np.argmax(ratio(2 * tp, tp + fp + totals["cal"][0])))
            levels = LEVELS[chosen[name]["delta"] <= DELTAS] if localizer == "concept_vector" else DELTAS
            test = {"tp": int(counts["test"][0][best]), "fp": int(counts["test"][1][best])}
            found.append({"label": name, "localizer": localizer, "quantile": levels[best], **test})
        positives, n = totals["test"]
        floors = {"always": (0.0, positives, n - positives), "never": (1.0, 0, 0)}
        floors["random"] = (1 - cal_share, int(drawn["test"][1]), int(drawn["test"][0] - drawn["test"][1]))
        for localizer, (quantile, tp, fp) in floors.items():
            found.append({"label": name, "localizer": localizer, "quantile": quantile, "tp": tp, "fp": fp})
    return found


def counted(
    values: Array, detected: Array, own: Array, cuts: Array | None, levels: Array = DELTAS
) -> tuple[Array, Array]:
    """tp and fp of every cut over the tokens of detected samples; without cuts, at the quantiles of those tokens' values."""
    ordered = np.sort(values[detected])
    if cuts is None:
        cuts = np.full(len(levels), np.inf, dtype=np.float32)
        if len(ordered):
            cuts = quantiles(ordered, levels).astype(np.float32)
    tp = at_or_above(np.sort(values[detected & own]), cuts)
    return tp, at_or_above(ordered, cuts) - tp


def distribute(data: Data, layer: LayerState) -> list[Row]:
    """Rows of separation, each with the histograms of its three populations and its sums of superactivator_ratio."""
    rows = np.flatnonzero(data.splits["test"][data.owner])
    owner = data.owner[rows]
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    inside = np.zeros(len(data.owner), dtype=bool)
    found = []
    for label, name in enumerate(data.names):
        chosen = layer.chosen["superactivator"].get(name)
        inside[data.inside[label]] = True
        own, carried = inside[rows], data.truth[label][owner]
        inside[data.inside[label]] = False
        scores = layer.scores[label, rows]
        found.append({"label": name, **separated(scores, own, carried)})
        if chosen is not None:
            above = scores >= np.float32(chosen["threshold"])
            owning = np.add.reduceat(own, starts, dtype=np.int64) > 0
            sums = (np.add.reduceat(mask, starts, dtype=np.int64)[owning].sum() for mask in (above, above & own, own))
            found[-1]["ratio"] = [int(n) for n in sums]
            tail_in, tail_out = (above & own).sum(), (above & ~own & ~carried).sum()
            covered = (np.add.reduceat(above & carried, starts, dtype=np.int64) > 0).sum()
            carriers = data.truth[label, data.splits["test"]].sum()
            found[-1] |= {
                "tail_mass": float(ratio(tail_in, own.sum())),
                "tail_coverage": float(ratio(covered, carriers)),
            }
            found[-1]["tail_precision"] = float(ratio(tail_in, tail_in + tail_out))
    return found


def separated(scores: Array, own: Array, carried: Array) -> Row:
    """Histograms int [3, 100] of in_concept, in_sample_not_token and out_of_concept; overlap, AUC and Cohen's d."""
    values = scores.astype(np.float64)
    low, high = values.min(), values.max()
    bins = np.minimum(np.floor((values - low) / (high - low) * 100), 99).astype(np.int64) if high > low else own * 0
    population = np.where(own, 0, np.where(carried, 1, 2))
    histograms = np.bincount(population * 100 + bins, minlength=300).reshape(3, 100)
    found: Row = {"histograms": histograms.tolist(), "overlap": None, "auc": None, "cohens_d": None}
    outside = ~own & ~carried
    n_in, n_out = int(own.sum()), int(outside.sum())
    if n_in and n_out:
        found["overlap"] = float(np.minimum(histograms[0] / n_in, histograms[2] / n_out).sum())
        ordered, tested = np.sort(scores[outside]), np.sort(scores[own])
        below = (
            np.searchsorted(ordered, tested, side="left").sum() + np.searchsorted(ordered, tested, side="right").sum()
        )
        found["auc"] = float(below / 2 / n_in / n_out)
        if n_in > 1 and n_out > 1:
            pooled = ((n_in - 1) * values[own].var(ddof=1) + (n_out - 1) * values[outside].var(ddof=1)) / (
                n_in + n_out - 2
            )
            found["cohens_d"] = float((values[own].mean() - values[outside].mean()) / np.sqrt(pooled))
    return found
