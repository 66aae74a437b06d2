"""All of ingest: extract, learn, score, with the embeddings kept, dropped afterwards, or never written.

`keep`  embeddings stay in the warehouse: further concept sets need no model.
`drop`  they are written, used, and removed once the scores are there: the disk is needed for a while.
`none`  they are never written: learn and score run the model again, two more forward passes.

Unsupervised sets are scored by eval from the embeddings, and go with `drop` and `none` only where all their scores are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from superact.errors import BadInput
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe, learn, unlearned
from superact.ingest.score import score, unscored
from superact.ingest.targets import check_keep, waiting_for_eval
from superact.store import Warehouse

EMBEDDINGS = ("keep", "drop", "none")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Ingested:
    """Rows that each stage published; 0 where all was there already."""

    extract: int
    learn: int
    score: int


def ingest(
    warehouse: Warehouse,
    job: Job,
    recipe: Recipe,
    *,
    embeddings: str = "keep",
    keep: str = "selected",
    replace: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Run the three stages for a job; each publishes by itself, skips what is there, and resumes what was begun.

    `keep` is that of `score`. Errors: BadInput as `check_modes`, and what the stages raise.
    """
    check_modes(recipe, embeddings, keep)
    described, todo = 0, job
    if embeddings == "drop" and not replace:
        described, todo = _unfinished(warehouse, job, recipe, keep)
    done = Ingested(0, 0, 0)
    if todo.layers:
        done = _run_stages(warehouse, todo, recipe, embeddings != "none", keep, replace, progress)
    if embeddings == "drop":
        drop_embeddings(warehouse, job)
    return Ingested(described + done.extract, done.learn, done.score)


def check_modes(recipe: Recipe, embeddings: str, keep: str) -> None:
    """Raise BadInput for an unknown mode, and for sets that eval could not score because the embeddings are gone by then."""
    if embeddings not in EMBEDDINGS:
        raise BadInput(what=f"--embeddings {embeddings!r} is unknown.", remedy=f"Choose {', '.join(EMBEDDINGS)}.")
    check_keep(keep)
    if recipe.unsupervised and embeddings != "keep" and keep != "all":
        raise BadInput(
            what=f"{' and '.join(recipe.unsupervised)} cannot be scored with --embeddings {embeddings}: `superact eval` scores "
            "clusters from the embeddings.",
            remedy="Use --embeddings keep, or store every activation with --keep all.",
        )


def _run_stages(
    warehouse: Warehouse,
    job: Job,
    recipe: Recipe,
    keep_embeddings: bool,
    keep: str,
    replace: bool,
    progress: Progress | None,
) -> Ingested:
    report = (lambda i, n: progress(f"extract {job.dataset.name}", i, n)) if progress else None
    extracted = extract(warehouse, job, keep_embeddings=keep_embeddings, replace=replace, progress=report)
    again = None if _stored(warehouse, job) else job
    device = str(job.model.device)
    shared: dict[str, Any] = {"job": again, "replace": replace, "device": device, "progress": progress}
    learned = learn(warehouse, recipe, **_wanted(job), **shared)
    return Ingested(extracted, learned, score(warehouse, keep=keep, **_scored(job, recipe), **shared))


def _wanted(job: Job) -> dict[str, Any]:
    """What of the warehouse a job is about, as learn names it."""
    return {**job.keys, "layers": job.layers, "units": job.units}


def _scored(job: Job, recipe: Recipe) -> dict[str, Any]:
    """The same, as path keys, with the concept sets of the recipe."""
    return {**job.keys, "layer": job.layers, "unit": job.units, "concept_set": recipe.concept_sets()}


def drop_embeddings(warehouse: Warehouse, job: Job) -> int:
    """Remove the embeddings of a job's layers and units; returns how many partitions went.

    Errors: BadInput while an unsupervised set waits to be scored from them.
    """
    state = warehouse.state()
    found = state.select("embeddings", **job.keys, layer=job.layers, unit=job.units)
    waiting = waiting_for_eval(warehouse, **job.keys, layer=job.layers, unit=job.units)
    if found and waiting:
        raise BadInput(
            what=f"The embeddings stay: {', '.join(waiting)} is scored from them by `superact eval`, which has not run.",
            remedy="Run `superact eval detect` and then the same command again, or use --embeddings keep.",
        )
    if found:
        warehouse.remove([published.partition for published in found], "drop embeddings")
    return len(found)


def _stored(warehouse: Warehouse, job: Job) -> bool:
    """True when the embeddings of every wanted layer and unit are published with the job's identity."""
    state = warehouse.state()
    for layer in job.layers:
        for unit in job.units:
            published = state.get("embeddings", **job.keys, layer=layer, unit=unit)
            if published is None or published.identity != job.layer_identity(layer, unit):
                return False
    return True


def _unfinished(warehouse: Warehouse, job: Job, recipe: Recipe, keep: str) -> tuple[int, Job]:
    """The job without the layers whose embeddings are not needed any more: statistics, concepts and scores are published.

    The labels are brought up to date first, since a new one reopens every layer; the rows written for it are returned, too.
    """
    state = warehouse.state()
    known = [
        layer
        for layer in job.layers
        if all(state.get("layer_stats", **job.keys, layer=layer, unit=unit) for unit in job.units)
    ]
    if not known:
        return 0, job
    part = _narrowed(job, known)
    described = extract(warehouse, part, keep_embeddings=False)
    open_layers = {layer for layer, _ in unlearned(warehouse, recipe, **_wanted(part))}
    learned = _narrowed(job, [layer for layer in known if layer not in open_layers])
    if learned.layers:
        open_layers |= {layer for layer, _ in unscored(warehouse, keep=keep, **_scored(learned, recipe))}
    finished = set(known) - open_layers
    return described, _narrowed(job, [layer for layer in job.layers if layer not in finished])


def _narrowed(job: Job, layers: list[int]) -> Job:
    """The job for some of its layers; what it found out about the dataset so far is kept."""
    part = copy(job)
    part.layers = layers
    return part
