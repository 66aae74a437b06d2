"""`superact eval --null`: the same search over deltas, layers and concepts, on labels shuffled among the samples of each split.

What it finds is what a detector of nothing would be reported with: the choice on cal looks better than it is, and the more
there is to choose from (a thousand clusters, eight layers), the better. Vectors and scores stay; thresholds, selection and
layer selection are made anew on the shuffled labels, in memory, and only the summary is published.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from superact.cache import cache_path
from superact.metrics.dense import DenseScores
from superact.metrics.detect import bind_concepts, judge
from superact.metrics.evaluate import WRITE_BUDGET, evaluated, group_sets, planned, rows_written
from superact.metrics.evaluation import Evaluation, stamped
from superact.metrics.identities import summary_identity
from superact.metrics.layer import KEPT_CONCEPTS, Layer, Protocol, keys_of, widest
from superact.metrics.layers import hold_choices
from superact.metrics.partition import BATCH_ROWS, batches, bind, evaluation_connection, hold_query, query
from superact.metrics.plan import wanted_sets, with_labels
from superact.metrics.sparse import SparseRanges, bind_units, hold_calibration
from superact.store import Warehouse
from superact.store.files import VerifiedFiles

SHUFFLES = 5


def evaluate_null(
    warehouse: Warehouse,
    *,
    shuffles: int = SHUFFLES,
    protocol: Protocol | None = None,
    replace: bool = False,
    threads: int | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[str, int, int], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
    **wanted: Any,
) -> dict[str, int]:
    """Fill null_summary for every concept set that matches, over all of its evaluated layers.

    Shuffle number i permutes the samples of each split by numpy's PCG64([seed, i]), the same for every set of a dataset.
    Returns the rows written. Errors: MissingTable and StaleInput where detect has not run, BadInput, Damaged.
    """
    protocol = protocol or Protocol()
    with warehouse.run("eval", replace=replace, budget=WRITE_BUDGET) as run:
        run.provenance = {"batch_rows": batch_rows, "duckdb_threads": threads, "shuffles": shuffles}
        verified = VerifiedFiles(cache_path("verified.json"))
        with evaluation_connection(threads) as connection:
            evaluation = Evaluation(run, protocol, verified, connection, batch_rows, say)
            found = wanted_sets(run, evaluation.paths, say, **wanted)
            groups = group_sets(with_labels(run, evaluation.paths, found, protocol.labels))
            for number, sets in enumerate(groups):
                if progress:
                    progress(
                        "null " + " ".join(str(v) for k, v in sets[0].items() if k != "layer"), number, len(groups)
                    )
                every = sorted([*sets, *evaluated(evaluation, sets)], key=lambda keys: keys["layer"])
                layers = [planned(evaluation, keys) for keys in every]
                identity = {**summary_identity(protocol, layers, "null_summary"), "shuffles": shuffles}
                del identity["replicates"]
                part = run.partition("null_summary", identity, **keys_of("null_summary", sets[0]))
                if not part.current:
                    rows = pa.concat_tables([_shuffled(evaluation, layers, shuffle) for shuffle in range(shuffles)])
                    part.write(0, [stamped(rows, layers[0].method, run.id)])
        document = run.publish()
        verified.save()
    return rows_written(document)


def _shuffled(evaluation: Evaluation, layers: list[Layer], shuffle: int) -> pa.Table:
    """The summary of one shuffle of the labels of one (dataset, model, concept set, unit)."""
    connection, first = evaluation.connection, widest(layers)
    evaluation.bind_dataset(first)
    try:
        _shuffle_labels(evaluation, first, shuffle)
        choices = []
        for layer in layers:
            _detect(evaluation, layer)
            choices.append(query(connection, "layer_choices", layer=layer.number))
        hold_choices(connection, choices, first.unit)
    finally:
        evaluation.forget()
    numbers = [layer.number for layer in layers]
    return query(connection, "null_summary", unit=first.unit, layers=numbers, shuffle=shuffle)


def _shuffle_labels(evaluation: Evaluation, layer: Layer, shuffle: int) -> None:
    """Hold sample_labels, token_labels and calibration_tokens as they are after the shuffle."""
    connection = evaluation.connection
    samples = connection.sql("SELECT sample, split FROM samples ORDER BY sample").to_arrow_table()
    hold_query(connection, "shuffled_samples", permuted(samples, evaluation.protocol.seed, shuffle))
    labels = connection.sql(
        "SELECT s.target AS sample, l.label FROM sample_labels AS l JOIN shuffled_samples AS s USING (sample)"
    )
    hold_query(connection, "sample_labels", labels.to_arrow_table())
    if layer.unit == "token":
        hold_query(connection, "token_labels", query(connection, "shuffled_token_labels"))
        hold_query(connection, "calibration_tokens", query(connection, "calibration_tokens"))


def permuted(samples: pa.Table, seed: int, shuffle: int) -> pa.Table:
    """Rows (sample, target): a permutation of the samples of each split; `samples` has sample and split, ascending."""
    generator = np.random.Generator(np.random.PCG64([seed, shuffle]))
    sample = samples["sample"].to_numpy()
    split = np.array(samples["split"].to_pylist())
    target = sample.copy()
    for name in ("train", "cal", "test"):
        own = np.flatnonzero(split == name)
        target[own] = sample[generator.permutation(own)]
    return pa.table({"sample": sample, "target": target})


def _detect(evaluation: Evaluation, layer: Layer) -> None:
    """Hold thresholds, detection and selection of one layer on the shuffled labels."""
    connection = evaluation.connection
    evaluation.bind_of(layer, "sample_scores")
    if layer.source == "sae_activations":
        # Which units are evaluated follows from how many tokens carry labels, not from which: shuffling leaves it alone.
        evaluation.bind_of(layer, "sae_units")
        names = bind_units(evaluation, layer)
        hold_calibration(evaluation, layer)
        judge(evaluation, layer, SparseRanges(evaluation, layer).of_pairs(names), keep=KEPT_CONCEPTS)
        return
    names = bind_concepts(evaluation, layer)
    if layer.source == "embeddings":
        with DenseScores(evaluation, layer, names).calibrated() as calibration:
            judge(evaluation, layer, calibration.ranges, keep=KEPT_CONCEPTS, bind_range=calibration.bind_range)
        return
    activations = layer.sources["activations"]
    bind(connection, "activations", evaluation.paths(activations))
    ranges = batches(names, activations.rows // max(1, len(names)), evaluation.batch_rows)
    judge(evaluation, layer, ranges, keep=None if layer.supervised else KEPT_CONCEPTS)
