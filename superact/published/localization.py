"""Localization: `detectfirst_*_invert_*`, `twostage_*`, what was chosen for them on cal, and the floors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from superact.published.files import METRIC_COLUMNS, PublishedFile, fetch
from superact.published.sets import ConceptSet
from superact.query import Session

_COUNTS = ("tp", "fp", "tn", "fn")
_RATIOS = ("precision", "recall", "f1", "accuracy")
_FLOORS = {"random": "random", "always": "always_positive", "never": "always_negative"}

Rows = list[dict[str, Any]]


def localization_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """Both localizers of one set at one layer, and their choices."""
    keys = one.own("localization")
    rows = fetch(session, "localization", keys).to_dicts()
    yield from _with_the_vector(one, [row for row in rows if row["localizer"] == "concept_vector"])
    # Without stored embeddings there is nothing of superactivators.
    superactivators = [row for row in rows if row["localizer"] == "superactivator_global"]
    if superactivators:
        yield from _with_superactivators(one, superactivators)


def _with_the_vector(one: ConceptSet, rows: Rows) -> Iterator[PublishedFile]:
    quant, best = f"Quant_Results/{one.folder}", f"Best_Inversion_Percentiles_Cal/{one.folder}"
    files: dict[str, dict[str, Any]] = {}
    for row in _of(rows, "cal"):
        stem = f"detectfirst_{row['delta']}_invert_{row['invert']}_{one.con}"
        files.setdefault(stem, {})[row["label"]] = _counts(row)
    for stem, content in files.items():
        yield PublishedFile(f"{quant}/{stem}.pt", content)
    second = 0 if one.supervised else math.nan
    choices = {
        row["label"]: {
            "best_percentile": row["invert"],
            "best_threshold": (row["threshold"], second),
            "best_f1": row["f1"],
        }
        for row in _of(rows, "cal")
        if row["chosen"]
    }
    yield PublishedFile(f"{best}/best_inversion_percentiles_{one.con}.pt", choices)
    final = {
        row["label"]: {**_counts(row), "detect_percentile": row["delta"], "invert_percentile": row["invert"]}
        for row in _of(rows, "test")
    }
    yield PublishedFile(f"{quant}/optimal_test_results_{one.con}_f1.pt", final)


def _with_superactivators(one: ConceptSet, rows: Rows) -> Iterator[PublishedFile]:
    import polars as pl

    quant, best = f"Quant_Results/{one.folder}", f"Best_Inversion_Percentiles_Cal/{one.folder}"
    for split in ("cal", "test"):
        files: dict[float, dict[str, Any]] = {}
        for row in _of(rows, split):
            files.setdefault(row["invert"], {})[row["label"]] = _counts(row)
        for level, content in files.items():
            stem = f"twostage_superdetector_invert_{level}_avg_{one.con}_{split}"
            yield PublishedFile(f"{quant}/{stem}.pt", content)
    chosen = [row for row in _of(rows, "cal") if row["chosen"]]
    choices = {row["label"]: {"best_percentile": row["invert"], "best_f1": row["f1"]} for row in chosen}
    yield PublishedFile(f"{best}/best_inversion_percentiles_twostage_superpatch_{one.con}.pt", choices)
    final = {row["label"]: {**_counts(row), "invert_percentile": row["invert"]} for row in _of(rows, "test")}
    yield PublishedFile(f"{quant}/optimal_test_results_twostage_superpatch_{one.con}_f1.pt", final)
    kinds = {**dict.fromkeys(_COUNTS, pl.Int64), **dict.fromkeys((*_RATIOS, "invert_percentile"), pl.Float64)}
    records = [{"concept": label, **measures} for label, measures in final.items()]
    table = pl.DataFrame(records, schema={"concept": pl.String, **kinds})
    yield PublishedFile(f"{quant}/twostage_superpatch_avg_{one.con}_optimal_test.csv", table)


def floor_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """The token-level floors of the dataset and model of a set."""
    import polars as pl

    keys = {name: one.keys[name] for name in ("dataset", "model")}
    rows = fetch(session, "floors", keys)
    for floor, name in _FLOORS.items():
        own = rows.filter(pl.col("localizer") == floor).select(METRIC_COLUMNS)
        yield PublishedFile(f"Quant_Results/{one.folder}/inversion_{name}_{one.short}_patch_baseline.csv", own)


def _of(rows: Rows, split: str) -> Rows:
    """The rows of one split in label order: files of several labels are dictionaries in that order."""
    return sorted((row for row in rows if row["split"] == split), key=lambda row: (row["label"], row["invert"]))


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in (*_COUNTS, *_RATIOS)}
