"""`superact info`: what a warehouse holds."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Out, OutputFormat, Quiet, WarehousePath
from superact.cli.progress import note

_COLUMNS = {
    "table": "VARCHAR",
    "dataset": "VARCHAR",
    "model": "VARCHAR",
    "layers": "VARCHAR",
    "partitions": "BIGINT",
    "files": "BIGINT",
    "rows": "BIGINT",
    "bytes": "BIGINT",
}


def run(
    warehouse: WarehousePath = WAREHOUSE,
    runs: Annotated[bool, typer.Option("--runs", help="The runs that were published instead, oldest first.")] = False,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """List what the warehouse holds.

    Layers, partitions, files, rows and bytes of every table for each dataset and model.
    """
    import superact
    from superact.cli.output import print_records, print_rows
    from superact.store import Warehouse
    from superact.store.files import human
    from superact.store.maintenance import inventory

    if runs:
        from superact.query.export import select_rows

        columns = ["run", "stage", "started_at", "seconds", "partitions", "rows", "bytes", "tables"]
        print_rows(select_rows(superact.open(warehouse), "runs", columns), format, out)
        return
    opened = Warehouse.open(warehouse)
    found = inventory(opened.state())
    records = [{**entry.__dict__, "layers": ",".join(map(str, entry.layers)) or None} for entry in found]
    print_records(records, _COLUMNS, format, out)
    total = human(sum(entry.bytes for entry in found))
    note(f"{opened.root}: {sum(entry.rows for entry in found):,} rows, {total}", quiet)
