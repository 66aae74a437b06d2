"""Stage score: tables `embeddings`, `layer_stats`, `concepts` in, table `activations` out.

Each (layer, unit) is scored for all wanted concept sets in one matrix product, a file's worth of tokens at a time. Rows that a
forward pass yields directly (`--embeddings none`) go through the same buffers. Unsupervised sets (clusters) have so many
concepts that eval scores them in passing and stores what it selects; here they are scored when all is to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from superact.ingest.forward import Wanted, run_forward
from superact.ingest.job import Job, Shard
from superact.ingest.outbox import Outbox
from superact.ingest.sources import needed, stored_blocks
from superact.ingest.targets import ACTIVATION_BYTES, Array, Target, check_keep, targets
from superact.store import Run, Warehouse
from superact.store.files import check_free

Progress = Callable[[str, int, int], None]

BUFFER_BYTES = 1 << 30
"""Scores that one forward pass may hold back until their files are full; more (layer, unit) take a further pass."""


def score(
    warehouse: Warehouse,
    *,
    replace: bool = False,
    device: torch.device | str = "cpu",
    job: Job | None = None,
    keep: str = "selected",
    progress: Progress | None = None,
    **wanted: Any,
) -> int:
    """Score hidden states for every concept set that matches `wanted` (dataset, model, layer, concept_set, unit).

    They come from the embeddings table; where it was not kept, from a forward pass over `job` (on the model's device).
    With `keep` `selected` unsupervised sets are left out: eval scores them, and stores the concepts that it selects; with
    `all` every activation is stored. Returns the rows published; 0 when everything was there already, or left out.
    Errors: MissingTable, NonFinite, IdentityMismatch, NotEnoughDisk, BadInput for another `keep`.
    """
    check_keep(keep)
    with warehouse.run("score", replace=replace) as run:
        todo = targets(run, warehouse, job.model.device if job else device, keep, **wanted)
        if job is not None:
            _score_forward(run, job, todo, progress)
        else:
            _score_stored(run, todo, device, progress)
        document = run.publish()
    return sum(entry["rows"] for entry in document["partitions"]) if document else 0


def unscored(warehouse: Warehouse, *, keep: str = "selected", **wanted: Any) -> set[Wanted]:
    """The (layer, unit) for which `score` would have something to publish."""
    with warehouse.run("score") as run:
        return {(target.layer, target.unit) for target in targets(run, warehouse, "cpu", keep, **wanted)}


def _score_stored(run: Run, todo: list[Target], device: torch.device | str, progress: Progress | None) -> None:
    """Score the rows of the embeddings table."""
    warehouse = run.warehouse
    sources = [needed(warehouse, run.state, "score", "embeddings", **target.keys) for target in todo]
    _check_disk(run, todo, [published.rows for published in sources])
    run.provenance = {"device": str(device)}
    for number, (target, published) in enumerate(zip(todo, sources, strict=True)):
        if progress:
            progress(f"score {target.dataset} layer {target.layer} {target.unit}", number, len(todo))
        for block in stored_blocks(warehouse, published):
            target.add(block)
        target.finish()


def _score_forward(run: Run, job: Job, todo: list[Target], progress: Progress | None) -> None:
    """Score the hidden states of a forward pass over the job; of several, where the scores held back would be too many."""
    rows = [job.counts.rows(target.unit) for target in todo]
    _check_disk(run, todo, rows)
    report = (lambda i, n: progress("score: forward pass", i, n)) if progress else None
    passes = []
    for members in _passes(todo, rows):
        collector = ScoreCollector(job, members)
        passes.append(run_forward(job, [collector], report))
        collector.finish()
    run.provenance = {**job.model.provenance, "passes": passes}


def _passes(todo: list[Target], rows: list[int]) -> Iterator[list[Target]]:
    """Cut what is to be scored into forward passes that hold back at most BUFFER_BYTES of scores."""
    members: list[Target] = []
    held = 0
    for target, n in zip(todo, rows, strict=True):
        size = sum(writer.buffered(n) for writer in target.writers)
        if members and held + size > BUFFER_BYTES:
            yield members
            members, held = [], 0
        members.append(target)
        held += size
    if members:
        yield members


def _check_disk(run: Run, todo: list[Target], rows: list[int]) -> None:
    """Raise NotEnoughDisk unless the scores still to be written have room."""
    missing = sum(writer.missing(n) for target, n in zip(todo, rows, strict=True) for writer in target.writers)
    check_free(run.warehouse.root, int(missing * ACTIVATION_BYTES))


class ScoreCollector:
    """Consumer that scores the batches of a forward pass on the device; only scores cross to the host."""

    def __init__(self, job: Job, found: list[Target]) -> None:
        self._targets: dict[Wanted, Target] = {(target.layer, target.unit): target for target in found}
        self._outbox = Outbox(job.model.device)
        self._scores: dict[Wanted, tuple[Array, Array]] = {}
        self._pending: set[Wanted] = set()

    def wants(self, shard: Shard) -> set[Wanted]:
        """Every target that does not have the scores of this shard; those that do just count its rows."""
        self._pending = {key for key, target in self._targets.items() if not target.skip(len(shard.keys(key[1])[0]))}
        return self._pending

    def begin(self, shard: Shard) -> None:
        """Make room for the scores of the shard."""
        self._scores = {}
        for key in self._pending:
            n, concepts = len(shard.keys(key[1])[0]), self._targets[key].scorer.n_concepts
            self._scores[key] = (np.empty((concepts, n), np.float32), np.empty((concepts, n), np.float32))

    def take(self, wanted: Wanted, positions: Array, rows: torch.Tensor) -> None:
        """Score a batch and put the scores in the shard's order."""
        if wanted not in self._pending:
            return
        target = self._targets[wanted]
        for kind, scores in enumerate(target.scorer(rows)):
            self._outbox.send(scores, self._receiver(wanted, kind, positions))

    def _receiver(self, wanted: Wanted, kind: int, positions: Array) -> Callable[[Array], None]:
        def receive(values: Array) -> None:
            self._scores[wanted][kind][:, positions] = values

        return receive

    def end_batch(self) -> None:
        """Let what the batch before sent arrive."""
        self._outbox.end_batch()

    def cancel_batch(self) -> None:
        """Forget what the batch sent; what has arrived is overwritten."""
        self._outbox.cancel()

    def end(self, shard: Shard) -> None:
        """Hand the shard's scores to the writers."""
        self._outbox.flush()
        for key, scores in self._scores.items():
            self._targets[key].store(*shard.keys(key[1]), *scores)
        self._scores = {}

    def finish(self) -> None:
        """Write what the writers hold."""
        for target in self._targets.values():
            target.finish()
