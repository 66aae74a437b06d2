"""Stage learn: embeddings, labels and layer statistics in; tables `concept_sets` and `concepts` out.

Only train rows are read, and clusters are made of them without a look at any label. A label without any token label (most
people's data) lends its token-level positives from the samples that carry it: every content token of a positive train sample.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch

from superact.errors import BadInput
from superact.ingest.concept_rows import SUPERVISED
from superact.ingest.describe import arrow, write_small
from superact.ingest.forward import Wanted, run_forward
from superact.ingest.identity import base, by_label, digest
from superact.ingest.job import Job, Shard
from superact.ingest.outbox import Outbox
from superact.ingest.recipe import METHODS, Recipe
from superact.ingest.sources import needed, read_stats, stored_blocks
from superact.ingest.teach import N_EMPTY, Lesson, teach
from superact.ingest.train_rows import TrainRows, train_rows
from superact.store import Run, Warehouse
from superact.store.rows import row_keys
from superact.store.staging import StagedPartition

__all__ = ["Recipe", "dropped_clusters", "labels_without_vector", "learn", "unlearned"]

Array = np.ndarray[Any, Any]


class RowCollector:
    """Consumer that fills the matrices of several lessons from one forward pass (`--embeddings none`)."""

    def __init__(self, job: Job, lessons: dict[Wanted, Lesson], matrices: dict[Wanted, Array]) -> None:
        self._lessons, self._matrices = lessons, matrices
        self._outbox = Outbox(job.model.device)
        self._places: dict[str, Array] = {}
        self._units = {unit: lesson.rows for (_, unit), lesson in lessons.items()}

    def wants(self, shard: Shard) -> set[Wanted]:
        """Everything, in shards that have a train sample."""
        train = next(iter(self._units.values())).sample
        return set(self._lessons) if np.isin(shard.samples, train).any() else set()

    def begin(self, shard: Shard) -> None:
        """Find the row number of every row of the shard; -1 outside train."""
        for unit, rows in self._units.items():
            sample, token = shard.keys(unit)
            known = row_keys(rows.sample, rows.token)
            asked = row_keys(sample, token)
            place = np.searchsorted(known, asked)
            found = (place < len(known)) & (known[np.minimum(place, len(known) - 1)] == asked)
            self._places[unit] = np.where(found, place, -1)

    def take(self, wanted: Wanted, positions: Array, rows: torch.Tensor) -> None:
        """Keep the train rows of a batch, normalised."""
        if wanted not in self._lessons:
            return
        places = self._places[wanted[1]][positions]
        chosen = np.flatnonzero(places >= 0)
        if not len(chosen):
            return
        matrix, places = self._matrices[wanted], places[chosen]
        kept = self._lessons[wanted].normalise(rows.index_select(0, torch.from_numpy(chosen).to(rows.device)))

        def receive(values: Array) -> None:
            matrix[places] = values

        self._outbox.send(kept, receive)

    def end_batch(self) -> None:
        """Let what the batch before sent arrive."""
        self._outbox.end_batch()

    def cancel_batch(self) -> None:
        """Forget what the batch sent; what has arrived is overwritten."""
        self._outbox.cancel()

    def end(self, shard: Shard) -> None:
        """Everything of the shard has arrived."""
        self._outbox.flush()


def learn(
    warehouse: Warehouse,
    recipe: Recipe,
    *,
    dataset: str,
    model: str,
    layers: list[int] | None = None,
    units: tuple[str, ...] | None = None,
    job: Job | None = None,
    replace: bool = False,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> int:
    """Learn every method of the recipe at every extracted layer and unit that is wanted, and publish the concept sets.

    Rows come from the embeddings table; where it was not kept, from a forward pass over `job`. Returns the rows published.
    Errors: MissingTable, IdentityMismatch, Locked.
    """
    with warehouse.run("learn", replace=replace) as run:
        lessons = _lessons(warehouse, run, recipe, dataset, model, layers, units)
        todo = [lesson for lesson in lessons if lesson.todo]
        run.provenance = {"device": device, "lessons": len(todo)}
        if recipe.unsupervised:
            run.provenance["scikit-learn"] = version("scikit-learn")
        if job is not None:
            run.provenance["passes"] = _learn_from_forward(warehouse, recipe, job, todo, device, progress)
        else:
            for number, lesson in enumerate(todo):
                if progress:
                    progress(f"learn layer {lesson.layer} {lesson.unit}", number, len(todo))
                _fill(warehouse, run, lesson, dataset, model)
                teach(recipe, lesson, device)
        document = run.publish()
    return sum(entry["rows"] for entry in document["partitions"]) if document else 0


def unlearned(
    warehouse: Warehouse, recipe: Recipe, *, dataset: str, model: str, layers: list[int], units: tuple[str, ...]
) -> set[Wanted]:
    """The (layer, unit) for which `learn` would have something to publish."""
    with warehouse.run("learn") as run:
        lessons = _lessons(warehouse, run, recipe, dataset, model, layers, units)
        return {(lesson.layer, lesson.unit) for lesson in lessons if not lesson.current}


class Dropped(NamedTuple):
    """Clusters of one set that were asked for and are not there, because no train row is nearest to them."""

    concept_set: str
    layer: int
    unit: str
    empty: int
    asked: int


def dropped_clusters(warehouse: Warehouse, recipe: Recipe, **wanted: Any) -> list[Dropped]:
    """Where the published sets of a recipe that match `wanted` (path keys) have fewer clusters than were asked for."""
    names = recipe.concept_sets(recipe.unsupervised)
    found = []
    for published in warehouse.state().select("concepts", **wanted, concept_set=names):
        if empty := published.meta.get(N_EMPTY, 0):
            keys = dict(published.partition.keys)
            where = (str(keys["concept_set"]), int(keys["layer"]), str(keys["unit"]))
            found.append(Dropped(*where, empty, published.identity["k"]))
    return sorted(found)


def labels_without_vector(warehouse: Warehouse, recipe: Recipe, **wanted: Any) -> dict[str, tuple[int, int]]:
    """How many labels have no vector in some published supervised set of a recipe, of how many, by concept set.

    Those of the layer and unit where most have none, among the partitions that match `wanted` (path keys).
    """
    found: dict[str, tuple[int, int]] = {}
    names = [name for name in recipe.concept_sets() if name not in recipe.concept_sets(recipe.unsupervised)]
    for published in warehouse.state().select("concepts", **wanted, concept_set=names):
        paths = [warehouse.root / file.path for file in published.files]
        status = pq.read_table(paths, columns=["status"])["status"].to_pylist()
        without = sum(one != "ok" for one in status)
        if without:
            name = str(dict(published.partition.keys)["concept_set"])
            found[name] = max(found.get(name, (0, 0)), (without, len(status)))
    return found


def _lessons(
    warehouse: Warehouse,
    run: Run,
    recipe: Recipe,
    dataset: str,
    model: str,
    layers: list[int] | None,
    units: tuple[str, ...] | None,
) -> list[Lesson]:
    published = run.state.select("layer_stats", dataset=dataset, model=model, layer=layers, unit=units)
    if not published:
        needed(warehouse, run.state, "learn", "layer_stats", dataset=dataset, model=model, layer=0, unit="token")
    rows: dict[str, TrainRows] = {}
    lessons = []
    for stats in published:
        keys = dict(stats.partition.keys)
        layer, unit = int(keys["layer"]), str(keys["unit"])
        if unit not in rows:
            rows[unit] = train_rows(warehouse, run, unit, dataset, model)
        mean, rms, _ = read_stats(warehouse, stats)
        parts = {method: _declare(run, recipe, method, stats.hash, rows[unit], keys) for method in recipe.methods}
        for part in parts.values():
            part.meta["width"] = len(mean)
            for staged in part.done.values():
                part.meta.update(staged.note)
        lessons.append(Lesson(layer, unit, mean, rms, rows[unit], parts))
    return lessons


def _declare(
    run: Run, recipe: Recipe, method: str, stats_hash: str, rows: TrainRows, keys: dict[str, Any]
) -> StagedPartition:
    """Declare the concepts partition of a method, and write its concept_sets row."""
    keys = {**keys, "concept_set": recipe.concept_set(method)}
    seed = None if method == "avg" else recipe.seed
    settings = recipe.hyperparameters(method, str(keys["unit"]))
    facts = {**base("learn"), "method": method, "seed": seed, **settings}
    supervised = method in SUPERVISED
    about = {
        "method": [method],
        "supervised": [supervised],
        "score": [METHODS[method]],
        "k": [settings.get("k")],
        "seed": [seed],
        "hyperparameters": [json.dumps(settings, sort_keys=True)],
    }
    write_small(run, "concept_sets", facts, arrow("concept_sets", **about), **keys)
    # Clusters know no label: one more, or another's rows, leaves them as they are.
    learned_from = by_label(rows.digests()) if supervised else {"train_rows": digest(rows.sample, rows.token)}
    return run.partition("concepts", {**facts, "input:layer_stats": stats_hash, **learned_from}, **keys)


def _fill(warehouse: Warehouse, run: Run, lesson: Lesson, dataset: str, model: str) -> None:
    """Read the train rows of a lesson from the embeddings table."""
    keys: dict[str, Any] = {"dataset": dataset, "model": model, "layer": lesson.layer, "unit": lesson.unit}
    embeddings = needed(warehouse, run.state, "learn", "embeddings", **keys)
    matrix = lesson.open_matrix(warehouse)
    train = np.unique(lesson.rows.sample)
    filled = 0
    for sample, _, rows in stored_blocks(warehouse, embeddings):
        chosen = np.flatnonzero(np.isin(sample, train))
        if len(chosen):
            kept = lesson.normalise(rows.index_select(0, torch.from_numpy(chosen))).numpy()
            matrix[filled : filled + len(kept)] = kept
            filled += len(kept)
    if filled != len(matrix):
        raise BadInput(
            what=f"The embeddings of layer {lesson.layer} have {filled} train rows; the tokens table has {len(matrix)}.",
            remedy="Extract that layer again with --replace.",
        )


def _learn_from_forward(
    warehouse: Warehouse,
    recipe: Recipe,
    job: Job,
    todo: list[Lesson],
    device: str,
    progress: Callable[[str, int, int], None] | None,
) -> list[dict[str, Any]]:
    """Returns what was run of the model, for the provenance."""
    if not todo:
        return []
    lessons = {(lesson.layer, lesson.unit): lesson for lesson in todo}
    matrices = {key: lesson.open_matrix(warehouse, len(todo)) for key, lesson in lessons.items()}
    collector = RowCollector(job, lessons, matrices)
    ran = run_forward(job, [collector], (lambda i, n: progress("learn: forward pass", i, n)) if progress else None)
    matrices.clear()  # so that each goes as soon as its lesson is learned
    for number, lesson in enumerate(todo):
        if progress:
            progress(f"learn layer {lesson.layer} {lesson.unit}", number, len(todo))
        teach(recipe, lesson, device)
    return [ran]
