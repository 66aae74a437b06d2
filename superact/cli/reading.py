"""The options that say how a dataset is read, and what was decided about one for lack of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superact.cli.progress import note

if TYPE_CHECKING:
    from superact.datasets import Dataset

EvaluatedLabels = Annotated[
    str,
    typer.Option(
        "--labels",
        metavar="published|all|NAMES",
        help="Labels that eval reports: the published list (where none is published, all), all, or these.",
    ),
]
ImageRoot = Annotated[
    Path | None,
    typer.Option("--image-root", metavar="PATH", help="Where relative image paths start.", show_default=False),
]
TextRoot = Annotated[
    Path | None,
    typer.Option("--text-root", metavar="PATH", help="Where relative text paths start.", show_default=False),
]


def note_decisions(dataset: Dataset, quiet: bool) -> None:
    """Say on stderr what was decided about a dataset for lack of a file."""
    for line in dataset.notes:
        note(line, quiet)
