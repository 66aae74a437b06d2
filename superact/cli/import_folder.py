"""`superact import`: embeddings, labels and concept vectors made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Quiet, Replace, WarehousePath, spans
from superact.cli.progress import note


def run(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder; docs/import.md says what is in it.")],
    warehouse: WarehousePath = WAREHOUSE,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Import a folder of embeddings, labels and concepts.

    Everything is validated before the first byte is written. The warehouse is made where there is none.
    """
    from superact.ingest.import_folder import import_folder
    from superact.store import Warehouse

    done = import_folder(Warehouse(warehouse), folder, replace=replace)
    for line in done["notes"]:
        note(f"note: {line}", quiet)
    what = f"dataset {done['dataset']}, model {done['model']}, layers {spans(done['layers'], ', ')}"
    if done["published"]:
        note(f"imported {done['rows']:,} rows: {what}", quiet)
    else:
        note(f"nothing to do: {what} is there already", quiet)
