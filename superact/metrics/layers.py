"""Stage layers: the layer of every label, and the summary of each layer and of the chosen ones, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from superact.metrics.bootstrap import Outcomes, interval, weighted_f1
from superact.metrics.evaluation import Evaluation, stamped
from superact.metrics.identities import summary_identity
from superact.metrics.layer import SUMMARIES, Keys, Layer, keys_of, widest
from superact.metrics.partition import hold, hold_query, query

Rows = dict[tuple[str, int | None, str], pa.Table]
"""Outcomes by (layer_choice, layer, detector)."""


def summarise_group(evaluation: Evaluation, keys: Keys, layers: Sequence[Layer]) -> None:
    """Fill layer_selection and summary of one (dataset, model, concept set, unit) from all of its layers.

    Errors: MissingTable, StaleInput, Damaged.
    """
    run = evaluation.run
    parts = {
        table: run.partition(table, summary_identity(evaluation.protocol, layers, table), **keys_of(table, keys))
        for table in SUMMARIES
    }
    if all(part.current for part in parts.values()):
        return
    connection, method = evaluation.connection, layers[0].method
    choose_layers(evaluation, layers)
    summary = query(connection, "summary", unit=keys["unit"], layers=[layer.number for layer in layers])
    found = intervals(evaluation, outcomes_of(evaluation, layers))
    bounds = [
        found.get((row["layer_choice"], row["layer"], row["detector"]), (None, None)) for row in summary.to_pylist()
    ]
    for index, name in enumerate(("ci_low", "ci_high")):
        summary = summary.append_column(name, pa.array([pair[index] for pair in bounds], pa.float64()))
    rows = {"layer_selection": connection.sql("FROM layer_selection").to_arrow_table(), "summary": summary}
    for table, part in parts.items():
        if not part.current:
            part.write(0, [stamped(rows[table], method, run.id)])


def choose_layers(evaluation: Evaluation, layers: Sequence[Layer]) -> None:
    """Hold layer_choices and layer_selection of the layers, whose selection and detection are bound in turn."""
    choices = []
    for layer in layers:
        evaluation.bind_dataset(layer)
        evaluation.bind_of(layer, "selection", "detection")
        choices.append(query(evaluation.connection, "layer_choices", layer=layer.number))
    evaluation.bind_dataset(widest(layers))
    hold_choices(evaluation.connection, choices, layers[0].unit)


def hold_choices(connection: duckdb.DuckDBPyConnection, choices: list[pa.Table], unit: str) -> None:
    """Hold layer_choices, and the layer_selection that follows from it; the dataset's tables are bound."""
    hold_query(connection, "layer_choices", pa.concat_tables(choices))
    hold(connection, "layer_selection", [query(connection, "layer_selection", unit=unit)])


def outcomes_of(evaluation: Evaluation, layers: Sequence[Layer]) -> Iterator[Rows]:
    """What every detector said of every test sample: first of each layer, then of the layers chosen. One yield a layer.

    layer_selection is held; selection and sample_scores of each layer are bound in turn.
    """

    def bind_layer(layer: Layer) -> None:
        evaluation.bind_dataset(layer)
        evaluation.bind_of(layer, "selection", "sample_scores")

    return read_outcomes(evaluation.connection, {layer.number: partial(bind_layer, layer) for layer in layers})


def read_outcomes(connection: duckdb.DuckDBPyConnection, layers: Mapping[int, Callable[[], None]]) -> Iterator[Rows]:
    """As `outcomes_of`, where each layer comes with what binds its selection, sample_scores, samples and sample_labels."""
    chosen = connection.sql("SELECT detector, label, layer FROM layer_selection").to_arrow_table()
    best: dict[str, list[pa.Table]] = {}
    for layer, bind_layer in layers.items():
        bind_layer()
        found: Rows = {}
        for detector in chosen["detector"].unique().to_pylist():
            rows = query(connection, "outcomes", detector=detector)
            found["fixed", layer, detector] = rows
            own = chosen.filter((pc.field("detector") == detector) & (pc.field("layer") == layer))
            kept = rows.filter(pc.is_in(rows["label"], value_set=own["label"].combine_chunks()))
            best.setdefault(detector, []).append(kept)
        yield found
    yield {("best", None, detector): pa.concat_tables(rows) for detector, rows in best.items()}


def intervals(
    evaluation: Evaluation, outcomes: Iterator[Rows]
) -> dict[tuple[str, int | None, str], tuple[float, float]]:
    """Bootstrap interval of the weighted F1 of everything that has a label to average over."""
    protocol = evaluation.protocol
    found: dict[tuple[str, int | None, str], tuple[float, float]] = {}
    for rows in outcomes:
        named = {str(number): as_outcomes(table) for number, table in enumerate(rows.values())}
        values = weighted_f1(n_test(evaluation.connection), protocol.seed, named, protocol.replicates)
        keys = list(rows)
        found |= {keys[int(number)]: interval(replicates) for number, replicates in values.items()}
    return found


def n_test(connection: duckdb.DuckDBPyConnection) -> int:
    """Test samples of the bound dataset."""
    ((n,),) = connection.execute("SELECT count(*) FROM samples WHERE split = 'test'").fetchall()
    return int(n)


def as_outcomes(rows: pa.Table) -> Outcomes:
    """Rows of outcomes.sql as arrays, labels numbered."""
    return Outcomes(
        sample=rows["position"].to_numpy(),
        label=rows["label"].combine_chunks().dictionary_encode().indices.to_numpy(),
        predicted=rows["predicted"].to_numpy(zero_copy_only=False),
        truth=rows["truth"].to_numpy(zero_copy_only=False),
    )
