"""Stage distributions: how the scores of a label's concept are spread over test tokens, and what their tail holds."""

from __future__ import annotations

import pyarrow as pa

from superact.metrics.chosen import bind_token_scores, label_batches, selected
from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import DISTRIBUTIONS, Layer
from superact.metrics.partition import add, add_sql, hold


def distribute_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Fill distributions, separation and superactivator_ratio of one layer, a batch of labels at a time.

    A supervised label that could not be calibrated is described by the concept of its own name, without a tail; an
    unsupervised one has no concept: one row of NULLs in separation. Errors: MissingTable, StaleInput, Damaged.
    """
    if not layer.todo(DISTRIBUTIONS):
        return
    connection = evaluation.connection
    evaluation.bind_dataset(layer)
    evaluation.bind_of(layer, "selection")
    bind_token_scores(evaluation, layer)
    evaluation.bind("concepts", **layer.own("concepts"))
    for table in DISTRIBUTIONS:
        hold(connection, table)
    known = {name for (name,) in connection.execute("SELECT concept FROM concepts WHERE status = 'ok'").fetchall()}
    described = []
    for row in selected(evaluation):
        if row["concept"] is None and layer.supervised and row["label"] in known:
            row["concept"] = row["label"]
        if row["concept"] is None:
            add(connection, "separation", pa.table({"label": [row["label"]]}))
        else:
            described.append(row)
    for _ in label_batches(evaluation, layer, described):
        for table in DISTRIBUTIONS:
            add_sql(connection, table, table)
    for table in DISTRIBUTIONS:
        evaluation.write_held(layer, table)
