"""Whether the numpy baselines of bench_full_eval.py and superact came to the same results on the same data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from superact.store import Warehouse

REAL = 1e-9
"""Reals may differ by this, relative to the larger one or to 1."""
Row = dict[str, Any]


def rows_of(warehouse: Warehouse, table: str) -> list[Row]:
    """The rows of a metric table, with its layer where that is a path key."""
    found: list[Row] = []
    for published in warehouse.state().select(table):
        layer = {name: value for name, value in published.partition.keys if name == "layer"}
        for file in published.files:
            columns = pq.read_table(warehouse.root / file.path)
            found += [layer | row for row in columns.to_pylist()]
    return found


def differences(ours: Iterable[Row], theirs: Iterable[Row], keys: tuple[str, ...]) -> list[str]:
    """What differs between rows of superact and of a baseline, by key, in the columns that the baseline has."""
    known = {tuple(row[key] for key in keys): row for row in ours}
    found, seen = [], set()
    for row in theirs:
        key = tuple(row[name] for name in keys)
        seen.add(key)
        if key not in known:
            found.append(f"{key} is not in superact's")
            continue
        own = known[key]
        found += [f"{key} {name}: {own[name]} {row[name]}" for name in row if not same(own.get(name), row[name])]
    return found + [f"{key} is not in the baseline's" for key in known if key not in seen]


def same(one: Any, other: Any) -> bool:
    """Equal, reals nearly."""
    if isinstance(one, float) and isinstance(other, (float, int)):
        return bool(abs(one - other) <= REAL * max(1.0, abs(one)))
    return bool(one == other)


def selections(warehouse: Warehouse) -> list[Row]:
    """selection, but for labels that could not be calibrated."""
    return [row for row in rows_of(warehouse, "selection") if row["delta"] is not None]


def compare(warehouse: Warehouse, found: dict[str, list[Row]], distributions: bool) -> dict[str, list[str]]:
    """By table, what differs between superact's tables and the baseline's rows."""
    localized = [row for row in rows_of(warehouse, "localization") if row["split"] == "test"]
    chosen = [row for row in rows_of(warehouse, "layer_selection") if row["layer"] is not None]
    report = {
        "selection": differences(selections(warehouse), found["selection"], ("layer", "detector", "label")),
        "localization": differences(localized, found["localization"], ("layer", "label", "localizer")),
        "layer_selection": differences(chosen, found["layer_selection"], ("detector", "label")),
        "summary": differences(rows_of(warehouse, "summary"), found["summary"], ("layer", "detector")),
    }
    if distributions:
        report["separation"] = differences(rows_of(warehouse, "separation"), found["separation"], ("layer", "label"))
        report["distributions"] = histogram_differences(warehouse, found["histograms"])
        report["superactivator_ratio"] = ratio_differences(warehouse, found["ratio"])
    return report


def histogram_differences(warehouse: Warehouse, theirs: list[Row]) -> list[str]:
    """Whether every bin has as many tokens."""
    counts: dict[tuple[int, str], np.ndarray[Any, Any]] = {}
    populations = ("in_concept", "in_sample_not_token", "out_of_concept")
    for row in rows_of(warehouse, "distributions"):
        own = counts.setdefault((row["layer"], row["label"]), np.zeros((3, 100), dtype=int))
        own[populations.index(row["population"]), row["bin"]] = row["n"]
    ours = [{"layer": layer, "label": label, "n": own.tolist()} for (layer, label), own in counts.items()]
    return differences(ours, theirs, ("layer", "label"))


def ratio_differences(warehouse: Warehouse, theirs: list[Row]) -> list[str]:
    """Whether the sums over samples agree."""
    sums: dict[tuple[int, str], list[int]] = {}
    for row in rows_of(warehouse, "superactivator_ratio"):
        own = sums.setdefault((row["layer"], row["label"]), [0, 0, 0])
        for i, name in enumerate(("n_superactivators", "n_superactivators_in_concept", "n_in_concept")):
            own[i] += row[name]
    ours = [{"layer": layer, "label": label, "sums": own} for (layer, label), own in sums.items()]
    return differences(ours, [row for row in theirs if any(row["sums"])], ("layer", "label"))


def agreement(warehouse: Warehouse, slice_rows: list[Row]) -> list[str]:
    """What the published structure's slice chose otherwise than superact."""
    deltas = {(row["layer"], row["detector"], row["label"]): row["delta"] for row in rows_of(warehouse, "selection")}
    levels = {
        (row["layer"], row["localizer"], row["label"]): row["quantile"]
        for row in rows_of(warehouse, "localization")
        if row["split"] == "test"
    }
    found = []
    for row in slice_rows:
        for name, known in (("detectors", deltas), ("localizers", levels)):
            for kind, value in row[name].items():
                key = (row["layer"], kind, row["label"])
                if known.get(key) != value:
                    found.append(f"{key}: {known.get(key)} {value}")
    return found
