"""`superact score`: the two scores of every stored token for every concept."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.concept_notes import note_left_to_eval
from superact.cli.errors import extra_packages
from superact.cli.options import (
    WAREHOUSE,
    ConceptSet,
    Dataset,
    Keep,
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
    keep: Keep = "selected",
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Score stored embeddings for every concept that matches.

    What is scored already is left alone. Clusters (kmeans, kmeans-linsep) are scored by superact eval, which stores the
    activations of those that it selects; with --keep all every one is scored and stored here.
    """
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    wanted = path_keys(dataset, model, layers, concept_set, unit)
    with extra_packages("superact score"):
        from superact.ingest.score import score
        from superact.ingest.targets import left_to_eval
        from superact.models.base import choose_device

        chosen = choose_device(device)
        with progress_line(quiet) as report:
            rows = score(opened, replace=replace, device=chosen, keep=keep, progress=report, **wanted)
        left = left_to_eval(opened, keep, **wanted)
    there = "every other score" if left else "every score"
    note(f"scored {rows:,} rows of activations" if rows else f"nothing to do: {there} is there already", quiet)
    note_left_to_eval(left, quiet)
