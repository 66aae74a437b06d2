"""`superact verify`: is every file as it was published?"""

from __future__ import annotations

import typer

from superact.cli.options import WAREHOUSE, Out, OutputFormat, Quiet, WarehousePath
from superact.cli.progress import note, progress_line


def run(
    warehouse: WarehousePath = WAREHOUSE, format: OutputFormat = None, out: Out = None, quiet: Quiet = False
) -> None:
    """Check that every published file is as it was written.

    Hashes them, lists those that are missing or differ, and exits with 4 if there are any. Files that no run published are
    listed too, as strays; they alone are no failure, since superact never reads them, but a bare glob over the folder does:
    `superact gc` removes them.
    """
    from superact.cli.output import print_records
    from superact.errors import Damaged
    from superact.store import Warehouse
    from superact.store.files import human
    from superact.store.maintenance import verify

    opened = Warehouse.open(warehouse)
    sizes = {file.path: file.bytes for _, file in opened.state().files()}
    checked, size, findings = 0, 0, []
    with progress_line(quiet) as report:
        for path, finding in verify(opened):
            if finding is not None:
                findings.append(finding)
            # A stray was not published, so there is nothing to check it against.
            if finding is None or not finding.problem.startswith("stray"):
                report(path, checked, len(sizes))
                checked, size = checked + 1, size + sizes.get(path, 0)
    if findings or format is not None or out is not None:
        print_records([f.__dict__ for f in findings], {"path": "VARCHAR", "problem": "VARCHAR"}, format, out)
    strays = sum(f.problem.startswith("stray") for f in findings)
    damaged = len(findings) - strays
    note(f"checked {checked:,} files, {human(size)}: {damaged or 'none'} damaged", quiet)
    if strays:
        note(f"{strays} stray files, which no run published: `superact gc` lists and removes them", quiet)
    if damaged:
        raise typer.Exit(Damaged.exit_code)
