"""`superact demo`: the main job, end to end, on three real models."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from superact.cli.options import DATA_ROOT, WAREHOUSE, DataRoot, Quiet, WarehousePath
from superact.cli.progress import note, progress_line

if TYPE_CHECKING:
    from rich.console import Console

    from superact.demo import Comparison


def run(
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    scenes: Annotated[int, typer.Option(metavar="NUMBER", min=20, help="CLEVR-like scenes to render.")] = 400,
    quiet: Quiet = False,
) -> None:
    """Compare superactivator detection with the other detectors and the floors, on three real models.

    Prepares the local models, renders CLEVR-Mini, ingests it with a vision transformer and Sarcasm-Mini with two
    language models, evaluates, and prints F1 by layer and detector with bootstrap intervals. Nothing is chosen by the
    result. Running it again computes nothing that is there.
    """
    from rich.console import Console

    from superact.cli.errors import extra_packages
    from superact.demo import comparisons, examples, run_demo

    started = time.perf_counter()
    with extra_packages("superact demo"), progress_line(quiet) as report:
        times = run_demo(warehouse, data_root, say=lambda line: note(line, quiet), progress=report, scenes=scenes)
    for step in times:
        note(f"{step.seconds:7.1f} s  {step.step}", quiet)
    note(f"{time.perf_counter() - started:7.1f} s  in all", quiet)
    # Wide enough for a table whoever reads it: a pipe has no width of its own.
    console = Console(highlight=False, width=None if _terminal() else 110)
    for comparison in comparisons(warehouse):
        _print(console, comparison)
    console.print("Superactivators of the test texts (linsep, half way through each model):", style="bold")
    for line in examples(warehouse):
        console.print("  " + line, markup=False)


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _print(console: Console, comparison: Comparison) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title=comparison.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("detector")
    for heading in comparison.headings:
        table.add_column(heading, justify="right")
    for detector, cells in comparison.rows:
        best = [f"[bold]{cell}[/bold]" if is_best else cell for cell, is_best in cells]
        table.add_row(detector, *best)
    table.add_section()
    for floor, value in comparison.floors:
        table.add_row(floor, *[value] * len(comparison.headings), style="dim")
    console.print(table)
