"""Stage learn: embeddings, labels and layer statistics in; tables `concept_sets` and `concepts` out.

Only train rows are read. A label without any token label (most people's data) lends its token-level positives from the samples
that carry it: every content token of a positive train sample.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from superact.concepts import Concept, MeanPrototype, fit
from superact.errors import BadInput
from superact.ingest.describe import arrow, write_small
from superact.ingest.forward import Wanted, run_forward
from superact.ingest.identity import base, by_label
from superact.ingest.job import Job, Shard
from superact.ingest.outbox import Outbox
from superact.ingest.sources import needed, read_stats, stored_blocks
from superact.ingest.train_rows import TrainRows, row_matrix, train_rows
from superact.store import Run, Warehouse
from superact.store.layout import check_slug
from superact.store.rows import optional_lists
from superact.store.staging import StagedPartition

Array = np.ndarray[Any, Any]

METHODS = {"avg": "cosine", "linsep": "signed_distance"}
"""The methods learned here and the score each is judged by."""

LINSEP = {"batch_size": 64, "max_epochs": 1000, "learning_rate": 1e-3, "weight_decay": 1e-4, "stop_f1": 0.99}


@dataclass(frozen=True)
class Recipe:
    """How concepts are learned. `suffix` names a second set of the same method (another seed): linsep-seed1."""

    methods: tuple[str, ...] = ("avg", "linsep")
    seed: int = 0
    max_rows: int | None = None
    suffix: str = ""

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise BadInput(what=f"{method!r} is not a method.", remedy=f"Choose among {', '.join(METHODS)}.")

    def concept_set(self, method: str) -> str:
        """Path key of the set of a method."""
        return check_slug(f"{method}-{self.suffix}" if self.suffix else method, "concept set")

    def hyperparameters(self, method: str) -> dict[str, Any]:
        """What the vectors of a method depend on beside the rows."""
        return {} if method == "avg" else {**LINSEP, "max_rows": self.max_rows}


@dataclass
class Lesson:
    """One (layer, unit) to learn: its statistics, its rows, and the partitions of the methods still to be learned."""

    layer: int
    unit: str
    mean: Array
    rms: float
    rows: TrainRows
    parts: dict[str, StagedPartition]
    matrix: Array | None = None

    @property
    def todo(self) -> list[str]:
        """Methods that are neither published nor staged."""
        return [method for method, part in self.parts.items() if not part.current and 0 not in part.done]

    @property
    def current(self) -> bool:
        """True when every method is published."""
        return all(part.current for part in self.parts.values())

    def open_matrix(self, warehouse: Warehouse, together: int = 1) -> Array:
        """Make room for the rows; see `row_matrix`."""
        self.matrix = row_matrix(warehouse, len(self.rows.sample), len(self.mean), together)
        return self.matrix

    def normalise(self, rows: torch.Tensor) -> torch.Tensor:
        """Xhat of raw rows, float32, where the rows are."""
        mean = torch.from_numpy(self.mean).to(rows.device)
        return (rows.float() - mean) / self.rms


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
            known = (rows.sample.astype(np.int64) << 32) | (rows.token.astype(np.int64) + 1)
            asked = (sample.astype(np.int64) << 32) | (token.astype(np.int64) + 1)
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
        if job is not None:
            _learn_from_forward(warehouse, recipe, job, todo, device, progress)
        else:
            for number, lesson in enumerate(todo):
                if progress:
                    progress(f"learn layer {lesson.layer} {lesson.unit}", number, len(todo))
                _fill(warehouse, run, lesson, dataset, model)
                _teach(recipe, lesson, device)
        document = run.publish()
    return sum(entry["rows"] for entry in document["partitions"]) if document else 0


def unlearned(
    warehouse: Warehouse, recipe: Recipe, *, dataset: str, model: str, layers: list[int], units: tuple[str, ...]
) -> set[Wanted]:
    """The (layer, unit) for which `learn` would have something to publish."""
    with warehouse.run("learn") as run:
        lessons = _lessons(warehouse, run, recipe, dataset, model, layers, units)
        return {(lesson.layer, lesson.unit) for lesson in lessons if not lesson.current}


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
        lessons.append(Lesson(layer, unit, mean, rms, rows[unit], parts))
    return lessons


def _declare(
    run: Run, recipe: Recipe, method: str, stats_hash: str, rows: TrainRows, keys: dict[str, Any]
) -> StagedPartition:
    """Declare the concepts partition of a method, and write its concept_sets row."""
    keys = {**keys, "concept_set": recipe.concept_set(method)}
    seed = None if method == "avg" else recipe.seed
    settings = recipe.hyperparameters(method)
    facts = {**base("learn"), "method": method, "seed": seed, **settings}
    about = {
        "method": [method],
        "supervised": [True],
        "score": [METHODS[method]],
        "seed": [seed],
        "hyperparameters": [json.dumps(settings, sort_keys=True)],
    }
    write_small(run, "concept_sets", facts, arrow("concept_sets", **about), **keys)
    return run.partition("concepts", {**facts, "input:layer_stats": stats_hash, **by_label(rows.digests())}, **keys)


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
) -> None:
    if not todo:
        return
    lessons = {(lesson.layer, lesson.unit): lesson for lesson in todo}
    matrices = {key: lesson.open_matrix(warehouse, len(todo)) for key, lesson in lessons.items()}
    collector = RowCollector(job, lessons, matrices)
    run_forward(job, [collector], (lambda i, n: progress("learn: forward pass", i, n)) if progress else None)
    matrices.clear()  # so that each goes as soon as its lesson is learned
    for number, lesson in enumerate(todo):
        if progress:
            progress(f"learn layer {lesson.layer} {lesson.unit}", number, len(todo))
        _teach(recipe, lesson, device)


def _teach(recipe: Recipe, lesson: Lesson, device: str) -> None:
    """Learn what is missing of a lesson and stage it."""
    assert lesson.matrix is not None
    rows, positives = lesson.matrix, lesson.rows.positives
    for method in lesson.todo:
        if method == "avg":
            concepts = _prototypes(rows, positives)
        else:
            concepts = [
                fit(rows, numbers, concept=label, seed=recipe.seed, device=device, max_rows=recipe.max_rows)
                for label, numbers in positives.items()
            ]
        lesson.parts[method].write(0, [concept_rows(method, concepts)])
    lesson.matrix = None


def _prototypes(rows: Array, positives: dict[str, Array]) -> list[Concept]:
    prototypes = MeanPrototype(list(positives), rows.shape[1])
    block = 64 * 1024
    for start in range(0, len(rows), block):
        bounds = [np.searchsorted(numbers, [start, start + block]) for numbers in positives.values()]
        members = [numbers[a:b] - start for numbers, (a, b) in zip(positives.values(), bounds, strict=True)]
        prototypes.add(rows[start : start + block], members)
    return prototypes.finish()


def concept_rows(method: str, concepts: list[Concept]) -> Any:
    """Rows of table concepts, in name order."""
    ordered = sorted(concepts, key=lambda concept: concept.concept.encode())
    columns: dict[str, Any] = {"method": [method] * len(ordered), "vector": optional_lists([c.vector for c in ordered])}
    for name in ("concept", "bias", "norm", "n_positive", "n_negative", "epochs", "train_f1", "seed", "status"):
        columns[name] = [getattr(concept, name) for concept in ordered]
    return arrow("concepts", **columns)
