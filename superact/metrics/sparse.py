"""Features of a sparse autoencoder, evaluated from table sae_activations, in which an absent row is 0.

The features that are worth evaluating are chosen on cal (`sae_units`); from there on they are the concepts of the set, and the
queries of every other set run over relations that make the sparse table look like `activations`: the labelled cal tokens for
thresholds, what a label chose for localization, and, a batch of labels at a time, what it chose with the zeros written out. A
threshold is made of values above 0 and lies above 0, so that an absent score never reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import UNITS, Layer
from superact.metrics.partition import add_sql, bind, counted_batches, hold, hold_query, hold_sql, query, view
from superact.query.session import sql_file

THRESHOLDS = {"token": 5 * 12, "cls": 12}
"""Rows of thresholds, and of detection on one split, that a (label, concept) has: detectors times deltas."""
SCORES = {"token": 4, "cls": 1}
"""Sample scores that one active row may give."""
PAIR_ROWS = 8
"""What a row of thresholds takes, in rows of activations: names, counts and ratios of detection beside it."""

Ranges = list[tuple[str, str]]


def select_units(evaluation: Evaluation, layer: Layer) -> None:
    """Fill table sae_units of a layer unless it is there, and bind it.

    Every evaluated label of the dataset counts, whichever this call is narrowed to: asking for a label more changes no unit.
    """
    if layer.todo(UNITS):
        connection = evaluation.connection
        _bind_activations(evaluation, layer)
        if layer.labels is not None:
            evaluation.bind("labels", **layer.own("labels"))
        counts = _active_rows(connection)
        hold_sql(connection, "sae_statistics", "sae_statistics", first=0, last=-1)
        for first, last in counted_batches(list(counts), list(counts.values()), evaluation.batch_rows):
            add_sql(connection, "sae_statistics", "sae_statistics", first=first, last=last)
        hold(connection, "sae_units")
        add_sql(connection, "sae_units", f"sae_units_{layer.unit}")
        evaluation.write_held(layer, "sae_units")
        connection.execute("DROP TABLE sae_statistics")
        if layer.labels is not None:
            evaluation.forget()
            evaluation.bind_dataset(layer)
    evaluation.bind_of(layer, "sae_units")


def bind_units(evaluation: Evaluation, layer: Layer) -> list[str]:
    """Make `concepts` the kept units and bind `sae_activations`; `sae_units` is bound. Returns their names in order."""
    connection = evaluation.connection
    _bind_activations(evaluation, layer)
    bind(connection, "concepts", evaluation.paths(layer.sources["concepts"]))
    kept = query(connection, "concepts_kept")
    hold_query(connection, "concepts", kept)
    if not len(kept):
        where = " ".join(map(str, layer.keys.values()))
        evaluation.say(f"{where}: no unit is kept, so that nothing is matched; table sae_units says why")
    return [str(name) for name in kept["concept"].to_pylist()]


class SparseRanges:
    """Ranges of units that hold about so many rows each: units differ in how often they are active."""

    def __init__(self, evaluation: Evaluation, layer: Layer) -> None:
        self._counts = _active_rows(evaluation.connection)
        self._unit, self._most = layer.unit, evaluation.batch_rows
        query = "SELECT count(*) FROM labels WHERE evaluated"
        ((self._labels,),) = evaluation.connection.execute(query).fetchall()

    def of_scores(self, names: Sequence[str]) -> Ranges:
        """Ranges whose sample scores fit."""
        weights = [SCORES[self._unit] * self._counts[int(name)] for name in names]
        return counted_batches(names, weights, self._most)

    def of_pairs(self, names: Sequence[str]) -> Ranges:
        """Ranges whose sample scores, and whose thresholds and detection for every label, fit."""
        pairs = PAIR_ROWS * THRESHOLDS[self._unit] * self._labels
        weights = [SCORES[self._unit] * self._counts[int(name)] + pairs for name in names]
        return counted_batches(names, weights, self._most)


def hold_calibration(evaluation: Evaluation, layer: Layer) -> None:
    """Make `activations` what thresholds are made from; `concepts` are the kept units. Unit cls asks sample scores alone."""
    if layer.unit == "token":
        hold_sql(evaluation.connection, "activations", "calibration_sae")


def hold_chosen(evaluation: Evaluation, layer: Layer) -> None:
    """Make `activations` the active rows of what detector superactivator chose for some label; `selection` is bound."""
    connection = evaluation.connection
    _bind_activations(evaluation, layer)
    hold_sql(connection, "chosen_activations", "activations_chosen")
    view(connection, "activations", "FROM chosen_activations")


def fill_zeros(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `activations` a view of the concepts of chosen_labels on all content tokens of cal and test."""
    view(connection, "activations", f"FROM (\n{sql_file('superact.metrics', 'activations_filled')})")


def _bind_activations(evaluation: Evaluation, layer: Layer) -> None:
    bind(evaluation.connection, "sae_activations", evaluation.paths(layer.sources["sae_activations"]))


def _active_rows(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """How many rows of sae_activations each feature has, in feature order."""
    rows = connection.execute("SELECT feature, count(*) FROM sae_activations GROUP BY feature ORDER BY feature")
    return dict(rows.fetchall())
