"""`superact eval`: from activations to sample_scores, thresholds, detection, selection and summary, in SQL.

One (layer, concept set, unit) at a time and, inside it, one range of concepts at a time, so that memory does not grow with the
tables. What is published already with the same inputs is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from superact.cache import cache_path
from superact.metrics.bootstrap import Outcomes, interval, weighted_f1
from superact.metrics.partition import (
    BATCH_ROWS,
    add,
    batches,
    bind,
    evaluation_connection,
    hold,
    hold_query,
    pieces,
    query,
)
from superact.metrics.plan import (
    DATASET_TABLES,
    METRICS,
    MODEL_TABLES,
    Layer,
    Protocol,
    needed,
    plan_layer,
    plan_summary,
    wanted_activations,
)
from superact.store import Published, Run, Warehouse
from superact.store.files import VerifiedFiles

__all__ = ["Protocol", "evaluate"]

WRITE_BUDGET = 32 << 20
"""Bytes of finished rows that may wait to be written."""

Ranges = list[tuple[str, str]]


@dataclass
class Evaluation:
    """One call of eval: the run, its connection, and what is bound on it."""

    run: Run
    protocol: Protocol
    verified: VerifiedFiles
    connection: duckdb.DuckDBPyConnection
    batch_rows: int = BATCH_ROWS
    _bound: tuple[str, ...] = ()

    def paths(self, published: Published) -> list[Path]:
        """Files of a partition, each hashed (or known to be whole) before it is read. Errors: Damaged."""
        root = self.run.warehouse.root
        for file in published.files:
            self.verified.check(root / file.path, file.sha256, file.bytes)
        return [root / file.path for file in published.files]

    def bind(self, table: str, **keys: str | int) -> None:
        """Bind the published partition of a table. Errors: MissingTable, Damaged."""
        bind(self.connection, table, self.paths(needed(self.run, table, **keys)))

    def bind_dataset(self, dataset: str, model: str, unit: str) -> None:
        """Bind the tables of a dataset and, for tokens, those of its model, with the tokens that every query reads."""
        if self._bound == (dataset, model, unit):
            return
        for table in DATASET_TABLES:
            self.bind(table, dataset=dataset)
        if unit == "token":
            for table in MODEL_TABLES:
                self.bind(table, dataset=dataset, model=model)
            for name in ("random_tokens", "calibration_tokens"):
                hold_query(self.connection, name, query(self.connection, name, seed=self.protocol.seed))
        self._bound = (dataset, model, unit)


def evaluate(
    warehouse: Warehouse,
    *,
    protocol: Protocol | None = None,
    replace: bool = False,
    threads: int | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[str, int, int], None] | None = None,
    **wanted: Any,
) -> dict[str, int]:
    """Evaluate every activations partition that matches `wanted` (dataset, model, layer, concept_set, unit).

    Layers evaluated earlier keep their rows in the summary, whatever this call is narrowed to, and are brought up to date
    with it. Publishes one run; returns the rows written to each table (empty when all was current). Errors: MissingTable when
    nothing matches, Damaged when an input file is not as it was published.
    """
    protocol = protocol or Protocol()
    with warehouse.run("eval", replace=replace, budget=WRITE_BUDGET) as run:
        run.provenance = {"batch_rows": batch_rows, "duckdb_threads": threads}
        groups = sorted({_group_of(activations) for activations in wanted_activations(run, **wanted)})
        verified = VerifiedFiles(cache_path("verified.json"))
        with evaluation_connection(threads) as connection:
            evaluation = Evaluation(run, protocol, verified, connection, batch_rows)
            for number, group in enumerate(groups):
                if progress:
                    progress("eval " + " ".join(group), number, len(groups))
                _evaluate_group(evaluation, group, wanted.get("layer"))
        document = run.publish()
        verified.save()
    written: dict[str, int] = {}
    for entry in document["partitions"] if document else []:
        written[entry["table"]] = written.get(entry["table"], 0) + entry["rows"]
    return written


def _group_of(activations: Published) -> tuple[str, str, str, str]:
    keys = dict(activations.partition.keys)
    return str(keys["dataset"]), str(keys["model"]), str(keys["concept_set"]), str(keys["unit"])


def _evaluate_group(evaluation: Evaluation, group: tuple[str, str, str, str], wanted_layers: Any) -> None:
    """The wanted layers of one (dataset, model, concept set, unit) and those evaluated earlier, then their summary."""
    run, protocol = evaluation.run, evaluation.protocol
    dataset, model, concept_set, unit = group
    keys = {"dataset": dataset, "model": model, "concept_set": concept_set, "unit": unit}
    layers = [
        plan_layer(run, protocol, activations, evaluation.paths)
        for activations in run.state.select("activations", **keys)
        if activations.partition.matches(layer=wanted_layers)
        or run.state.get("detection", **dict(activations.partition.keys))
    ]
    summary = plan_summary(run, protocol, layers, **keys)
    if summary.current and all(layer.current for layer in layers):
        return
    evaluation.bind_dataset(dataset, model, unit)
    rows = []
    for layer in layers:
        _evaluate_layer(evaluation, layer)
        if not summary.current:
            rows.append(_summarise(evaluation, layer))
    if not summary.current:
        summary.write(0, [pa.concat_tables(rows)])


def _evaluate_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Compute what is missing of one layer, and leave its tables bound for the summary."""
    connection = evaluation.connection
    if layer.current:
        for table in ("sample_scores", *METRICS):
            evaluation.bind(table, **layer.keys)
        return
    bind(connection, "concepts", evaluation.paths(layer.concepts))
    bind(connection, "activations", evaluation.paths(layer.activations))
    scored = connection.execute("SELECT concept FROM concepts WHERE status = 'ok' ORDER BY concept").fetchall()
    names = [name for (name,) in scored]
    rows_each = layer.activations.rows // max(1, len(names))
    _roll_up(evaluation, layer, names, rows_each)
    ranges = batches(names, rows_each, evaluation.batch_rows)
    detect(connection, ranges, unit=layer.unit, measure=layer.measure, supervised=layer.supervised)
    for table, part in layer.metrics.items():
        if not part.current:
            for shard, held in enumerate(pieces(connection, table)):
                part.write(shard, [stamped(held, layer.method, evaluation.run.id)])


