"""Thresholds, detection, and what was chosen on cal: `Thresholds`, `Quant_Results`, `Unsupervised_Matches`, `Best_...`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from superact.published.files import METRIC_COLUMNS, PublishedFile, fetch, frame_files, grid
from superact.published.names import DETECTORS, REGULAR, SAMPLE_TYPES
from superact.published.sets import ConceptSet
from superact.query import Session

if TYPE_CHECKING:
    import polars as pl

_AGGREGATED = (
    *("concept", "percentile", "threshold", "precision", "recall", "f1", "tp", "fp", "fn"),
    *("n_detected", "n_gt_positive"),
)
_SPLITS = {"test": "", "cal": "_cal"}

Dictionary = dict[Any, Any]


def detectors_of(one: ConceptSet) -> dict[str, str]:
    """The detectors of a set's unit with their published names; the regular one has none."""
    regular = {REGULAR[one.unit]: ""}
    return {**regular, **DETECTORS} if one.unit == "token" else regular


def threshold_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """`Thresholds`: {N: {concept: (threshold, 0)}}, by (concept, cluster) for clusters and units."""
    deltas = grid(session)
    pairs = "" if one.supervised else "_allpairs"
    for detector, name in detectors_of(one).items():
        # The second slot was meant for a random threshold, which the published code never computes.
        second = 0 if one.supervised and not name else math.nan
        found: Dictionary = {delta: {} for delta in deltas}
        rows = fetch(session, "thresholds", {**one.keys, "detector": detector})
        for delta, label, concept, threshold in rows.iter_rows():
            found[delta][label if one.supervised else (label, concept)] = (threshold, second)
        folder, prefix = f"Thresholds/{one.folder}", f"{name}_" if name else ""
        yield PublishedFile(f"{folder}/{prefix}all_percentiles{pairs}_{one.con}.pt", found)
        if name and one.supervised:
            for delta in deltas:
                yield PublishedFile(f"{folder}/per_{delta * 100}_{one.con}_{name}.pt", found[delta])


def detection_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """`Quant_Results`: the confusion of every threshold on test and cal, one file a delta or one for all."""
    deltas = grid(session)
    for detector, name in detectors_of(one).items():
        for split, suffix in _SPLITS.items():
            rows = fetch(session, "detection", {**one.keys, "detector": detector, "split": split})
            if one.supervised and name:
                yield _aggregated(one, name, split, rows)
                continue
            for delta in deltas:
                yield from _per_delta(one, name, delta, suffix, rows)


def _aggregated(one: ConceptSet, name: str, split: str, rows: pl.DataFrame) -> PublishedFile:
    named = rows.rename({"label": "concept", "concept": "vector", "delta": "percentile"})
    return PublishedFile(
        f"Quant_Results/{one.folder}/detectfirst_{name}_{split}_{one.con}.csv", named.select(_AGGREGATED)
    )


def _per_delta(one: ConceptSet, name: str, delta: float, suffix: str, rows: pl.DataFrame) -> Iterator[PublishedFile]:
    import polars as pl

    folder, end = f"Quant_Results/{one.folder}", f"per_{delta}_{one.con}{suffix}"
    own = rows.filter(pl.col("delta") == delta)
    chosen = own.filter("chosen") if not one.supervised else own
    matched = chosen.with_columns(concept=pl.col("label")).select(METRIC_COLUMNS)
    if one.supervised:
        yield from frame_files(f"{folder}/detectionmetrics_{end}", matched)
        return
    # The published cell is a printed tuple, which its readers parse as a literal.
    printed = [str(pair) for pair in own.select("label", "concept").iter_rows()]
    pairs = own.with_columns(concept=pl.Series(printed, dtype=pl.String)).select(METRIC_COLUMNS)
    prefix = f"{name}_" if name else ""
    yield PublishedFile(f"{folder}/detectionmetrics_{prefix}allpairs_{end}.csv", pairs)
    stem = f"detectfirst_{name}" if name else "detectionmetrics"
    yield PublishedFile(f"{folder}/{stem}_{end}.csv", matched)


def choice_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """What selection holds: the best delta of every label and, for clusters and units, its match, all chosen on cal."""
    import polars as pl

    deltas = grid(session)
    rows = fetch(session, "selection", one.keys)
    for detector, name in detectors_of(one).items():
        own = rows.filter(pl.col("detector") == detector).to_dicts()
        if not name:
            yield from _best_percentiles(one, own)
        else:
            content = {
                "best_percentiles": {row["label"]: row["delta"] for row in own},
                "best_f1_scores": {row["label"]: row["f1_cal"] for row in own},
                "percentiles_evaluated": deltas,
                "sample_type": SAMPLE_TYPES[one.unit],
            }
            yield PublishedFile(f"Quant_Results/{one.folder}/{name}_best_percentiles_{one.con}.pt", content)
        if not one.supervised:
            prefix = f"bestdetects_{name}_{one.con}" if name else f"bestdetects_{one.con}"
            for score, suffix in (("f1_test", ""), ("f1_cal", "_cal")):
                yield PublishedFile(f"Unsupervised_Matches/{one.folder}/{prefix}{suffix}.pt", _matches(own, score))


def _best_percentiles(one: ConceptSet, rows: list[dict[str, Any]]) -> Iterator[PublishedFile]:
    import polars as pl

    stem = f"Best_Detection_Percentiles_Cal/{one.folder}/best_percentiles_{one.con}"
    found: Dictionary = {}
    for row in rows:
        found[row["label"]] = {
            "best_percentile": row["delta"],
            "best_f1": row["f1_cal"],
            "best_threshold": row["threshold"],
            **({} if one.supervised else {"best_cluster": row["concept"]}),
        }
    yield PublishedFile(f"{stem}.pt", found)
    table = {
        "concept": pl.Series([row["label"] for row in rows], dtype=pl.String),
        "best_percentile": pl.Series([row["delta"] for row in rows], dtype=pl.Float64),
        "best_f1": pl.Series([row["f1_cal"] for row in rows], dtype=pl.Float64),
        "best_threshold": pl.Series([row["threshold"] for row in rows], dtype=pl.Float64),
        "best_cluster": pl.Series(["N/A" if one.supervised else row["concept"] for row in rows], dtype=pl.String),
    }
    yield PublishedFile(f"{stem}.csv", pl.DataFrame(table))


def _matches(rows: list[dict[str, Any]], score: str) -> Dictionary:
    """{concept: its match}, the same on test as on cal; without a test positive there is no score, and NaN stands for it."""
    return {
        row["label"]: {
            "best_cluster": row["concept"],
            "best_score": math.nan if row[score] is None else row[score],
            "best_percentile": row["delta"],
        }
        for row in rows
    }
