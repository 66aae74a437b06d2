"""How much better one detector is than another: the difference of their F1 on the same draws of the test samples.

Two intervals that overlap say little about a difference, because the same hard samples weigh on both. The draws are those of
the published summary: its seed and replicates stand in its identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from superact.cache import cache_path
from superact.errors import BadQuery, Damaged, MissingTable, StaleInput
from superact.metrics.bootstrap import interval, sample_f1, weighted_f1
from superact.metrics.evaluation import whole_files
from superact.metrics.layers import as_outcomes, n_test, read_outcomes
from superact.metrics.partition import bind, evaluation_connection, query
from superact.metrics.prompts import METHOD, PROMPT
from superact.schemas import tables
from superact.store import Published, State, Warehouse
from superact.store.files import VerifiedFiles
from superact.store.stale import is_stale

Row = dict[str, Any]
Keys = dict[str, Any]

_OTHER = ""
"""The name, among those of detectors, of what they are set against."""


class Judged(NamedTuple):
    """What one detector said of the test samples (rows of outcomes.sql), and the draws its summary was made with."""

    outcomes: pa.Table
    seed: int
    replicates: int

    def labels(self) -> frozenset[str]:
        """Labels with a test positive."""
        return frozenset(self.outcomes.filter(pc.field("truth"))["label"].to_pylist())


class Difference(NamedTuple):
    """A difference of two F1, with its interval."""

    difference: float
    difference_low: float
    difference_high: float


def layers_of(summary: Published) -> list[int]:
    """The layers that a published summary was made from."""
    prefix = "layer:"
    return sorted(int(name.removeprefix(prefix)) for name in summary.identity if name.startswith(prefix))


def add_differences(
    warehouse: Warehouse, state: State, rows: list[Row], against: str, answering: Mapping[str, str] | None = None
) -> None:
    """Give every row the columns against, difference, difference_low and difference_high, in place.

    Rows of one (dataset, model, concept_set) stand together. `against` is the detector of the same concept set or, where
    `answering` names a model for the row's dataset, that prompted model. The difference is taken over the labels that both
    average over; NULL for `against` itself, and where there is none of that name or no label in common.
    Errors: MissingTable, StaleInput, Damaged.
    """
    with evaluation_connection() as connection:
        reader = _Reader(warehouse, state, connection)
        for keys, group in groupby(rows, lambda row: {name: row[name] for name in ("dataset", "model", "concept_set")}):
            own = list(group)
            if answering is None:
                found = _to_own_detector(reader, keys, own, against)
            else:
                found = _to_prompted(reader, keys, own, answering.get(keys["dataset"]))
            for row in own:
                own_difference = found.get(row["detector"])
                row["against"] = against if own_difference else None
                row |= own_difference._asdict() if own_difference else dict.fromkeys(Difference._fields)
        reader.verified.save()


def _to_own_detector(reader: _Reader, keys: Keys, rows: list[Row], against: str) -> dict[str, Difference]:
    """Difference of every detector of one concept set to another one of it."""
    if not any(row["detector"] == against for row in rows):
        return {}
    judged = _judged_set(reader, keys, rows)
    other = judged.pop(against, None)
    return {} if other is None else _differences(reader, judged, other)  # None: no label is evaluated


def _to_prompted(reader: _Reader, keys: Keys, rows: list[Row], model: str | None) -> dict[str, Difference]:
    """Difference of every detector of one concept set, or of another prompted model, to a prompted model."""
    is_prompt = keys["concept_set"] == PROMPT["concept_set"]
    if model is None or (is_prompt and keys["model"] == model):
        return {}
    judged = {METHOD: reader.answers(keys)} if is_prompt else _judged_set(reader, keys, rows)
    return _differences(reader, judged, reader.answers({**keys, "model": model}))


def _judged_set(reader: _Reader, keys: Keys, rows: list[Row]) -> dict[str, Judged]:
    judged: dict[str, Judged] = {}
    for unit in sorted({row["unit"] for row in rows}):
        judged |= reader.judged({**keys, "unit": unit}, rows[0]["layer"])
    return judged


def _differences(reader: _Reader, judged: Mapping[str, Judged], other: Judged) -> dict[str, Difference]:
    """Difference and interval of everything that has a label in common with `other`; the dataset's samples are bound."""
    n = n_test(reader.connection)
    # Detectors that share their labels and draws share the replicates of the other one, too.
    alike: dict[tuple[Any, ...], dict[str, Judged]] = {}
    for detector, one in judged.items():
        if common := one.labels() & other.labels():
            alike.setdefault((one.seed, one.replicates, common), {})[detector] = one
    found: dict[str, Difference] = {}
    for (seed, replicates, common), members in alike.items():
        outcomes = {name: as_outcomes(_of_labels(one.outcomes, common)) for name, one in members.items()}
        rival = as_outcomes(_of_labels(other.outcomes, common))
        draws = weighted_f1(n, seed, {**outcomes, _OTHER: rival}, replicates)
        for name, rows in outcomes.items():
            point = sample_f1(n, rows) - sample_f1(n, rival)
            found[name] = Difference(point, *interval(draws[name] - draws[_OTHER]))
    return found


