"""All pairs of clusters and labels with the dense score matrix in memory: the baseline of `bench_full_eval.py pairs`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from full_eval_agree import differences, selections
from full_eval_numpy import DELTAS, DETECTORS, LEVELS, Array, Data, Hidden, quantiles, ratio

from superact.store import Warehouse

BLOCK = 128 * 1024
"""Tokens that are multiplied and rolled up at a time: the normalised rows need not be held beside the scores."""


def dense(warehouse: Warehouse, data: Data) -> tuple[list[str], Array, dict[str, Array]]:
    """Names [C], cosines float32 [C, N], and sample scores float32 [C, S] by aggregate."""
    hidden = Hidden.read(warehouse)
    rows = pq.read_table(warehouse.paths("concepts"))
    names = rows["concept"].to_pylist()
    vectors = np.asarray(rows["vector"].combine_chunks().flatten()).reshape(len(names), -1)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean, rms = hidden.mean.astype(np.float32), np.float32(hidden.rms)
    scores = np.empty((len(names), len(hidden.raw)), dtype=np.float32)
    rolled = {
        kind: np.empty((len(names), len(data.starts)), dtype=np.float32) for kind in ("max", "mean", "last", "random")
    }
    ends = np.r_[data.starts[1:], len(data.owner)]
    first = 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, data.starts[first] + BLOCK, side="right")))
        start, stop = data.starts[first], ends[last - 1]
        xhat = (hidden.raw[start:stop] - mean) / rms
        block = scores[:, start:stop]
        np.matmul(vectors, xhat.T, out=block)
        block /= np.linalg.norm(xhat, axis=1)
        begins = data.starts[first:last] - start
        rolled["max"][:, first:last] = np.maximum.reduceat(block, begins, axis=1)
        sums = np.add.reduceat(block, begins, axis=1, dtype=np.float64)
        rolled["mean"][:, first:last] = sums / (ends[first:last] - data.starts[first:last])
        rolled["last"][:, first:last] = block[:, ends[first:last] - 1 - start]
        rolled["random"][:, first:last] = block[:, data.random[first:last] - start]
        first = last
    return names, scores, rolled


def pairs_numpy(root: Path, results: Path) -> dict[str, Any]:
    """Thresholds of all pairs, their counts on cal, and the choice of every detector and label."""
    clock, processor = time.perf_counter(), time.process_time()
    warehouse = Warehouse(root)
    data = Data.read(warehouse)
    names, scores, rolled = dense(warehouse, data)
    cal = data.splits["cal"]
    order = np.argsort([int(name) for name in names])  # ties of F1 go to the smaller number
    found = []
    for detector, aggregate in DETECTORS.items():
        own = rolled[aggregate][:, cal]
        ascending = np.sort(own, axis=1)
        for label, inside in enumerate(data.inside):
            pool = inside[cal[data.owner[inside]]]
            if not len(pool) or not data.truth[label, cal].any():
                continue
            values = (
                scores[:, pool] if detector == "superactivator" else rolled[aggregate][:, np.unique(data.owner[pool])]
            )
            cuts = quantiles(np.sort(values, axis=1), LEVELS)
            single = cuts.astype(np.float32)
            positive = data.truth[label, cal]
            tp = np.stack([np.count_nonzero(own[:, positive] >= cut[:, None], axis=1) for cut in single.T], axis=1)
            above = np.stack(
                [ascending.shape[1] - np.searchsorted(a, c) for a, c in zip(ascending, single, strict=True)]
            )
            f1 = ratio(2 * tp, above + positive.sum())
            best = order[np.argmax(f1[order].T.reshape(-1)) % len(names)]  # deltas first, then concepts
            delta = int(np.argmax(f1[best]))
            row = {"concept": names[best], "delta": DELTAS[delta], "f1_cal": f1[best, delta]}
            found.append({"detector": detector, "label": data.names[label], **row})
    measured = {
        "seconds": time.perf_counter() - clock,
        "cpu": time.process_time() - processor,
        "matrix MB": scores.nbytes / 1e6,
    }
    results.write_text(json.dumps(found, default=float))
    return measured


def pairs_differences(root: Path, results: Path) -> list[str]:
    """What superact selected otherwise."""
    return differences(selections(Warehouse(root)), json.loads(results.read_text()), ("detector", "label"))
