"""Stage distributions: how the scores of a label's concept are spread over test tokens, and what their tail holds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from superact.metrics.evaluation import Evaluation
from superact.metrics.localize import selected
from superact.metrics.partition import add, hold, hold_query, query
from superact.metrics.plan import DISTRIBUTIONS, Layer


def distribute_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Fill distributions, separation and superactivator_ratio of one layer, a label at a time.

    A supervised label that could not be calibrated is described by the concept of its own name, without a tail; an
    unsupervised one has no concept: one row of NULLs in separation. Errors: MissingTable, StaleInput, Damaged.
    """
    if not layer.todo(DISTRIBUTIONS):
        return
    connection = evaluation.connection
    evaluation.bind_dataset(layer)
    evaluation.bind_of(layer, "selection", "activations")
    evaluation.bind("concepts", **layer.own("concepts"))
    for table in DISTRIBUTIONS:
        hold(connection, table)
    known = {name for (name,) in connection.execute("SELECT concept FROM concepts WHERE status = 'ok'").fetchall()}
    for chosen in selected(evaluation):
        label = chosen["label"]
        concept = chosen["concept"] or (label if layer.supervised and label in known else None)
        if concept is None:
            add(connection, "separation", pa.table({"label": [label]}))
        else:
            _describe(evaluation, layer, {**chosen, "concept": concept}, tail=chosen["concept"] is not None)
    for table in DISTRIBUTIONS:
        evaluation.write_held(layer, table)


def _describe(evaluation: Evaluation, layer: Layer, chosen: dict[str, Any], tail: bool) -> None:
    connection = evaluation.connection
    hold_query(connection, "label_scores", query(connection, "label_scores", measure=layer.measure, **chosen))
    found = {
        table: query(connection, table, **chosen) for table in DISTRIBUTIONS if tail or table != "superactivator_ratio"
    }
    for name, kind in (("concept", pa.string()), ("delta", pa.float64())):
        found["separation"] = found["separation"].append_column(name, pa.array([chosen[name]], kind))
    for table, rows in found.items():
        label = pa.array([chosen["label"]] * len(rows), pa.string())
        add(connection, table, rows.append_column("label", label))
