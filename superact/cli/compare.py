"""`superact compare`: the methods x detectors table of the paper."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import WAREHOUSE, Format, Model, Out, OutputFormat, Unit, WarehousePath


def run(
    dataset: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="This dataset; not needed for all, or where there is one.")
    ] = None,
    warehouse: WarehousePath = WAREHOUSE,
    model: Model = None,
    unit: Unit = None,
    layer: Annotated[
        str,
        typer.Option("--layer", metavar="best|NUMBER", help="Each label at its best layer on cal, or all at this one."),
    ] = "best",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="DETECTOR",
            help="Add the difference to this detector, such as max_token, or to a prompted model (prompt, or "
            "prompt:MODEL where several answered), with an interval.",
        ),
    ] = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Add mean and deviation of the sets that differ only in their seed.")
    ] = False,
    format: OutputFormat = None,
    out: Out = None,
) -> None:
    """Compare the detectors of every concept set with each other and with the floors.

    Weighted test F1 with its bootstrap interval: one table a dataset and model, one row a concept set, one column a
    detector, the best of each row marked, and under it the prompted models of the dataset. A note under a row says what
    to think of it: an autoencoder that explains little, a model that always answers yes. csv, json and parquet have one
    row a number, floors included (methods always and coin), and the note as a column. Nothing is computed but the
    differences of --against: `superact eval` comes first.
    """
    import superact
    from superact.cli.comparison import comparison_text, terminal
    from superact.cli.freshness import note_stale
    from superact.cli.output import format_of, print_records, print_text
    from superact.metrics.compare import columns, compare

    number = _layer(layer)
    session = superact.open(warehouse)
    note_stale(session, "summary null_summary prompt_detection")
    slug = None if dataset is None else dataset.lower()
    found = compare(session, slug, model, unit=unit, layer=number, against=against, seeds=seeds)
    kind = format_of(format, out)
    if kind in (Format.csv, Format.json, Format.parquet):
        # A prompted model stands in every comparison of its dataset, and is one row.
        rows = list({tuple(row.values()): row for comparison in found for row in comparison.rows}.values())
        print_records(rows, columns(against is not None, seeds), kind, out)
        return
    width, styled = terminal() if out is None else (None, False)
    print_text(comparison_text(found, kind, width, styled), out)


def _layer(text: str) -> int | None:
    if text == "best":
        return None
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither best nor a number.", param_hint="--layer") from None
