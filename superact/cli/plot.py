"""`superact plot`: one figure as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from superact.cli.options import (
    DATA_ROOT,
    WAREHOUSE,
    DataRoot,
    Dataset,
    Format,
    Model,
    OutputFormat,
    Quiet,
    WarehousePath,
    numbers,
    writable,
)
from superact.cli.options import names as parts
from superact.cli.progress import note
from superact.errors import BadInput


def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The figure, or list for a table of them all.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            callback=writable,
            help="Where the figure goes: .png, .svg, .pdf or .html; it appears complete or not at all.",
        ),
    ] = None,
    warehouse: WarehousePath = WAREHOUSE,
    dataset: Dataset = None,
    model: Model = None,
    layer: Annotated[
        str | None,
        typer.Option("--layer", "--layers", metavar="NUMBERS", help="This layer, or these, such as 1,6,12 or 0-12."),
    ] = None,
    concept_set: Annotated[
        str | None,
        typer.Option("--concept-set", metavar="SLUGS", help="This concept set, or these, such as avg,linsep."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="This label; give it again for another.", show_default=False),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="NAMES", help="This detector, or these, such as superactivator,cls."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", metavar="NUMBER", help="The delta; the selected one when not given.")
    ] = None,
    unit: Annotated[str | None, typer.Option("--unit", metavar="token|cls", help="This unit only.")] = None,
    sample: Annotated[
        list[int] | None,
        typer.Option("--sample", metavar="NUMBER", help="This sample; give it again for another.", show_default=False),
    ] = None,
    data_root: DataRoot = DATA_ROOT,
    scale: Annotated[float, typer.Option("--scale", metavar="NUMBER", help="Pixels of a png, times this.")] = 2.0,
    format: OutputFormat = None,
    quiet: Quiet = False,
) -> None:
    """Draw one figure of the warehouse into a file, or list the figures there are.

    `superact plot list` names every figure and the options that apply to it; docs/figures.md shows them. Names that are left
    out are taken where there is one, and asked for where there are several. No browser and no network is needed; an html file
    holds all it needs. Needs the packages of the extra: pip install 'superact[figures]'.
    """
    typed = _typed(context)
    if name == "list":
        _refuse(typed - {"format", "out"}, "list")
        _list(format, out)
        return
    from superact.figures.catalogue import OPTIONS, figure_named
    from superact.figures.save import check_path, save

    figure = figure_named(name)
    _refuse(typed & {"format"}, name)
    figure.check([option for option in OPTIONS if option in typed])
    if out is None:
        raise BadInput(
            what="A figure needs a file to go to.", remedy=f"Name it: superact plot {name} --out {name}.png."
        )
    check_path(out)
    given = {
        "dataset": dataset,
        "model": model,
        "layer": None if layer is None else numbers(layer),
        "concept_set": None if concept_set is None else parts(concept_set),
        "label": label or None,
        "detector": None if detector is None else parts(detector),
        "delta": delta,
        "unit": unit,
        "sample": sample or None,
        "data_root": data_root if "data_root" in figure.options else None,
    }
    import superact
    from superact.cli.freshness import note_stale

    session = superact.open(warehouse)
    note_stale(session, " ".join(figure.reads))
    save(figure.draw(session, **given), out, scale)
    note(f"{out}: {figure.description}", quiet)


def _typed(context: typer.Context) -> set[str]:
    """The options that were typed: what comes from the environment or a default is for the figures that use it."""
    return {
        str(parameter.name)
        for parameter in context.command.params
        if parameter.param_type_name == "option"
        and getattr(context.get_parameter_source(str(parameter.name)), "name", "") == "COMMANDLINE"
    }


def _refuse(wrong: set[str], name: str) -> None:
    if wrong:
        words = ", ".join("--" + option.replace("_", "-") for option in sorted(wrong))
        raise BadInput(what=f"{words} does not apply to `superact plot {name}`.", remedy="Leave it out.")


def _list(format: Format | None, out: Path | None) -> None:
    from superact.cli.output import print_records
    from superact.figures.catalogue import FIGURES, option_name

    records: list[dict[str, Any]] = [
        {"name": figure.name, "description": figure.description, "options": " ".join(map(option_name, figure.options))}
        for figure in FIGURES.values()
    ]
    print_records(records, dict.fromkeys(("name", "description", "options"), "VARCHAR"), format, out)