def _roll_up(evaluation: Evaluation, layer: Layer, names: list[str], rows_each: int) -> None:
    """Write sample_scores, a file a range of concepts, going on after the files that an interrupted run finished."""
    part = layer.sample_scores
    if part.current:
        evaluation.bind("sample_scores", **layer.keys)
        return
    covered = [part.done[shard].note["last"] for shard in sorted(part.done)] if names else []
    left = names[names.index(covered[-1]) + 1 :] if covered else names
    for shard, (first, last) in enumerate(batches(left, rows_each, evaluation.batch_rows), len(covered)):
        rows = query(
            evaluation.connection, f"sample_scores_{layer.unit}", first=first, last=last, measure=layer.measure
        )
        part.write(shard, [rows], {"last": last})
    if not names:
        part.write(0, [])
    evaluation.run.drain()
    bind(evaluation.connection, "sample_scores", [part.directory / file.record.path for file in part.done.values()])


def detect(connection: duckdb.DuckDBPyConnection, ranges: Ranges, *, unit: str, measure: str, supervised: bool) -> None:
    """Fill the held tables thresholds, detection and selection of one layer, whose other tables are bound."""
    for table in METRICS:
        hold(connection, table)
    shared = {"measure": measure, "supervised": supervised}
    for first, last in ranges:
        add(connection, "thresholds", query(connection, f"thresholds_{unit}", first=first, last=last, **shared))
        rows = query(connection, "detection", first=first, last=last, split="cal", chosen_only=False)
        add(connection, "detection", rows)
    add(connection, "selection", query(connection, "selection", unit=unit))
    for first, last in ranges:
        rows = query(connection, "detection", first=first, last=last, split="test", chosen_only=not supervised)
        add(connection, "detection", rows)


def _summarise(evaluation: Evaluation, layer: Layer) -> pa.Table:
    rows = query(evaluation.connection, "summary", unit=layer.unit, layer=layer.number)
    detectors = rows["detector"].to_pylist()
    found = _intervals(evaluation.connection, evaluation.protocol, detectors)
    for index, name in enumerate(("ci_low", "ci_high")):
        bounds = [found.get(detector, (None, None))[index] for detector in detectors]
        rows = rows.append_column(name, pa.array(bounds, pa.float64()))
    return stamped(rows, layer.method, evaluation.run.id)


def _intervals(
    connection: duckdb.DuckDBPyConnection, protocol: Protocol, detectors: list[str]
) -> dict[str, tuple[float, float]]:
    """Bootstrap interval of the weighted F1 of every detector that has a label to average over."""
    (samples,) = connection.execute("SELECT count(*) FROM samples WHERE split = 'test'").fetchall()[0]
    outcomes = {}
    for detector in detectors:
        rows = query(connection, "outcomes", detector=detector)
        outcomes[detector] = Outcomes(
            sample=rows["position"].to_numpy(),
            label=rows["label"].combine_chunks().dictionary_encode().indices.to_numpy(),
            predicted=rows["predicted"].to_numpy(zero_copy_only=False),
            truth=rows["truth"].to_numpy(zero_copy_only=False),
        )
    values = weighted_f1(samples, protocol.seed, outcomes, protocol.replicates)
    return {detector: interval(replicates) for detector, replicates in values.items()}


def stamped(rows: pa.Table, method: str, run: str) -> pa.Table:
    """The rows with what every metric row carries: its method and its run."""
    zeros = pa.array([0] * len(rows), pa.int32())
    for name, value in (("method", method), ("run", run)):
        if name in rows.column_names:
            rows = rows.drop_columns(name)
        rows = rows.append_column(name, pa.DictionaryArray.from_arrays(zeros, pa.array([value])))
    return rows
