"""The concept of every label of a layer, and the scores of its tokens, held for a batch of labels at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import Layer
from superact.metrics.partition import hold_query, hold_sql
from superact.metrics.sparse import fill_zeros, hold_chosen

LABEL_ROWS = 1_000_000
"""Rows of label_scores that are held at a time, about; at least one label's."""

_COLUMNS = pa.schema(
    [("label", pa.string()), ("concept", pa.string()), ("delta", pa.float64()), ("threshold", pa.float64())]
)


def selected(evaluation: Evaluation) -> list[dict[str, Any]]:
    """What detector superactivator chose for every label: label, concept, delta, threshold; `selection` is bound."""
    return (
        evaluation.connection.sql(
            "SELECT label, concept, delta, threshold FROM selection WHERE detector = 'superactivator' ORDER BY label"
        )
        .to_arrow_table()
        .to_pylist()
    )


def bind_token_scores(evaluation: Evaluation, layer: Layer) -> None:
    """Bind `activations`: those of what detector superactivator chose at least; `selection` is bound."""
    if layer.source == "sae_activations":
        hold_chosen(evaluation, layer)
    else:
        evaluation.bind_of(layer, "activations")


def label_batches(evaluation: Evaluation, layer: Layer, chosen: list[dict[str, Any]]) -> Iterator[int]:
    """Hold chosen_labels and label_scores of one batch of labels after the other; yields how many labels it is.

    `chosen` are rows as `selected` gives them, each with a concept. `activations` is bound by `bind_token_scores`.
    """
    connection = evaluation.connection
    ((rows_each,),) = connection.execute("SELECT count(*) FROM tokens WHERE is_content").fetchall()
    step = max(1, LABEL_ROWS // max(1, rows_each))
    ordered = sorted(chosen, key=lambda row: (row["concept"].encode(), row["label"]))
    for start in range(0, len(ordered), step):
        batch = ordered[start : start + step]
        hold_query(connection, "chosen_labels", pa.Table.from_pylist(batch, schema=_COLUMNS))
        if layer.source == "sae_activations":
            fill_zeros(connection)
        first, last = batch[0]["concept"], batch[-1]["concept"]
        hold_sql(connection, "label_scores", "label_scores", first=first, last=last, measure=layer.measure)
        yield len(batch)
