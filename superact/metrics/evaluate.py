"""`superact eval`: from activations to sample_scores, thresholds, detection, selection and summary, in SQL.

One (layer, concept set, unit) at a time and, inside it, one range of concepts at a time, so that memory does not grow with the
tables. What is published already with the same inputs is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superact.errors import MissingTable
from superact.metrics.bootstrap import REPLICATES, draws, interval, weighted_f1
from superact.metrics.partition import BATCH_ROWS, batches, bind, evaluation_connection, hold, hold_query, query
from superact.query.session import cache_path
from superact.schemas import FORMAT
from superact.store import Published, Run, Warehouse
from superact.store.files import VerifiedFiles
from superact.store.identity import hash_of
from superact.store.staging import StagedPartition

STEP_VERSION = 1
_DATASET_TABLES = ("samples", "labels", "sample_labels")
_MODEL_TABLES = ("tokens", "token_labels")
_METRICS = ("thresholds", "detection", "selection")

Keys = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """What eval may be asked to do differently; all of it is in the identity of its rows."""

    seed: int = 0
    replicates: int = REPLICATES


@dataclass
class Layer:
    """One (layer, concept set, unit) to evaluate: its inputs, and the partitions it fills."""

    keys: Keys
    activations: Published
    concepts: Published
    facts: Keys
    sample_scores: StagedPartition
    metrics: dict[str, StagedPartition]

    @property
    def current(self) -> bool:
        """True when everything is published with these inputs."""
        return self.sample_scores.current and all(part.current for part in self.metrics.values())


@dataclass
class Evaluation:
    """One call of eval: the run, its connection, and what is bound on it."""

    run: Run
    protocol: Protocol
    verified: VerifiedFiles
    connection: duckdb.DuckDBPyConnection
    batch_rows: int = BATCH_ROWS
    _bound: tuple[str, str] | None = None
    _test_samples: list[int] = field(default_factory=list)
    _draws: np.ndarray[Any, Any] | None = None

    def paths(self, published: Published) -> list[Path]:
        """Files of a partition, each hashed (or known to be whole) before it is read. Errors: Damaged."""
        root = self.run.warehouse.root
        for file in published.files:
            self.verified.check(root / file.path, file.sha256, file.bytes)
        return [root / file.path for file in published.files]

    def bind_dataset(self, dataset: str, model: str) -> None:
        """Bind the tables of a dataset and model, and draw the random tokens and the bootstrap samples."""
        if self._bound == (dataset, model):
            return
        for table in _DATASET_TABLES:
            bind(self.connection, table, self.paths(_needed(self.run, table, dataset=dataset)))
        for table in _MODEL_TABLES:
            bind(self.connection, table, self.paths(_needed(self.run, table, dataset=dataset, model=model)))
        hold_query(self.connection, "random_tokens", query(self.connection, "random_tokens", seed=self.protocol.seed))
        rows = self.connection.execute("SELECT sample FROM samples WHERE split = 'test' ORDER BY sample").fetchall()
        self._test_samples = [sample for (sample,) in rows]
        self._draws = draws(len(rows), self.protocol.seed, self.protocol.replicates) if rows else None
        self._bound = (dataset, model)

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Bootstrap interval of the weighted F1 of every detector that has a label to average over."""
        if self._draws is None:
            return {}
        rows = query(self.connection, "outcomes")
        position = np.full(max(self._test_samples) + 1, -1)
        position[self._test_samples] = np.arange(len(self._test_samples))
        found = {}
        detectors = np.array(rows["detector"].to_pylist(), dtype=object)
        for detector in sorted(set(detectors)):
            own = rows.filter(pa.array(detectors == detector))
            labels, label = np.unique(np.array(own["label"].to_pylist(), dtype=object), return_inverse=True)
            sample = position[own["sample"].to_numpy()]
            predicted = np.zeros((len(self._test_samples), len(labels)), dtype=bool)
            truth = predicted.copy()
            predicted[sample, label] = own["predicted"].to_numpy(zero_copy_only=False)
            truth[sample, label] = own["truth"].to_numpy(zero_copy_only=False)
            counted = truth.any(axis=0)
            if counted.any():
                values = weighted_f1(self._draws, predicted[:, counted], truth[:, counted])
                found[detector] = interval(values)
        return found


