"""`superact export`: the rows of a table or view, or the published result files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from superact.cli.options import (
    WAREHOUSE,
    ConceptSet,
    Dataset,
    Layers,
    Model,
    OutputFormat,
    Unit,
    WarehousePath,
    names,
    path_keys,
    writable,
)
from superact.cli.progress import note, progress_line


class Layout(StrEnum):
    """What is exported."""

    rows = "rows"
    published = "published"


def _place(context: typer.Context, out: Path | None) -> Path | None:
    """Refuse a file that cannot be, before any work; the folder of the published layout is checked where it is made."""
    return out if context.params.get("layout") is Layout.published else writable(out)


def run(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="A table of `superact info`, scores or superactivators.")
    ] = None,
    warehouse: WarehousePath = WAREHOUSE,
    layout: Annotated[
        Layout,
        typer.Option(
            "--layout",
            metavar="rows|published",
            is_eager=True,  # the place of --out depends on it
            help="The rows of TABLE, or the result files of the published code in the folder --out, which must be new.",
        ),
    ] = Layout.rows,
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
    delta: Annotated[float | None, typer.Option(metavar="FRACTION", help="This delta only, such as 0.05.")] = None,
    format: OutputFormat = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            callback=_place,
            help="Write the rows to a file, or the published layout to a folder, which appears complete or not at all.",
        ),
    ] = None,
) -> None:
    """Print the rows of a table or view that match, or write the published result files.

    Filters are exact values. csv, json and parquet are written as the rows are read, so that a table of any size
    can be exported. The published layout needs torch and --out, and takes the filters by path key alone.
    """
    keys = path_keys(dataset, model, layers, concept_set, unit)
    others = {
        "method": method,
        "detector": detector,
        "split": split,
        "label": label,
        "concept": concept,
        "delta": delta,
    }
    if layout is Layout.published:
        surplus = {"--columns": columns, **{f"--{name}": value for name, value in others.items()}, "--format": format}
        _write_published(warehouse, keys, out, surplus if table is None else {"TABLE": table})
        return
    if table is None:
        raise typer.BadParameter("Name one, or give --layout published.", param_hint="TABLE")
    import superact
    from superact.cli.freshness import note_stale
    from superact.cli.output import print_rows
    from superact.query.export import select_rows

    session = superact.open(warehouse)
    note_stale(session, table)
    wanted = None if columns is None else names(columns)
    print_rows(select_rows(session, table, wanted, **keys, **others), format, out)


def _write_published(warehouse: Path, keys: dict[str, Any], out: Path | None, surplus: dict[str, Any]) -> None:
    for name, value in surplus.items():
        if value is not None:
            raise typer.BadParameter("Not with --layout published.", param_hint=name)
    if out is None:
        raise typer.BadParameter("Name the folder of the published layout.", param_hint="--out")
    import superact
    from superact.cli.freshness import note_stale
    from superact.published import TABLES, export_published

    session = superact.open(warehouse)
    note_stale(session, " ".join(TABLES))
    with progress_line(quiet=False) as report:
        exported = export_published(session, out, progress=report, **keys)
    for line in exported.notes:
        note(line, quiet=False)
    sets = "1 concept set" if exported.sets == 1 else f"{exported.sets} concept sets"
    note(f"wrote {exported.files:,} files of {sets} to {out}; README.txt says what differs", quiet=False)
