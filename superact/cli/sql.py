"""`superact sql`: one read-only query."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Out, OutputFormat, WarehousePath


def run(
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="The query; - reads it from stdin.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", exists=True, dir_okay=False, help="Read the query from a file."),
    ] = None,
    warehouse: WarehousePath = WAREHOUSE,
    format: OutputFormat = None,
    out: Out = None,
) -> None:
    """Ask the warehouse in SQL; nothing can be written.

    One SELECT (or WITH, FROM), DESCRIBE, SHOW TABLES or SUMMARIZE. The tables are those of `superact info` and the views
    scores, superactivators, label_floors, floors, precision_recall and delta_histogram. Checksums are not verified here;
    `superact verify` does that.
    """
    if (query is None) == (file is None):
        raise typer.BadParameter("Give either a query or --file.", param_hint="QUERY")
    text = _text(query, file)
    import superact
    from superact.cli.freshness import note_stale
    from superact.cli.output import print_rows

    session = superact.open(warehouse)
    note_stale(session, text)
    print_rows(session.stream(text), format, out)


def _text(query: str | None, file: Path | None) -> str:
    from superact.errors import BadInput

    try:
        if file is not None:
            return file.read_text(encoding="utf-8")
        return sys.stdin.read() if query == "-" else str(query)
    except UnicodeDecodeError as error:
        raise BadInput(what=f"The query is not UTF-8 text ({error.reason}).", remedy="Save it as UTF-8.") from error
