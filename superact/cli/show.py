"""`superact show`: one sample in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from superact.cli.options import WAREHOUSE, ConceptSet, Dataset, Format, Model, Out, OutputFormat, Quiet, WarehousePath

if TYPE_CHECKING:
    from superact.figures.shown import Shown

_LEAST = 40
"""Columns that a page is set in at least."""


def run(
    sample: Annotated[int, typer.Argument(metavar="SAMPLE", help="A row of the dataset's metadata.csv, from 0.")],
    warehouse: WarehousePath = WAREHOUSE,
    dataset: Dataset = None,
    model: Model = None,
    layer: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", help="This layer; when not given, each label's best on cal.", show_default=False
        ),
    ] = None,
    concept_set: ConceptSet = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A label, as often as you like; when not given, those of the sample and others."
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(metavar="FRACTION", help="Thresholds at this delta; when not given, at the one selected on cal."),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(metavar="COLUMNS", min=_LEAST, help="Columns to print; when not given, the terminal's."),
    ] = None,
    color: Annotated[
        bool | None,
        typer.Option("--color/--no-color", help="Colours; when not given, in a terminal unless NO_COLOR is set."),
    ] = None,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Show a sample: the tokens of a text, or the patches of an image as blocks, coloured by their score for some labels.

    Superactivators stand in [brackets] (patches: a diamond), the ground truth is underlined (patches: a dot), so that both are
    seen without colours. Below stand score, threshold, decision and truth of each label. --format (or a file whose suffix says
    one) gives the token rows instead. Images are not read, only scores.
    """
    import superact
    from superact.cli.freshness import note_stale
    from superact.cli.output import format_of, print_records, print_text
    from superact.cli.progress import note
    from superact.figures.shown import COLUMNS, show

    session = superact.open(warehouse)
    note_stale(session, "selection layer_selection thresholds")
    shown = show(
        session,
        sample,
        dataset=dataset,
        model=model,
        layer=layer,
        concept_set=concept_set,
        label=label or None,
        delta=delta,
    )
    if None in (dataset, model, layer, concept_set):
        note(shown.chosen, quiet)
    if shown.others and not label:
        note(f"other labels, for --label: {', '.join(shown.others)}", quiet)
    if format is not None or format_of(None, out) is not Format.table:
        print_records(shown.records(), COLUMNS, format, out)
    elif out is not None:
        print_text(_text(shown, width or 80, bool(color), True), out)
    else:
        _print(shown, width, color)


def _print(shown: Shown, width: int | None, color: bool | None) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ if color is None else color
    columns = width or max(_LEAST, shutil.get_terminal_size().columns)
    is_unicode = encoding.lower().replace("-", "") == "utf8"
    text = _text(shown, columns, styled, is_unicode)
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(encoding, "backslashreplace"))


def _text(shown: Shown, width: int, styled: bool, is_unicode: bool) -> str:
    import io

    from rich.console import Console

    from superact.figures.terminal import Page

    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=styled, no_color=not styled, highlight=False, width=10**6)
    if styled and console.color_system is None:
        console = Console(file=buffer, force_terminal=True, color_system="256", highlight=False, width=10**6)
    for line in Page(width, styled, is_unicode).lines(shown):
        console.print(line, crop=False, no_wrap=True, end="\n")
    text = buffer.getvalue()
    return text if styled else "".join(f"{line.rstrip()}\n" for line in text.splitlines())
