"""The structure of the published scripts: the scores of a concept are loaded again for every delta. See bench_full_eval.py.

What is loaded is kinder than there: one concept's column, where the published scripts load every concept's. `shared`: a load of
a (delta, concept) serves all detectors and both splits; else, as published, each has its own. Hidden states are loaded once,
the alignment with superactivators is computed once a concept, and the localizers load scores only.
"""

from __future__ import annotations

import time

import numpy as np
import pyarrow.parquet as pq
from full_eval_numpy import DELTAS, DETECTORS, LEVELS, Array, Data, Hidden, Row, confusion, quantiles, ratio, roll_up
from full_eval_numpy_tokens import SPLITS, align, counted, split_places

from superact.store import Warehouse


class Columns:
    """Loads the column of one concept of a layer, and counts how often."""

    def __init__(self, warehouse: Warehouse, layer: int) -> None:
        self._paths = warehouse.paths("activations", layer=layer)
        self.loads, self.seconds = 0, 0.0

    def load(self, concept: int) -> Array:
        """The scores of a concept, float32 [N]."""
        clock = time.perf_counter()
        parts = []
        for path in self._paths:
            with pq.ParquetFile(path) as reader:
                parts.append(reader.read_row_group(concept, columns=["cosine"])["cosine"].to_numpy())
        self.loads += 1
        found = np.concatenate(parts)
        self.seconds += time.perf_counter() - clock
        return found


def choose(data: Data, columns: Columns, label: int, shared: bool) -> dict[str, Row]:
    """Thresholds, detection on cal and test at every delta, and the choice of every detector."""
    cal, test = data.splits["cal"], data.splits["test"]
    pool = data.inside[label][cal[data.owner[data.inside[label]]]]
    if not len(pool) or not data.truth[label, cal].any():
        return {}
    thresholds: dict[str, Array] = {}
    for names in [list(DETECTORS)] if shared else [[name] for name in DETECTORS]:
        scores = columns.load(label)[None]
        rolled = roll_up(scores, data)
        for name in names:
            own = (
                scores[0, pool] if name == "superactivator" else rolled[DETECTORS[name]][0, np.unique(data.owner[pool])]
            )
            thresholds[name] = quantiles(np.sort(own), LEVELS)
    groups = [[(name, split) for name in DETECTORS for split in SPLITS]]
    if not shared:
        groups = [[pair] for pair in groups[0]]
    counts: dict[tuple[str, str], list[tuple[Array, Array, Array]]] = {}
    for group in groups:
        for delta in range(len(DELTAS)):
            rolled = roll_up(columns.load(label)[None], data)
            for name, split in group:
                rows = cal if split == "cal" else test
                cut = thresholds[name][[delta]].astype(np.float32)
                found = confusion(rolled[DETECTORS[name]][0, rows], cut, data.truth[label, rows])
                counts.setdefault((name, split), []).append(found)
    chosen = {}
    for name in DETECTORS:
        tp, fp, fn = (np.concatenate(column) for column in zip(*counts[name, "cal"], strict=True))
        f1 = ratio(2 * tp, 2 * tp + fp + fn)
        best = int(np.argmax(f1))
        chosen[name] = {"delta": DELTAS[best], "threshold": thresholds[name][best], "f1_cal": f1[best]}
    chosen["superactivator"]["cuts"] = thresholds["superactivator"]
    return chosen


def localize(data: Data, columns: Columns, hidden: Hidden, label: int, chosen: dict[str, Row]) -> dict[str, float]:
    """The quantile that every localizer chooses on cal, its counts on test computed with one more load."""
    best = chosen["superactivator"]
    cut = np.float32(best["threshold"])
    whole, local = align(data, hidden, columns.load(label)[None], np.array([cut]))
    parts = split_places(data)
    own = np.zeros(len(data.owner), dtype=bool)
    own[data.inside[label]] = True
    found = {}
    for localizer, cosines in (
        ("concept_vector", None),
        ("superactivator_global", whole[0]),
        ("superactivator_local", local[0]),
    ):
        grid = DELTAS if cosines is not None else DELTAS[best["delta"] <= DELTAS]
        f1 = []
        for level in [*grid, None]:  # the last one: the chosen level on test
            split = "cal" if level is not None else "test"
            scores = columns.load(label)
            rows = np.flatnonzero(data.splits[split][data.owner])
            detected = (np.maximum.reduceat(scores, data.starts) >= cut)[data.owner[rows]]
            level = level if level is not None else grid[int(np.argmax(f1))]
            cuts = best["cuts"][level == DELTAS].astype(np.float32) if cosines is None else None
            values = scores[rows] if cosines is None else cosines[parts[split]]
            tp, fp = counted(values, detected, own[rows], cuts, np.array([level]))
            if split == "cal":
                f1.append(float(ratio(2 * tp, tp + fp + own[rows].sum())[0]))
            else:
                found[localizer] = float(LEVELS[level == DELTAS][0] if cosines is None else level)
    return found


def slice_of(warehouse: Warehouse, labels: list[int], shared: bool) -> Row:
    """Some labels of every layer: seconds without what is read once, seconds of that, loads, and what was chosen."""
    clock = time.perf_counter()
    data = Data.read(warehouse)
    once, own, loads, load_seconds = time.perf_counter() - clock, 0.0, 0, 0.0
    found = []
    for layer in sorted(
        dict(published.partition.keys)["layer"] for published in warehouse.state().select("activations")
    ):
        clock = time.perf_counter()
        hidden = Hidden.read(warehouse, layer=layer)
        once += time.perf_counter() - clock
        columns = Columns(warehouse, layer)
        clock = time.perf_counter()
        for label in labels:
            chosen = choose(data, columns, label, shared)
            located = localize(data, columns, hidden, label, chosen) if chosen else {}
            detected = {name: row["delta"] for name, row in chosen.items()}
            found.append({"layer": layer, "label": data.names[label], "detectors": detected, "localizers": located})
        own += time.perf_counter() - clock
        loads, load_seconds = loads + columns.loads, load_seconds + columns.seconds
    return {"own": own, "once": once, "loads": loads, "load_seconds": load_seconds, "chosen": found}
