"""The options that commands share, so that each is spelt, explained and defaulted once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from superact.errors import BadInput

_SPAN = re.compile(r"\s*(\d+)(?:-(\d+))?\s*", re.ASCII)
_LONGEST_SPAN = 10_000
_FEWEST_IN_SPAN = 4


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"
    markdown = "markdown"
    latex = "latex"


def numbers(text: str) -> list[int]:
    """Layers as they are typed: 1,6,12 or 0-12."""
    found: list[int] = []
    for part in text.split(","):
        span = _SPAN.fullmatch(part)
        if span is None:
            raise typer.BadParameter(f"{text!r} is not a list of numbers such as 1,6,12 or 0-12.")
        first, last = int(span[1]), int(span[2] or span[1])
        if not 0 <= last - first < _LONGEST_SPAN:
            raise typer.BadParameter(f"{part.strip()} is no span of layers: from the first to the last, such as 0-12.")
        found += range(first, last + 1)
    return found


def spans(layers: Sequence[int], between: str = ",") -> str:
    """Layers in the form that `numbers` reads, ascending; four in a row and more as a span: 0-12."""
    parts: list[str] = []
    ordered = sorted(layers)
    while ordered:
        n = next((i for i in range(1, len(ordered)) if ordered[i] != ordered[0] + i), len(ordered))
        n = n if n >= _FEWEST_IN_SPAN else 1
        parts.append(f"{ordered[0]}-{ordered[n - 1]}" if n > 1 else str(ordered[0]))
        ordered = ordered[n:]
    return between.join(parts)


def names(text: str) -> list[str]:
    """Names as they are typed: label,f1."""
    return [part.strip() for part in text.split(",") if part.strip()]


def path_keys(
    dataset: str | None, model: str | None, layers: str | None, concept_set: str | None, unit: str | None
) -> dict[str, Any]:
    """What the shared options narrow a command to, by path key; None is any."""
    layer = None if layers is None else numbers(layers)
    return {"dataset": dataset, "model": model, "layer": layer, "concept_set": concept_set, "unit": unit}


def _slug(name: str | None) -> str | None:
    """A display name as its path key, as far as case goes: CLEVR-Mini is clevr-mini."""
    return None if name is None else name.lower()


def writable(out: Path | None) -> Path | None:
    """Refuse a place where no file can be before any work is done."""
    from superact.cli.places import check_out

    if out is not None and out.is_dir():
        raise BadInput(what=f"--out {out} is a folder.", remedy="Name a file.")
    if out is not None and not out.parent.is_dir():
        raise BadInput(what=f"--out {out}: there is no folder {out.parent}.", remedy="Make it first.")
    if out is not None:
        check_out(out)
    return out


WarehousePath = Annotated[
    Path, typer.Option("--warehouse", metavar="PATH", envvar="SUPERACT_WAREHOUSE", help="The warehouse folder.")
]
DataRoot = Annotated[
    Path,
    typer.Option("--data-root", metavar="PATH", envvar="SUPERACT_DATA_ROOT", help="The folder of dataset folders."),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="table, csv, json, parquet, markdown or latex; when not given, what the suffix of --out says, else table.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        callback=writable,
        help="Write the rows to a file, which appears complete or not at all.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr; errors stay.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Discard what is published under the same keys and write it anew.")
]
Dataset = Annotated[str | None, typer.Option("--dataset", metavar="SLUG", callback=_slug, help="This dataset only.")]
Model = Annotated[str | None, typer.Option("--model", metavar="SLUG", callback=_slug, help="This model only.")]
Layers = Annotated[
    str | None,
    typer.Option("--layers", "--layer", metavar="NUMBERS", help="These layers only, such as 1,6,12 or 0-12."),
]
Clusters = Annotated[
    int,
    typer.Option("--clusters", metavar="NUMBER", min=1, help="Clusters of tokens that kmeans and kmeans-linsep make."),
]
ClsClusters = Annotated[
    int, typer.Option("--cls-clusters", metavar="NUMBER", min=1, help="Clusters of whole samples (unit cls) they make.")
]
Keep = Annotated[
    str,
    typer.Option(
        "--keep",
        metavar="selected|all",
        help="Activations of clusters that are stored: of those that eval selects for a label, or of all.",
    ),
]
ConceptSet = Annotated[str | None, typer.Option("--concept-set", metavar="SLUG", help="This concept set only.")]
Unit = Annotated[str | None, typer.Option("--unit", metavar="token|cls", help="This unit only.")]

WAREHOUSE = Path("warehouse")
DATA_ROOT = Path("Data")
