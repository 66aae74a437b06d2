"""`superact info`: what a warehouse holds."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Out, OutputFormat, Quiet, WarehousePath, spans
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
    "stale": "BIGINT",
}


def run(
    warehouse: WarehousePath = WAREHOUSE,
    runs: Annotated[bool, typer.Option("--runs", help="The runs that were published instead, oldest first.")] = False,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """List what the warehouse holds.

    Layers, partitions, files, rows and bytes of every table for each dataset and model, and how many of the partitions
    are stale: metrics whose inputs changed since, which the next `superact eval` makes anew.
    """
    import superact
    from superact.cli.output import print_records, print_rows
    from superact.store import Warehouse
    from superact.store.files import human
    from superact.store.maintenance import inventory
    from superact.store.stale import stale

    if runs:
        from superact.query.export import select_rows

        columns = ["run", "stage", "started_at", "seconds", "partitions", "rows", "bytes", "tables"]
        print_rows(select_rows(superact.open(warehouse), "runs", columns), format, out)
        return
    opened = Warehouse.open(warehouse)
    state = opened.state()
    found = inventory(state)
    old = Counter(
        (p.partition.table, str(dict(p.partition.keys)["dataset"]), str(dict(p.partition.keys)["model"]))
        for p in stale(state)
    )
    records = [
        {
            **entry.__dict__,
            "layers": spans(entry.layers) or None,
            "stale": old[entry.table, str(entry.dataset), str(entry.model)],
        }
        for entry in found
    ]
    print_records(records, _COLUMNS, format, out)
    total = human(sum(entry.bytes for entry in found))
    note(f"{opened.root}: {sum(entry.rows for entry in found):,} rows, {total}", quiet)
