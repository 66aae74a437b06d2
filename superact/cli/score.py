"""`superact score`: the two scores of every stored token for every concept."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.errors import extra_packages
from superact.cli.options import (
    WAREHOUSE,
    ConceptSet,
    Dataset,
    Layers,
    Model,
    Quiet,
    Replace,
    Unit,
    WarehousePath,
    path_keys,
)
from superact.cli.progress import note, progress_line


def run(
    warehouse: WarehousePath = WAREHOUSE,
    dataset: Dataset = None,
    model: Model = None,
    layers: Layers = None,
    concept_set: ConceptSet = None,
    unit: Unit = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Score stored embeddings for every concept that matches.

    What is scored already is left alone.
    """
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    wanted = path_keys(dataset, model, layers, concept_set, unit)
    with extra_packages("superact score"):
        from superact.ingest.score import score
        from superact.models.base import choose_device

        chosen = choose_device(device)
        with progress_line(quiet) as report:
            rows = score(opened, replace=replace, device=chosen, progress=report, **wanted)
    note(f"scored {rows:,} rows of activations" if rows else "nothing to do: every score is there already", quiet)
