"""Stage detect: sample_scores, thresholds, detection and selection of one layer; of a dense set, its activations too."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from superact.metrics.dense import DenseScores, chosen_concepts
from superact.metrics.evaluation import Evaluation
from superact.metrics.partition import add_sql, batches, bind, hold, query
from superact.metrics.plan import KEPT_CONCEPTS, METRICS, Layer

Ranges = list[tuple[str, str]]


def detect_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Fill what is missing of the stage's tables. Errors: Damaged, NotEnoughDisk."""
    if not layer.todo(("sample_scores", *METRICS, "activations")):
        return
    connection = evaluation.connection
    evaluation.bind_dataset(layer)
    bind(connection, "concepts", evaluation.paths(layer.sources["concepts"]))
    names = scored_concepts(connection)
    if layer.dense:
        _detect_dense(evaluation, layer, names)
        return
    activations = layer.sources["activations"]
    bind(connection, "activations", evaluation.paths(activations))
    rows_each = activations.rows // max(1, len(names))
    _roll_up(evaluation, layer, names, rows_each)
    if layer.todo(METRICS):
        detect(
            connection,
            batches(names, rows_each, evaluation.batch_rows),
            unit=layer.unit,
            measure=layer.measure,
            supervised=layer.supervised,
            keep=_keep(evaluation, layer),
        )
        for table in METRICS:
            evaluation.write_held(layer, table)


def scored_concepts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the bound concepts that have a vector, in DuckDB's order."""
    rows = connection.execute("SELECT concept FROM concepts WHERE status = 'ok' ORDER BY concept").fetchall()
    return [name for (name,) in rows]


def _keep(evaluation: Evaluation, layer: Layer) -> int | None:
    return None if layer.supervised or evaluation.protocol.all_pairs else KEPT_CONCEPTS


def _detect_dense(evaluation: Evaluation, layer: Layer, names: list[str]) -> None:
    """An unsupervised set from its embeddings: all sample scores, all-pairs thresholds, activations of what is selected."""
    connection = evaluation.connection
    if not layer.todo(("sample_scores", *METRICS)):
        evaluation.bind_of(layer, "selection")
    dense = DenseScores(evaluation, layer, names)
    if layer.todo(("sample_scores", *METRICS)):
        with dense.calibrated() as calibration:
            evaluation.bind_of(layer, "sample_scores")
            detect(
                connection,
                calibration.ranges,
                unit=layer.unit,
                measure=layer.measure,
                supervised=False,
                keep=_keep(evaluation, layer),
                bind_range=calibration.bind_range,
            )
        for table in METRICS:
            evaluation.write_held(layer, table)
    dense.write_activations()


def _roll_up(evaluation: Evaluation, layer: Layer, names: list[str], rows_each: int) -> None:
    """Write sample_scores, a file a range of concepts, going on after the files that an interrupted run finished."""
    part = layer.parts["sample_scores"]
    if not part.current:
        covered = [part.done[shard].note["last"] for shard in sorted(part.done)] if names else []
        left = names[names.index(covered[-1]) + 1 :] if covered else names
        for shard, (first, last) in enumerate(batches(left, rows_each, evaluation.batch_rows), len(covered)):
            rows = query(
                evaluation.connection, f"sample_scores_{layer.unit}", first=first, last=last, measure=layer.measure
            )
            part.write(shard, [rows], {"last": last})
        if not names:
            part.write(0, [])
    evaluation.bind_of(layer, "sample_scores")


def detect(
    connection: duckdb.DuckDBPyConnection,
    ranges: Ranges,
    *,
    unit: str,
    measure: str,
    supervised: bool,
    keep: int | None = None,
    bind_range: Callable[[str, str], None] | None = None,
) -> None:
    """Fill the held tables thresholds, detection and selection of one layer, whose other tables are bound.

    `keep`: how many concepts of each (detector, label) keep their rows of detection on cal, None for all. `bind_range`: makes
    `activations` hold the calibration tokens of a range of concepts, where they are not bound as a whole.
    """
    for table in METRICS:
        hold(connection, table)
    shared = {"measure": measure, "supervised": supervised}
    for first, last in ranges:
        if bind_range is not None:
            bind_range(first, last)
        add_sql(connection, "thresholds", f"thresholds_{unit}", first=first, last=last, **shared)
        add_sql(connection, "detection", "detection", first=first, last=last, split="cal", chosen_only=False)
        if keep is not None:
            hold(connection, "detection", [query(connection, "detection_best", keep=keep)])
    add_sql(connection, "selection", "selection", unit=unit)
    for first, last in ranges if supervised else _chosen_ranges(connection):
        add_sql(connection, "detection", "detection", first=first, last=last, split="test", chosen_only=not supervised)


def _chosen_ranges(connection: duckdb.DuckDBPyConnection, most: int = 50) -> Ranges:
    """Ranges of concepts that hold at most so many that some label chose."""
    return batches(chosen_concepts(connection), 1, most)
