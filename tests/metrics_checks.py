"""What the metric tables of a world must be: the oracles' rows in the shape of the tables, and how rows are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import oracles_tokens
from oracles import World

LAYER = 1
"""The layer of a world where there is one."""

GRAINS = {
    "random_tokens": ("sample",),
    "sample_scores": ("concept", "sample", "aggregate"),
    "thresholds": ("detector", "label", "concept", "delta"),
    "detection": ("detector", "label", "concept", "delta", "split"),
    "selection": ("detector", "label"),
    "layer_selection": ("detector", "label"),
    "summary": ("layer_choice", "layer", "detector"),
    "null_summary": ("layer_choice", "layer", "detector"),
    "localization_scores": ("label", "sample", "token"),
    "localization": ("label", "localizer", "split", "quantile"),
    "distributions": ("label", "population", "bin"),
    "separation": ("label",),
    "superactivator_ratio": ("label", "sample"),
}


def expected(world: World) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """The oracle's tables: grain to the other columns."""
    chosen = oracles.selection(world)
    detection: dict[Any, tuple[Any, ...]] = {}
    for split in ("cal", "test"):
        for key, row in oracles.detection(world, split).items():
            selected = chosen[key[0], key[1]]
            if split == "cal" or world.supervised or (selected is not None and selected[0] == key[2]):
                detection[(*key, split)] = row or (None,) * 9
    return {
        "random_tokens": {(s,): (token,) for s, token in oracles.random_tokens(world).items()},
        "sample_scores": {key: (value,) for key, value in oracles.sample_scores(world).items()},
        "thresholds": dict(oracles.thresholds(world)),
        "detection": detection,
        "selection": {key: row or (None,) * 4 for key, row in chosen.items()},
        **expected_layers({LAYER: world}),
    }


def expected_layers(worlds: dict[int, World]) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """The oracle's tables over the layers of one set."""
    return {"layer_selection": oracles.layer_selection(worlds), "summary": oracles.summary(worlds)}


def expected_outcomes(world: World) -> set[tuple[str, str, int, bool, bool]]:
    """(detector, label, position, predicted, truth) of the test samples that are detected or carry the label."""
    found = set()
    for (detector, label), (truth, predicted) in oracles.judged(world).items():
        for place in np.flatnonzero(truth | predicted).tolist():
            found.add((detector, label, place, bool(predicted[place]), bool(truth[place])))
    return found


def expected_tokens(world: World) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """The oracle's tables about tokens."""
    scores = oracles_tokens.localization_scores(world) if world.embeddings else {}
    return {
        "localization_scores": scores,
        "localization": oracles_tokens.localization(world),
        "distributions": oracles_tokens.distributions(world),
        "separation": oracles_tokens.separation(world),
        "superactivator_ratio": oracles_tokens.superactivator_ratio(world),
    }


COLUMNS = {
    "random_tokens": ("token",),
    "sample_scores": ("score",),
    "thresholds": ("threshold", "n_calibration", "status"),
    "detection": ("tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "fpr"),
    "selection": ("concept", "delta", "threshold", "f1_cal"),
    "summary": (
        *("f1", "precision", "recall", "macro_f1", "macro_precision", "macro_recall"),
        *("micro_f1", "micro_precision", "micro_recall", "n_labels", "n_positive"),
    ),
    "layer_selection": (
        "layer", "concept", "delta", "f1_cal", "f1_test", "precision_test", "recall_test", "n_positive"
    ),
    "null_summary": ("f1_cal", "f1", "n_labels", "n_positive"),
    "localization_scores": ("global_cosine", "local_cosine"),
    "localization": ("concept", "delta", "tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "iou"),
    "distributions": ("lo", "hi", "n", "mass"),
    "separation": (
        *("concept", "delta", "overlap", "auc", "cohens_d"),
        *("tail_mass", "tail_coverage", "tail_precision", "n_in", "n_out"),
    ),
    "superactivator_ratio": ("n_superactivators", "n_superactivators_in_concept", "n_in_concept"),
}  # fmt: skip
TOLERANCES = {"localization_scores": 1.2e-7}
"""FLOAT: the last bit of a cosine may be another one."""


def assert_tables(found: dict[str, list[dict[str, Any]]], wanted: dict[str, dict[Any, tuple[Any, ...]]]) -> None:
    """Equal key sets, equal counts, names and choices; reals within 1e-12."""
    for table, rows in wanted.items():
        own = {tuple(row[k] for k in GRAINS[table]): tuple(row[c] for c in COLUMNS[table]) for row in found[table]}
        assert len(own) == len(found[table]), f"{table}: a key occurs twice"
        assert own.keys() == rows.keys(), table
        for key, values in rows.items():
            assert_row(own[key], values, (table, key), TOLERANCES.get(table, 1e-12))


def assert_row(found: tuple[Any, ...], wanted: tuple[Any, ...], where: Any, tolerance: float = 1e-12) -> None:
    """Equal values of one row; reals within a tolerance."""
    for a, b in zip(found, wanted, strict=True):
        if isinstance(a, float) and b is not None:
            assert abs(a - float(b)) <= tolerance, (where, found, wanted)
        else:
            assert a == b and (a is None) == (b is None), (where, found, wanted)
