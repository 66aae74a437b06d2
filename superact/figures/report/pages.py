"""The data of the pages that show tables: overview, comparison, layers and distributions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from superact.figures.report.files import floats
from superact.figures.report.scope import Dataset, Model, Scope, read
from superact.metrics.compare import columns as comparison_columns
from superact.metrics.compare import compare
from superact.store.stale import stale

if TYPE_CHECKING:
    from superact.metrics.compare import Comparison
    from superact.query import Session
    from superact.store import State

_IDENTITY_DIGITS = 16


def overview(session: Session, state: State, scope: Scope, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is stored, what it cost and where it comes from; `wanted` is the dataset and model the report is narrowed to."""
    from superact.store.maintenance import inventory

    old = Counter((p.partition.table, *_place(p)) for p in stale(state))
    stored = [
        {
            "table": entry.table,
            "dataset": entry.dataset,
            "model": entry.model,
            "layers": list(entry.layers),
            "partitions": entry.partitions,
            "files": entry.files,
            "rows": entry.rows,
            "bytes": entry.bytes,
            "stale": old[entry.table, str(entry.dataset), str(entry.model)],
        }
        for entry in inventory(state)
        if all(getattr(entry, name) in (None, value) or value is None for name, value in wanted.items())
    ]
    return {
        "sequence": state.sequence,
        "datasets": [
            {
                "slug": one.name,
                "name": one.title,
                "modality": one.modality,
                **{name: one.facts[name] for name in ("train", "cal", "test", "licence", "digest")},
                "labels": len(one.labels),
                "models": [model.title for model in one.models],
            }
            for one in scope.datasets
        ],
        "models": [{name: value for name, value in row.items() if name != "source"} for row in scope.models],
        "stored": stored,
        "runs": [_run(row) for row in session.sql("SELECT * FROM runs ORDER BY started_at, run").to_dicts()],
        "stale": stale_tables(state, wanted),
    }


def _run(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in ("run", "stage", "seconds", "rows", "bytes", "partitions")}
    return {
        **kept,
        "started": f"{row['started_at']:%Y-%m-%d %H:%M}",
        "tables": row["tables"].split(",") if row["tables"] else [],
        "versions": sorted(json.loads(row["versions"]).items()),
    }


def identities(state: State, wanted: dict[str, Any]) -> list[Any]:
    """What every partition is known by: table, path keys, run, and the first digits of its identity hash."""
    found = [p for p in state.partitions.values() if p.partition.matches(**wanted)]
    return [
        [
            p.partition.table,
            " ".join(f"{name}={value}" for name, value in p.partition.keys),
            p.run,
            p.hash[:_IDENTITY_DIGITS],
        ]
        for p in sorted(found, key=lambda p: p.partition)
    ]


def stale_tables(state: State, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The metric tables that are older than what they were made from, each with how many of its partitions and the command."""
    found = Counter(p.partition.table for p in stale(state) if p.partition.matches(**wanted))
    return [
        {
            "table": table,
            "partitions": n,
            "command": "superact eval --null" if table == "null_summary" else "superact eval",
        }
        for table, n in sorted(found.items())
    ]


def _place(published: Any) -> tuple[str, str]:
    keys = dict(published.partition.keys)
    return str(keys["dataset"]), str(keys["model"])


def comparisons(session: Session, dataset: str | None, model: str | None) -> list[dict[str, Any]]:
    """What `superact compare` shows: each label at its best layer, then all at one layer, for every layer that there is."""
    found = compare(session, dataset, model)
    layers = sorted({layer for one in found for layer in one.layers})
    for layer in layers:
        found += compare(session, dataset, model, layer=layer)
    return [_comparison(one) for one in found]


def _comparison(one: Comparison) -> dict[str, Any]:
    names = [
        name for name in comparison_columns(False, False) if name not in ("dataset", "model", "layer_choice", "layer")
    ]
    slugs = [(row["dataset"], row["model"]) for row in one.rows if row["detector"] not in (None, "prompt")]
    dataset, model = slugs[0] if slugs else (one.rows[0]["dataset"], None)
    return {
        "dataset": dataset,
        "model": model,
        "title": " | ".join(name for name in (one.dataset, one.model) if name),
        "layer": one.layer,
        "layers": list(one.layers),
        "sets": [[name, list(layers)] for name, layers in one.sets.items()],
        "labels": one.n_labels,
        "positives": one.n_positive,
        "rows": [{**{name: row[name] for name in names}, "model": one.answering.get(row["model"])} for row in one.rows],
    }


def layers_page(session: Session, dataset: Dataset, model: Model) -> dict[str, Any]:
    """Weighted test F1 by layer of every detector of every concept set, and the best layer of every label."""
    rows = read(session, "summaries", dataset=dataset.name, model=model.name).to_dicts()
    best = read(session, "best_layers", dataset=dataset.name, model=model.name).to_dicts()
    sets: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["concept_set"], row["detector"]
        one = sets.setdefault(key, {"set": key[0], "detector": key[1], "unit": row["unit"], "layers": [], "best": None})
        cell = [row["layer"], row["f1"], row["ci_low"], row["ci_high"]]
        if row["layer_choice"] == "best":
            one["best"] = cell[1:]
        else:
            one["layers"].append(cell)
    return {"blocks": model.blocks, "rows": list(sets.values()), "best": best}


def distributions_page(session: Session, dataset: Dataset, model: Model, name: str) -> dict[str, Any] | None:
    """The histograms and separations of one concept set by layer and label, or None where there are none.

    A histogram is the range [lo, hi] of 100 bins of equal width and their masses, float32, for each population; None for a
    population without a token.
    """
    own = {"dataset": dataset.name, "model": model.name, "concept_set": name}
    separations = read(session, "separations", **own).to_dicts()
    histograms = read(session, "histograms", **own)
    index = {label: number for number, label in enumerate(dataset.labels)}
    cells: dict[tuple[int, int], dict[str, Any]] = {}
    for (layer, label, population), group in histograms.group_by("layer", "label", "population", maintain_order=True):
        if label not in index:
            continue
        cell = cells.setdefault((layer, index[label]), {"lo": group["lo"][0], "hi": group["hi"][-1]})
        mass = group["mass"].to_numpy()
        cell[population] = floats(mass) if mass.any() else None
    for row in separations:
        if row["label"] in index:
            cell = cells.setdefault((row["layer"], index[row["label"]]), {})
            cell["separation"] = {key: value for key, value in row.items() if key not in ("layer", "label")}
    if not cells:
        return None
    return {"cells": [[layer, label, cell] for (layer, label), cell in sorted(cells.items())]}


def counts_page(session: Session, dataset: Dataset, model: Model, name: str) -> Iterable[tuple[int, Any]]:
    """By layer of a concept set the confusion counts of every detector and label at every delta, over all test samples."""
    one = next(own for own in model.sets if own.name == name)
    rows = read(session, "counts", dataset=dataset.name, model=model.name, concept_set=name)
    index = {label: number for number, label in enumerate(dataset.labels)}
    found: dict[tuple[int, str], list[Any]] = {}
    for (layer, detector, label), group in rows.group_by("layer", "detector", "label", maintain_order=True):
        choice = one.choices.get((layer, detector, index.get(label, -1)))
        if choice is not None:
            cuts = group.select("delta", "threshold", "tp", "fp", "fn", "tn").rows()
            found.setdefault((layer, detector), []).append(
                [index[label], choice.concept, choice.delta, [list(cut) for cut in cuts]]
            )
    for layer in one.layers:
        yield (
            layer,
            {"detectors": [[name, found[layer, name]] for name in one.detectors(layer) if (layer, name) in found]},
        )