def _of_labels(outcomes: pa.Table, labels: frozenset[str]) -> pa.Table:
    return outcomes.filter(pc.is_in(outcomes["label"], value_set=pa.array(sorted(labels), pa.string())))


class _Reader:
    """What eval published, bound on a connection as the metric queries read it; no lock is taken."""

    def __init__(self, warehouse: Warehouse, state: State, connection: duckdb.DuckDBPyConnection) -> None:
        self.verified = VerifiedFiles(cache_path("verified.json"))
        self.connection = connection
        self._warehouse = warehouse
        self._state = state

    def judged(self, keys: Keys, layer: int | None) -> dict[str, Judged]:
        """What every detector of a (dataset, model, concept_set, unit) said, at a layer or where each label is best."""
        summary = self._current("summary", keys)
        for table in ("samples", "sample_labels", "layer_selection"):
            self._bind(table, keys)
        numbers = layers_of(summary) if layer is None else [layer]
        binds: dict[int, Callable[[], None]] = {
            number: partial(self._bind_layer, {**keys, "layer": number}) for number in numbers
        }
        choice = "best" if layer is None else "fixed"
        seed, replicates = summary.identity["seed"], summary.identity["replicates"]
        return {
            detector: Judged(outcomes, seed, replicates)
            for found in read_outcomes(self.connection, binds)
            for (kind, _, detector), outcomes in found.items()
            if kind == choice
        }

    def answers(self, keys: Keys) -> Judged:
        """What a prompted model said of the test samples of a dataset."""
        own = {"dataset": keys["dataset"], "model": keys["model"]}
        summary = self._current("summary", {**own, **PROMPT})
        for table in ("samples", "labels", "sample_labels", "prompt_answers"):
            self._bind(table, own)
        outcomes = query(self.connection, "prompt_outcomes")
        return Judged(outcomes, summary.identity["seed"], summary.identity["replicates"])

    def _bind_layer(self, keys: Keys) -> None:
        for table in ("selection", "sample_scores"):
            self._bind(table, keys)

    def _bind(self, table: str, keys: Keys) -> None:
        published = self._current(table, keys)
        try:
            bind(self.connection, table, whole_files(self._warehouse.root, published, self.verified))
        except Damaged:
            if self._warehouse.state().sequence != self._state.sequence:
                raise BadQuery(reason="The warehouse changed while it was read: compare again.") from None
            raise

    def _current(self, table: str, keys: Keys) -> Published:
        """A partition that must be there and up to date: the summary would say something else than its tables do."""
        own = {name: keys[name] for name in tables()[table].path}
        command = f"superact eval --dataset {keys['dataset']} --model {keys['model']}"
        if keys.get("unit") == PROMPT["unit"]:
            command = f"superact prompt eval {keys['dataset']} --model {keys['model']}"
        published = self._state.get(table, **own)
        if published is None:
            raise MissingTable(
                stage="compare --against",
                table=table,
                where=" ".join(map(str, own.values())),
                warehouse=self._warehouse.root,
                command=command,
            )
        if published.derived and is_stale(self._state, published):
            raise StaleInput(partition=str(published.partition), differences="its inputs", command=command)
        return published
