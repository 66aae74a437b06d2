"""Stage localize: which tokens a concept is said to be on, at one layer: localization_scores and localization."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from superact.metrics.alignment import BLOCK_WEIGHTS, Alignment
from superact.metrics.chosen import bind_token_scores, label_batches, selected
from superact.metrics.embeddings import Embeddings
from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import LOCALIZATION, Layer
from superact.metrics.partition import add_sql, hold, hold_query, query


def localize_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Fill what is missing of the stage's tables. Errors: MissingTable and StaleInput where detect has not run, Damaged."""
    if not layer.todo(LOCALIZATION):
        return
    connection = evaluation.connection
    evaluation.bind_dataset(layer)
    evaluation.bind_floors(layer)
    evaluation.bind_of(layer, "thresholds", "selection", "sample_scores")
    bind_token_scores(evaluation, layer)
    evaluation.bind("concepts", **layer.own("concepts"))
    labels = query(connection, "localization_labels", measure=layer.measure)
    aligned = "localization_scores" in layer.identities
    if not aligned:
        where = " ".join(str(value) for name, value in layer.keys.items() if name != "unit")
        evaluation.say(
            f"{where}: superactivator_global and superactivator_local need the embeddings, which are not there; "
            "`superact extract` makes them"
        )
    else:
        hold_query(connection, "localization_labels", labels)
        _align(evaluation, layer, labels)
        evaluation.bind_of(layer, "localization_scores")
    if not layer.todo(["localization"]):
        return
    counts = _counts(evaluation, layer, labels["label"].to_pylist(), aligned)
    hold_query(connection, "localization_counts", pa.concat_tables([_COUNTS.empty_table(), *counts]))
    hold(connection, "localization")
    add_sql(connection, "localization", "localization")
    evaluation.write_held(layer, "localization")


def _counts(evaluation: Evaluation, layer: Layer, labels: list[str], aligned: bool) -> Iterator[pa.Table]:
    """Token counts of every localizer that the labels' concepts give."""
    chosen = [row for row in selected(evaluation) if row["label"] in labels]
    for _ in label_batches(evaluation, layer, chosen):
        yield query(evaluation.connection, "localization_threshold").cast(_COUNTS)
        if aligned:
            yield query(evaluation.connection, "localization_similarity").cast(_COUNTS)


def _align(evaluation: Evaluation, layer: Layer, labels: pa.Table) -> None:
    """Write localization_scores from the embeddings."""
    part = layer.parts.get("localization_scores")
    if part is None or part.current:
        return
    names = labels["label"].to_pylist()
    if not names:
        part.write(0, [])
        return
    paths = evaluation.paths
    stats, rows = paths(layer.sources["layer_stats"])[0], max(1, BLOCK_WEIGHTS // len(names))
    embeddings = Embeddings(paths(layer.sources["embeddings"]), stats, Alignment.dtype, rows)
    alignment = Alignment(evaluation.connection, embeddings, names, layer.measure, layer.number)
    for shard, groups in enumerate(alignment.files()):
        part.write(shard, groups)


_COUNTS = pa.schema(
    [
        *((name, pa.string()) for name in ("label", "localizer", "split")),
        ("quantile", pa.float64()),
        *((name, pa.int64()) for name in ("tp", "fp", "positives", "n")),
    ]
)
