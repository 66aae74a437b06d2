"""Stage detect: sample_scores, thresholds, detection and selection of one layer.

Of a set scored from its embeddings, its activations too; of a sparse autoencoder, which of its units are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from superact.metrics.dense import DenseScores, chosen_concepts
from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import KEPT_CONCEPTS, METRICS, UNITS, Layer
from superact.metrics.partition import add_sql, batches, bind, hold, query
from superact.metrics.sparse import SparseRanges, bind_units, hold_calibration, select_units

Ranges = list[tuple[str, str]]


def detect_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Fill what is missing of the stage's tables. Errors: Damaged, NotEnoughDisk."""
    if not layer.todo((*UNITS, "sample_scores", *METRICS, "activations")):
        return
    evaluation.bind_dataset(layer)
    {"activations": _detect_stored, "embeddings": _detect_dense, "sae_activations": _detect_sparse}[layer.source](
        evaluation, layer
    )


def _detect_stored(evaluation: Evaluation, layer: Layer) -> None:
    """A set whose activations are stored."""
    connection, activations = evaluation.connection, layer.sources["activations"]
    names = bind_concepts(evaluation, layer)
    bind(connection, "activations", evaluation.paths(activations))
    rows_each = activations.rows // max(1, len(names))

    def ranges(names: list[str]) -> Ranges:
        return batches(names, rows_each, evaluation.batch_rows)

    _roll_up(evaluation, layer, names, "sample_scores", ranges)
    if layer.todo(METRICS):
        judge(evaluation, layer, ranges(names), keep=_keep(evaluation, layer))
        _write(evaluation, layer)


def _detect_sparse(evaluation: Evaluation, layer: Layer) -> None:
    """A sparse autoencoder: its units, and from those that are kept what every other set has."""
    select_units(evaluation, layer)
    names = bind_units(evaluation, layer)
    ranges = SparseRanges(evaluation, layer)
    _roll_up(evaluation, layer, names, "sample_scores_sae", ranges.of_scores)
    if layer.todo(METRICS):
        hold_calibration(evaluation, layer)
        judge(evaluation, layer, ranges.of_pairs(names), keep=_keep(evaluation, layer))
        _write(evaluation, layer)


def bind_concepts(evaluation: Evaluation, layer: Layer) -> list[str]:
    """Bind `concepts`; names of those that have a vector, in DuckDB's order."""
    bind(evaluation.connection, "concepts", evaluation.paths(layer.sources["concepts"]))
    rows = evaluation.connection.execute("SELECT concept FROM concepts WHERE status = 'ok' ORDER BY concept").fetchall()
    return [name for (name,) in rows]


def _keep(evaluation: Evaluation, layer: Layer) -> int | None:
    return None if layer.supervised or evaluation.protocol.all_pairs else KEPT_CONCEPTS


def _detect_dense(evaluation: Evaluation, layer: Layer) -> None:
    """An unsupervised set from its embeddings: all sample scores, all-pairs thresholds, activations of what is selected."""
    names = bind_concepts(evaluation, layer)
    if not layer.todo(("sample_scores", *METRICS)):
        evaluation.bind_of(layer, "selection")
    dense = DenseScores(evaluation, layer, names)
    if layer.todo(("sample_scores", *METRICS)):
        with dense.calibrated() as calibration:
            evaluation.bind_of(layer, "sample_scores")
            keep = _keep(evaluation, layer)
            judge(evaluation, layer, calibration.ranges, keep=keep, bind_range=calibration.bind_range)
        _write(evaluation, layer)
    dense.write_activations()


def _write(evaluation: Evaluation, layer: Layer) -> None:
    for table in METRICS:
        evaluation.write_held(layer, table)


def _roll_up(
    evaluation: Evaluation, layer: Layer, names: list[str], sql: str, ranges_of: Callable[[list[str]], Ranges]
) -> None:
    """Write sample_scores, a file a range of concepts, going on after the files that an interrupted run finished."""
    part = layer.parts["sample_scores"]
    if not part.current:
        covered = [part.done[shard].note["last"] for shard in sorted(part.done)] if names else []
        left = names[names.index(covered[-1]) + 1 :] if covered else names
        for shard, (first, last) in enumerate(ranges_of(left), len(covered)):
            rows = query(evaluation.connection, f"{sql}_{layer.unit}", first=first, last=last, measure=layer.measure)
            part.write(shard, [rows], {"last": last})
        if not names:
            part.write(0, [])
    evaluation.bind_of(layer, "sample_scores")


def judge(
    evaluation: Evaluation,
    layer: Layer,
    ranges: Ranges,
    *,
    keep: int | None,
    bind_range: Callable[[str, str], None] | None = None,
) -> None:
    """Hold thresholds, detection and selection of a layer; see `detect`."""
    detect(
        evaluation.connection,
        ranges,
        unit=layer.unit,
        measure=layer.measure,
        supervised=layer.supervised,
        keep=keep,
        bind_range=bind_range,
    )


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
