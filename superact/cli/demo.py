"""`superact demo`: the main job, end to end, on three real models."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from superact.cli.options import DATA_ROOT, WAREHOUSE, DataRoot, Quiet, WarehousePath
from superact.cli.progress import note, progress_line

PIPED = 100
"""Columns of the output when nobody says how many there are."""


def run(
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    scenes: Annotated[int, typer.Option(metavar="NUMBER", min=20, help="CLEVR-like scenes to render.")] = 400,
    quiet: Quiet = False,
) -> None:
    """Compare superactivator detection with the other detectors and the floors, on three real models.

    Prepares the local models, renders CLEVR-Mini, ingests it with a vision transformer and Sarcasm-Mini with two
    language models, evaluates, and prints what `superact compare` does: F1 of every method and detector with bootstrap
    intervals. Nothing is chosen by the result. Running it again computes nothing that is there.
    """
    from rich.console import Console

    from superact.cli.comparison import comparison_text, terminal
    from superact.cli.errors import extra_packages
    from superact.demo import comparisons, examples, run_demo

    started = time.perf_counter()
    with extra_packages("superact demo"), progress_line(quiet) as report:
        times = run_demo(warehouse, data_root, say=lambda line: note(line, quiet), progress=report, scenes=scenes)
    for step in times:
        note(f"{step.seconds:7.1f} s  {step.step}", quiet)
    note(f"{time.perf_counter() - started:7.1f} s  in all", quiet)
    width, styled = terminal()
    # A pipe has no width of its own, and a page a small one.
    width = width or PIPED
    typer.echo(comparison_text(comparisons(warehouse), width=width, styled=styled))
    console = Console(highlight=False, width=width)
    console.print("Superactivators of the test texts (linsep, half way through each model):", style="bold")
    for line in examples(warehouse):
        console.print("  " + line, markup=False)
