"""All of ingest: extract, learn, score, with the embeddings kept, dropped afterwards, or never written.

`keep`  embeddings stay in the warehouse: further concept sets need no model.
`drop`  they are written, used, and removed once the scores are there: the disk is needed for a while.
`none`  they are never written: learn and score run the model again, two more forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from superact.errors import BadInput
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe, learn
from superact.ingest.score import score
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
    replace: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Run the three stages for a job; each publishes by itself, skips what is there, and resumes what was begun.

    Errors: BadInput for an unknown embeddings mode, and what the stages raise.
    """
    if embeddings not in EMBEDDINGS:
        raise BadInput(what=f"--embeddings {embeddings!r} is unknown.", remedy=f"Choose {', '.join(EMBEDDINGS)}.")
    device = str(job.model.device)
    names = {recipe.concept_set(method) for method in recipe.methods}
    where: dict[str, Any] = {**job.keys, "layers": job.layers, "units": job.units}
    scored: dict[str, Any] = {**job.keys, "layer": job.layers, "unit": job.units, "concept_set": names}
    if embeddings == "drop" and not replace and _complete(warehouse, job, recipe, where, scored):
        return Ingested(0, 0, 0)
    extracted = extract(
        warehouse,
        job,
        keep_embeddings=embeddings != "none",
        replace=replace,
        progress=(lambda i, n: progress(f"extract {job.dataset.name}", i, n)) if progress else None,
    )
    again = None if _stored(warehouse, job) else job
    learned = learn(warehouse, recipe, **where, job=again, replace=replace, device=device, progress=progress)
    written = score(warehouse, **scored, job=again, replace=replace, device=device, progress=progress)
    if embeddings == "drop":
        drop_embeddings(warehouse, job)
    return Ingested(extracted, learned, written)


def drop_embeddings(warehouse: Warehouse, job: Job) -> int:
    """Remove the embeddings of a job's layers and units; returns how many partitions went."""
    found = warehouse.state().select("embeddings", **job.keys, layer=job.layers, unit=job.units)
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


def _complete(warehouse: Warehouse, job: Job, recipe: Recipe, where: dict[str, Any], scored: dict[str, Any]) -> bool:
    """True when statistics, concepts and scores are all published with the wanted identities."""
    state = warehouse.state()
    for layer in job.layers:
        for unit in job.units:
            stats = state.get("layer_stats", **job.keys, layer=layer, unit=unit)
            if stats is None or stats.identity != job.stats_identity(layer, unit):
                return False
    return learn(warehouse, recipe, **where, only_count=True) == 0 and score(warehouse, **scored, only_count=True) == 0
