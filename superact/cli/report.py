"""`superact report`: a warehouse as a folder of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superact.cli.options import DATA_ROOT, WAREHOUSE, DataRoot, Dataset, Model, Quiet, WarehousePath
from superact.cli.progress import note, progress_line


def run(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="The folder to write, which appears complete or not at all."),
    ],
    warehouse: WarehousePath = WAREHOUSE,
    dataset: Dataset = None,
    model: Model = None,
    data_root: DataRoot = DATA_ROOT,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            min=1,
            help="Test samples of each dataset to show; when not given, as many as fit, at most 200.",
        ),
    ] = None,
    max_mb: Annotated[float, typer.Option("--max-mb", metavar="NUMBER", help="Megabytes the folder may have.")] = 25.0,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave the pictures out.")] = False,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="What stands above every page.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put the report in the place of an earlier one.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write pages that show what a warehouse holds, to open in a browser without a server or network.

    Overview, comparison of detectors, layers, distributions, and a browser of test samples: true and false positives and
    negatives at every delta, images and texts with their scores, superactivators and ground truth. What does not fit into
    --max-mb is left out, and named there and on stderr. Open FOLDER/index.html.
    """
    import superact
    from superact.cli.freshness import note_stale
    from superact.figures.report import build_report
    from superact.schemas import tables
    from superact.store.files import human

    session = superact.open(warehouse)
    if not quiet:
        note_stale(session, " ".join(name for name, table in tables().items() if table.room == "metrics"))
    with progress_line(quiet) as progress:
        built = build_report(
            session,
            out,
            dataset=dataset,
            model=model,
            data_root=data_root,
            samples=samples,
            max_mb=max_mb,
            images=not no_images,
            title=title,
            replace=replace,
            progress=progress,
        )
    for line in built.notes:
        note(line, quiet)
    note(f"wrote {built.files:,} files, {human(built.bytes)}: open {out / 'index.html'}", quiet)