def _needed(run: Run, table: str, **keys: str | int) -> Published:
    published = run.state.get(table, **keys)
    if published is None:
        where = " ".join(map(str, keys.values()))
        raise MissingTable(
            stage="eval", table=table, where=where, warehouse=run.warehouse.root, command="superact ingest"
        )
    return published


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

    Publishes one run; returns the rows written to each table (empty when all was current). Errors: MissingTable when nothing
    matches, Damaged when an input file is not as it was published.
    """
    protocol = protocol or Protocol()
    with warehouse.run("eval", replace=replace) as run:
        run.provenance = {"batch_rows": batch_rows, "duckdb_threads": threads}
        found = run.state.select("activations", **wanted)
        if not found:
            where = ", ".join(f"{name} {value}" for name, value in wanted.items() if value) or "any dataset"
            raise MissingTable(
                stage="eval", table="activations", where=where, warehouse=warehouse.root, command="superact score"
            )
        verified = VerifiedFiles(cache_path("verified.json"))
        evaluation = Evaluation(run, protocol, verified, evaluation_connection(threads), batch_rows)
        groups: dict[tuple[Any, ...], list[Layer]] = {}
        for activations in found:
            layer = _plan(run, protocol, activations)
            keys = layer.keys
            groups.setdefault((keys["dataset"], keys["model"], keys["concept_set"], keys["unit"]), []).append(layer)
        for number, (key, layers) in enumerate(groups.items()):
            if progress:
                progress("eval " + " ".join(map(str, key)), number, len(groups))
            _evaluate_group(evaluation, key, layers)
        document = run.publish()
        verified.save()
    written: dict[str, int] = {}
    for entry in document["partitions"] if document else []:
        written[entry["table"]] = written.get(entry["table"], 0) + entry["rows"]
    return written


def _plan(run: Run, protocol: Protocol, activations: Published) -> Layer:
    """Declare what one activations partition leads to; the identities name every input by its hash."""
    keys = dict(activations.partition.keys)
    dataset, model = str(keys["dataset"]), str(keys["model"])
    concepts = _needed(run, "concepts", **keys)
    inputs = {"input:activations": activations.hash, "input:concepts": concepts.hash}
    for table in _DATASET_TABLES:
        inputs[f"input:{table}"] = _needed(run, table, dataset=dataset).hash
    for table in _MODEL_TABLES:
        inputs[f"input:{table}"] = _needed(run, table, dataset=dataset, model=model).hash
    identity = {"step": "eval", "step_version": STEP_VERSION, "schema_version": FORMAT, "seed": protocol.seed, **inputs}
    rolled = {name: value for name, value in identity.items() if not name.endswith("labels")}
    root = run.warehouse.root
    facts = pq.read_table(root / _needed(run, "concept_sets", **keys).files[0].path).to_pylist()[0]
    return Layer(
        keys=keys,
        activations=activations,
        concepts=concepts,
        facts=facts,
        sample_scores=run.partition("sample_scores", {**rolled, "table": "sample_scores"}, **keys),
        metrics={table: run.partition(table, {**identity, "table": table}, **keys) for table in _METRICS},
    )


def _evaluate_group(evaluation: Evaluation, key: tuple[Any, ...], layers: list[Layer]) -> None:
    """All layers of one (dataset, model, concept set, unit), then the summary over them."""
    run, protocol = evaluation.run, evaluation.protocol
    dataset, model, concept_set, unit = key
    group = {"dataset": dataset, "model": model, "concept_set": concept_set, "unit": unit}
    # Layers evaluated earlier keep their rows in the summary, whatever this call was narrowed to.
    planned = {layer.keys["layer"] for layer in layers}
    for activations in run.state.select("activations", **group):
        number = dict(activations.partition.keys)["layer"]
        if number not in planned and run.state.select("detection", **group, layer=number):
            layers = [*layers, _plan(run, protocol, activations)]
    layers = sorted(layers, key=lambda layer: layer.keys["layer"])
    identity = {
        "step": "eval",
        "step_version": STEP_VERSION,
        "schema_version": FORMAT,
        "seed": protocol.seed,
        "replicates": protocol.replicates,
        **{f"layer:{layer.keys['layer']}": hash_of(layer.metrics["detection"].identity) for layer in layers},
    }
    summary = run.partition("summary", identity, **group)
    if summary.current and all(layer.current for layer in layers):
        return
    evaluation.bind_dataset(dataset, model)
    rows = []
    for layer in layers:
        _evaluate_layer(evaluation, layer)
        if not summary.current:
            rows.append(_summarise(evaluation, layer))
    if not summary.current:
        summary.write(0, [pa.concat_tables(rows)])


def _evaluate_layer(evaluation: Evaluation, layer: Layer) -> None:
    """Compute what is missing of one layer, and leave its tables bound for the summary."""
    connection, run = evaluation.connection, evaluation.run
    bind(connection, "concepts", evaluation.paths(layer.concepts))
    if layer.current:
        for table in ("sample_scores", *_METRICS):
            bind(connection, table, evaluation.paths(_needed(run, table, **layer.keys)))
        return
    bind(connection, "activations", evaluation.paths(layer.activations))
    names = [name for (name,) in connection.execute("SELECT concept FROM concepts WHERE status = 'ok' ORDER BY 1").fetchall()]
    ranges = batches(names, layer.activations.rows, evaluation.batch_rows)
    _roll_up(evaluation, layer, ranges)
    for table in _METRICS:
        hold(connection, table)
    _detect(connection, layer, ranges)
    for table, part in layer.metrics.items():
        if not part.current:
            held = connection.sql(f"FROM {table}").to_arrow_table()
            part.write(0, [stamped(held, layer.facts["method"], run.id)])


def _roll_up(evaluation: Evaluation, layer: Layer, ranges: list[tuple[str, str]]) -> None:
    part = layer.sample_scores
    if part.current:
        bind(evaluation.connection, "sample_scores", evaluation.paths(_needed(evaluation.run, "sample_scores", **layer.keys)))
        return
    name = f"sample_scores_{layer.keys['unit']}"
    for shard, (first, last) in enumerate(ranges):
        if shard not in part.done:
            rows = query(evaluation.connection, name, first=first, last=last, measure=layer.facts["score"])
            part.write(shard, [rows])
    if not ranges:
        part.write(0, [])
    evaluation.run.drain()
    bind(evaluation.connection, "sample_scores", [part.directory / file.record.path for file in part.done.values()])


def _detect(connection: duckdb.DuckDBPyConnection, layer: Layer, ranges: list[tuple[str, str]]) -> None:
    """Fill the held tables thresholds, detection and selection of one layer."""
    from superact.metrics.partition import add

    unit, supervised = layer.keys["unit"], layer.facts["supervised"]
    shared = {"measure": layer.facts["score"], "supervised": supervised}
    for first, last in ranges:
        add(connection, "thresholds", query(connection, f"thresholds_{unit}", first=first, last=last, **shared))
        rows = query(connection, "detection", first=first, last=last, split="cal", chosen_only=False)
        add(connection, "detection", rows)
    add(connection, "selection", query(connection, "selection", unit=unit))
    for first, last in ranges:
        rows = query(connection, "detection", first=first, last=last, split="test", chosen_only=not supervised)
        add(connection, "detection", rows)


def _summarise(evaluation: Evaluation, layer: Layer) -> pa.Table:
    unit, number = layer.keys["unit"], layer.keys["layer"]
    rows = query(evaluation.connection, "summary", unit=unit, layer=number)
    intervals = evaluation.intervals()
    bounds = [intervals.get(detector, (None, None)) for detector in rows["detector"].to_pylist()]
    for index, name in enumerate(("ci_low", "ci_high")):
        rows = rows.append_column(name, pa.array([bound[index] for bound in bounds], pa.float64()))
    return stamped(rows, layer.facts["method"], evaluation.run.id)


def stamped(rows: pa.Table, method: str, run: str) -> pa.Table:
    """The rows with what every metric row carries: its method and its run."""
    for name, value in (("method", method), ("run", run)):
        column = pa.array([value] * len(rows), pa.string())
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, column)
        else:
            rows = rows.append_column(name, column)
    return rows
