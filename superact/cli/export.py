"""`superact export`: the rows of a table or view."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import (
    WAREHOUSE,
    ConceptSet,
    Dataset,
    Layers,
    Model,
    Out,
    OutputFormat,
    Unit,
    WarehousePath,
    names,
    path_keys,
)


def run(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="A table of `superact info`, scores or superactivators.")
    ],
    warehouse: WarehousePath = WAREHOUSE,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="These columns only, in this order, such as label,f1.")
    ] = None,
    dataset: Dataset = None,
    model: Model = None,
    layers: Layers = None,
    concept_set: ConceptSet = None,
    unit: Unit = None,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="This method only.")] = None,
    detector: Annotated[str | None, typer.Option(metavar="NAME", help="This detector only.")] = None,
    split: Annotated[str | None, typer.Option(metavar="train|cal|test", help="This split only.")] = None,
    label: Annotated[str | None, typer.Option(metavar="NAME", help="This label only.")] = None,
    concept: Annotated[str | None, typer.Option(metavar="NAME", help="This concept only.")] = None,
    format: OutputFormat = None,
    out: Out = None,
) -> None:
    """Print the rows of a table or view that match.

    Filters are exact values. csv, json and parquet are written as the rows are read, so that a table of any size
    can be exported.
    """
    import superact
    from superact.cli.freshness import note_stale
    from superact.cli.output import print_rows
    from superact.query.export import select_rows

    filters = {
        **path_keys(dataset, model, layers, concept_set, unit),
        "method": method,
        "detector": detector,
        "split": split,
        "label": label,
        "concept": concept,
    }
    session = superact.open(warehouse)
    note_stale(session, table)
    wanted = None if columns is None else names(columns)
    print_rows(select_rows(session, table, wanted, **filters), format, out)
