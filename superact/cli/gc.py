"""`superact gc`: remove what interrupted runs left."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Out, OutputFormat, Quiet, WarehousePath
from superact.cli.progress import note

_COLUMNS = {"path": "VARCHAR", "kind": "VARCHAR", "bytes": "BIGINT", "age_days": "DOUBLE"}


def run(
    warehouse: WarehousePath = WAREHOUSE,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Only what was last changed so many days ago.")
    ] = 7,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only listed.")] = False,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """List what interrupted runs left; remove it with --yes.

    That is staged files, and stray files under the tables that no run published. An interrupted run resumes from
    what it left, so what is younger than a week is kept unless --older-than says otherwise.
    """
    from superact.cli.output import print_records
    from superact.store import Warehouse
    from superact.store.files import human
    from superact.store.maintenance import debris, sweep

    opened = Warehouse.open(warehouse)
    found = sweep(opened, older_than) if yes else debris(opened, older_than)
    if found or format is not None or out is not None:
        print_records([item.__dict__ for item in found], _COLUMNS, format, out)
    size = human(sum(item.bytes for item in found))
    if not found:
        note(f"nothing is older than {older_than:g} days", quiet)
    elif yes:
        note(f"removed {len(found)} items, {size}", quiet)
    else:
        note(f"{len(found)} items, {size}, would be removed: add --yes", quiet)
