"""`superact eval`: from scores to detection and its summary."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import (
    WAREHOUSE,
    ConceptSet,
    Dataset,
    Layers,
    Model,
    Quiet,
    Replace,
    Unit,
    WarehousePath,
    path_keys,
)
from superact.cli.progress import note, progress_line


def run(
    warehouse: WarehousePath = WAREHOUSE,
    dataset: Dataset = None,
    model: Model = None,
    layers: Layers = None,
    concept_set: ConceptSet = None,
    unit: Unit = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Of the random token and of the bootstrap.")] = 0,
    replicates: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Bootstrap replicates of the intervals.")
    ] = 1000,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Compute detection and its summary of what is scored.

    Fills sample_scores, thresholds, detection, selection and summary for every scored layer that matches. What is
    published with the same inputs is left alone; what has other inputs by now is superseded.
    """
    from superact.metrics.evaluate import Protocol, evaluate
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    wanted = path_keys(dataset, model, layers, concept_set, unit)
    protocol = Protocol(seed=seed, replicates=replicates)
    with progress_line(quiet) as report:
        written = evaluate(opened, protocol=protocol, replace=replace, progress=report, **wanted)
    if not written:
        note("nothing was stale: every metric is there already", quiet)
    for table, rows in written.items():
        note(f"{table}: {rows:,} rows", quiet)
    note("see it with: superact export summary --columns layer,method,unit,detector,f1,ci_low,ci_high", quiet)
