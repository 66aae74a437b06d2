"""Stage score: tables `embeddings`, `layer_stats`, `concepts` in, table `activations` out.

Each (layer, unit) is scored for all wanted concept sets in one matrix product, a file's worth of tokens at a time. Rows that a
forward pass yields directly (`--embeddings none`) go through the same buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from superact.errors import MissingTable, NonFinite
from superact.ingest.forward import Wanted, run_forward
from superact.ingest.identity import base, by_label, digest
from superact.ingest.job import Job, Shard
from superact.ingest.outbox import Outbox
from superact.ingest.scorer import Scorer, Vectors
from superact.ingest.shards import shard_tokens
from superact.ingest.sources import Block, needed, read_stats, stored_blocks
from superact.store import Published, Run, Warehouse
from superact.store.rows import activation_rows
from superact.store.staging import StagedPartition

Array = np.ndarray[Any, Any]


class SetWriter:
    """Cuts the scores of one concept set into files and hands them to its partition.

    Rows come in (sample, token) order. Files that an interrupted run finished are counted, not written again. The rows of a
    file depend on this set alone, so that which sets are scored together changes nothing.
    """

    def __init__(self, vectors: Vectors, part: StagedPartition) -> None:
        self._names = vectors.names
        self._part = part
        self._rows_per_file = shard_tokens(len(vectors.names))
        self._shard = 0
        self._filled = 0
        self._blocks: list[tuple[Array, ...]] = []

    @property
    def idle(self) -> bool:
        """True when what comes next is stored already: its scores need not be computed."""
        return self._part.current or self._shard in self._part.done

    def room(self) -> int:
        """Rows until the file at hand is full."""
        return self._rows_per_file - self._filled

    def skip(self, n: int) -> None:
        """Count n rows whose scores are stored already; n is at most `room()`."""
        self._advance(n)

    def add(self, *block: Array) -> None:
        """Take sample [n], token [n], cosine [C, n] and signed distance [C, n], any n."""
        start, n = 0, len(block[0])
        while start < n:
            stop = min(n, start + self.room())
            if not self.idle:
                self._blocks.append(tuple(part[..., start:stop] for part in block))
            self._advance(stop - start)
            start = stop

    def finish(self) -> None:
        """Write what is left; a partition without any row gets its zero-row file."""
        if self._filled or self._shard == 0:
            self._flush()

    def _advance(self, n: int) -> None:
        self._filled += n
        if self._filled == self._rows_per_file:
            self._flush()

    def _flush(self) -> None:
        blocks, self._blocks = self._blocks, []
        if not self.idle:
            groups = []
            if blocks:
                columns = [np.concatenate([block[i] for block in blocks], axis=-1) for i in range(4)]
                groups = activation_rows(self._names, *columns)
            self._part.write(self._shard, groups)
        self._shard, self._filled = self._shard + 1, 0


@dataclass
class Target:
    """One (layer, unit) to score: the scorer of all its concept sets, and a writer for each."""

    dataset: str
    model: str
    layer: int
    unit: str
    scorer: Scorer
    writers: list[SetWriter]

    def add(self, block: Block) -> None:
        """Score a block of rows and hand the scores to the writers; nothing is computed when all of it is stored."""
        sample, token, rows = block
        n = len(sample)
        if all(writer.idle and n <= writer.room() for writer in self.writers):
            for writer in self.writers:
                writer.skip(n)
            return
        cosine, distance = (scores.cpu().numpy() for scores in self.scorer(rows))
        self.store(sample, token, cosine, distance)

    def store(self, sample: Array, token: Array, cosine: Array, distance: Array) -> None:
        """Hand scores float32 [C, n] of rows in (sample, token) order to the writers. Errors: NonFinite."""
        for scores in (cosine, distance):
            # A sum of finite float32 scores is finite: none comes near the largest float.
            if not np.isfinite(scores.sum()):
                bad = int(np.argmax(~np.isfinite(scores).all(axis=0)))
                raise NonFinite(kind="score", layer=self.layer, sample=int(sample[bad]))
        first = 0
        for vectors, writer in zip(self.scorer.sets, self.writers, strict=True):
            last = first + len(vectors.names)
            writer.add(sample, token, cosine[first:last], distance[first:last])
            first = last

    def finish(self) -> None:
        """Write what the buffers hold."""
        for writer in self.writers:
            writer.finish()


def read_vectors(warehouse: Warehouse, concepts: Published, name: str) -> Vectors:
    """The vectors of status ok of one concepts partition."""
    rows = pq.read_table(
        [warehouse.root / file.path for file in concepts.files], columns=["concept", "vector", "bias", "status"]
    ).to_pylist()
    good = [row for row in rows if row["status"] == "ok"]
    width = concepts.meta["width"]
    vectors = np.array([row["vector"] for row in good], dtype=np.float32).reshape(len(good), width)
    return Vectors(name, [row["concept"] for row in good], vectors, np.array([row["bias"] for row in good]))


def targets(run: Run, warehouse: Warehouse, device: torch.device | str, **wanted: Any) -> list[Target]:
    """What is still to be scored: every (layer, unit) with concepts that match, its partitions declared in `run`.

    Errors: MissingTable where no concept set matches.
    """
    state = run.state
    groups: dict[tuple[Any, ...], list[Published]] = {}
    for concepts in state.select("concepts", **wanted):
        keys = dict(concepts.partition.keys)
        groups.setdefault((keys["dataset"], keys["model"], keys["layer"], keys["unit"]), []).append(concepts)
    if not groups:
        where = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None) or "anything"
        raise MissingTable(
            stage="score", table="concepts", where=where, warehouse=warehouse.root, command="superact learn"
        )
    found = [_target(run, warehouse, device, key, members) for key, members in groups.items()]
    return [target for target in found if target is not None]


def _target(
    run: Run, warehouse: Warehouse, device: torch.device | str, key: tuple[Any, ...], members: list[Published]
) -> Target | None:
    dataset, model, layer, unit = key
    keys = {"dataset": dataset, "model": model, "layer": layer, "unit": unit}
    stats = needed(warehouse, run.state, "score", "layer_stats", **keys)
    mean, rms, _ = read_stats(warehouse, stats)
    sets, writers = [], []
    for concepts in members:
        name = str(dict(concepts.partition.keys)["concept_set"])
        vectors = read_vectors(warehouse, concepts, name)
        digests = {n: digest(v, str(b)) for n, v, b in zip(vectors.names, vectors.vectors, vectors.biases, strict=True)}
        identity = {**base("score"), "input:layer_stats": stats.hash, **by_label(digests)}
        part = run.partition("activations", identity, concept_set=name, **keys)
        if not part.current:
            sets.append(vectors)
            writers.append(SetWriter(vectors, part))
    if not sets:
        return None
    scorer = Scorer(sets, mean, rms, device)
    return Target(dataset, model, layer, unit, scorer, writers)


def score(
    warehouse: Warehouse,
    *,
    replace: bool = False,
    device: torch.device | str = "cpu",
    job: Job | None = None,
    only_count: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    **wanted: Any,
) -> int:
    """Score hidden states for every concept set that matches `wanted` (dataset, model, layer, concept_set, unit).

    They come from the embeddings table; where it was not kept, from a forward pass over `job` (on the model's device). With
    `only_count` nothing is scored, and the number of (layer, unit) still to be scored is returned.
    Returns the rows published; 0 when everything was there already. Errors: MissingTable, NonFinite, IdentityMismatch.
    """
    with warehouse.run("score", replace=replace) as run:
        todo = targets(run, warehouse, job.model.device if job else device, **wanted)
        if only_count:
            return len(todo)
        if job is not None and todo:
            collector = ScoreCollector(job, todo)
            report = (lambda i, n: progress("score: forward pass", i, n)) if progress else None
            run.provenance = {**job.model.provenance, **run_forward(job, [collector], report)}
            collector.finish()
            todo = []
        for number, target in enumerate(todo):
            if progress:
                progress(f"score {target.dataset} layer {target.layer} {target.unit}", number, len(todo))
            _score_stored(run, warehouse, target)
        document = run.publish()
    return sum(entry["rows"] for entry in document["partitions"]) if document else 0


def _score_stored(run: Run, warehouse: Warehouse, target: Target) -> None:
    keys: dict[str, Any] = {
        "dataset": target.dataset,
        "model": target.model,
        "layer": target.layer,
        "unit": target.unit,
    }
    for block in stored_blocks(warehouse, needed(warehouse, run.state, "score", "embeddings", **keys)):
        target.add(block)
    target.finish()


class ScoreCollector:
    """Consumer that scores the batches of a forward pass on the device; only scores cross to the host."""

    def __init__(self, job: Job, found: list[Target]) -> None:
        self._targets: dict[Wanted, Target] = {(target.layer, target.unit): target for target in found}
        self._outbox = Outbox(job.model.device)
        self._scores: dict[Wanted, tuple[Array, Array]] = {}
        self._pending: set[Wanted] = set()

    def wants(self, shard: Shard) -> set[Wanted]:
        """Every target that does not have the scores of this shard; those that do just count its rows."""
        self._pending = set()
        for key, target in self._targets.items():
            n = len(shard.keys(key[1])[0])
            if all(writer.idle and n <= writer.room() for writer in target.writers):
                for writer in target.writers:
                    writer.skip(n)
            else:
                self._pending.add(key)
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
