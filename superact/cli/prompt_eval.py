"""`superact prompt eval`: the metrics of what prompted models answered."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Quiet, Replace, WarehousePath
from superact.cli.progress import note, progress_line


def run(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="This dataset; not needed for all, or where there is one.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="SLUG", help="The answers of this model only.", show_default=False)
    ] = None,
    warehouse: WarehousePath = WAREHOUSE,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, max=(1 << 64) - 1, help="Of the bootstrap.")] = 0,
    replicates: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Bootstrap replicates of the intervals.")
    ] = 1000,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Compute the metrics of what prompted models answered.

    Fills prompt_detection, prompt_localization where the model was asked where a label is, and its row of summary with an
    interval from the same draws as every other row, if it was asked about every test sample. `superact eval` does this, too;
    give both the same --seed and --replicates.
    """
    from superact.metrics.evaluate import Protocol
    from superact.metrics.prompts import evaluate_prompts
    from superact.store import Warehouse

    with progress_line(quiet) as report:
        said: list[str] = []
        written = evaluate_prompts(
            Warehouse.open(warehouse),
            dataset=None if dataset is None else dataset.lower(),
            model=None if model is None else model.lower(),
            protocol=Protocol(seed=seed, replicates=replicates),
            replace=replace,
            progress=report,
            say=said.append,
        )
    for text in said:
        note(text, quiet)
    if not written:
        note("nothing was stale: every metric is there already", quiet)
    for table, rows in written.items():
        note(f"{table}: {rows:,} rows", quiet)
    note("see it with: superact compare, or superact export prompt_detection", quiet)
