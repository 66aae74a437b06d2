"""Stage extract: a dataset and a model in; samples, labels, tokens, token labels, layer statistics and embeddings out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superact.errors import BadInput
from superact.ingest.describe import write_layer_stats
from superact.ingest.describe_job import describe_job
from superact.ingest.forward import Wanted, run_forward
from superact.ingest.identity import ASKED
from superact.ingest.job import Job, Shard
from superact.ingest.outbox import Outbox
from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.files import check_free
from superact.store.rows import embedding_rows
from superact.store.staging import StagedPartition

Progress = Callable[[int, int], None]

EMBEDDING_RATIO = 1.0
"""Bytes on disk over float32 bytes: vectors are stored plain."""


class Statistics:
    """Sums over the train rows of every (layer, unit), a shard at a time; kept as notes so that a resumed run has them."""

    def __init__(self, job: Job, parts: dict[Wanted, StagedPartition]) -> None:
        self._job, self._parts = job, parts
        self._sums: dict[Wanted, tuple[Tensor, Tensor, int]] = {}
        self._batch: dict[Wanted, tuple[Tensor, Tensor, int]] = {}
        self._open: set[Wanted] = set()
        self._train: dict[str, np.ndarray[Any, Any]] = {}

    def wants(self, shard: Shard) -> set[Wanted]:
        """Every (layer, unit) without a note for this shard."""
        return {key for key, part in self._parts.items() if not part.current and shard.number not in part.notes}

    def begin(self, shard: Shard) -> None:
        """Mark which rows of the shard are train rows."""
        self._sums.clear()
        self._open = self.wants(shard)
        self._train = {unit: np.isin(shard.keys(unit)[0], self._job.train) for unit in self._job.units}

    def take(self, wanted: Wanted, positions: np.ndarray[Any, Any], rows: Tensor) -> None:
        """Sum the train rows of a batch, in float64."""
        if wanted not in self._open:
            return
        train = np.flatnonzero(self._train[wanted[1]][positions])
        chosen = rows if len(train) == len(rows) else rows.index_select(0, torch.from_numpy(train).to(rows.device))
        total, count = chosen.sum(dim=0, dtype=torch.float64), len(chosen)
        squares = (chosen * chosen).sum(dtype=torch.float64)
        self._batch[wanted] = (total, squares, count)

    def end_batch(self) -> None:
        """Add the batch to the sums, which stay on the device until the shard ends."""
        for wanted, (total, squares, count) in self._batch.items():
            if wanted in self._sums:
                before, square, n = self._sums[wanted]
                total, squares, count = before + total, square + squares, n + count
            self._sums[wanted] = (total, squares, count)
        self._batch.clear()

    def cancel_batch(self) -> None:
        """Forget the sums of the batch."""
        self._batch.clear()

    def end(self, shard: Shard) -> None:
        """Note the sums of the shard."""
        for key, (total, squares, n) in self._sums.items():
            packed = base64.b64encode(total.cpu().numpy().astype("<f8").tobytes()).decode()
            self._parts[key].remember(shard.number, {"sum": packed, "squares": float(squares), "n": n})

    def finish(self, key: Wanted) -> tuple[np.ndarray[Any, Any], float, int]:
        """Mean float32 [d], RMS norm and count of the train rows, shards added in order.

        Errors: BadInput where there is no train row.
        """
        notes = self._parts[key].notes
        total = np.zeros(self._job.model.width)
        squares, n = 0.0, 0
        for shard in sorted(notes):
            total += np.frombuffer(base64.b64decode(notes[shard]["sum"]), dtype="<f8")
            squares += notes[shard]["squares"]
            n += notes[shard]["n"]
        if n == 0:
            raise _no_train(self._job)
        return (total / n).astype(np.float32), float(np.sqrt(squares / n)), n


def _no_train(job: Job) -> BadInput:
    return BadInput(
        what=f"{job.dataset.name} has no train sample with a content token.",
        remedy="Mean and RMS come from the train split: give some rows of metadata.csv split train.",
    )


class EmbeddingWriter:
    """Collects the rows of a shard on the host and hands each (layer, unit) to its partition."""

    def __init__(self, job: Job, parts: dict[Wanted, StagedPartition]) -> None:
        self._job, self._parts = job, parts
        self._outbox = Outbox(job.model.device)
        self._host: dict[Wanted, np.ndarray[Any, Any]] = {}

    def wants(self, shard: Shard) -> set[Wanted]:
        """Every (layer, unit) whose file of this shard is missing."""
        return {key for key, part in self._parts.items() if not part.current and shard.number not in part.done}

    def begin(self, shard: Shard) -> None:
        """Make room for the shard's rows."""
        width = self._job.model.width
        self._host = {key: np.empty((len(shard.keys(key[1])[0]), width), np.float32) for key in self.wants(shard)}

    def take(self, wanted: Wanted, positions: np.ndarray[Any, Any], rows: Tensor) -> None:
        """Put the rows of a batch in their places."""
        if wanted in self._host:
            host = self._host[wanted]

            def receive(values: np.ndarray[Any, Any]) -> None:
                host[positions] = values

            self._outbox.send(rows, receive)

    def end_batch(self) -> None:
        """Let what the batch before sent arrive."""
        self._outbox.end_batch()

    def cancel_batch(self) -> None:
        """Forget what the batch sent; what has arrived is overwritten."""
        self._outbox.cancel()

    def end(self, shard: Shard) -> None:
        """Write the shard's files."""
        self._outbox.flush()
        for key, values in self._host.items():
            sample, token = shard.keys(key[1])
            self._parts[key].write(shard.number, [embedding_rows(sample, token, values)])
        self._host = {}


def extract(
    warehouse: Warehouse,
    job: Job,
    *,
    keep_embeddings: bool = True,
    replace: bool = False,
    progress: Progress | None = None,
) -> int:
    """Run the stage and publish it; returns the rows published (0: all was there).

    Free disk space is checked first against what the missing embeddings would take. Embeddings of another identity that a
    replacing run does not keep are removed with it: nothing may be learned from them any more.

    Errors: BadInput and its kin for the data, NonFinite, IdentityMismatch, NotEnoughDisk, Locked.
    """
    if not len(job.train):
        raise _no_train(job)
    with warehouse.run("extract", replace=replace) as run:
        stats, embeddings = _declare(run, job, keep_embeddings)
        check_free(warehouse.root, missing_bytes(job, embeddings))
        describe_job(run, job)
        _remove_outdated(run, job)
        statistics = Statistics(job, stats)
        ran = run_forward(job, [statistics, EmbeddingWriter(job, embeddings)], progress)
        run.provenance = {**job.model.provenance, **ran, "embeddings": "keep" if keep_embeddings else "none"}
        run.drain()
        for (layer, unit), part in stats.items():
            if not part.current:
                mean, rms, n = statistics.finish((layer, unit))
                identity = job.stats_identity(layer, unit)
                write_layer_stats(run, identity, mean, rms, n, **job.keys, layer=layer, unit=unit)
        document = run.publish()
    return sum(entry["rows"] for entry in document["partitions"]) if document else 0


def _remove_outdated(run: Run, job: Job) -> None:
    """Where --replace changes the samples, their splits or the tokens, nothing made from the old ones may stay.

    But for answers of a prompted model: eval looks at what they were asked about.
    """
    wanted = {"tokens": job.model_identity(), "samples": job.samples_identity()}
    for table, identity in wanted.items():
        keys = {key: value for key, value in job.keys.items() if key in tables()[table].path}
        published = run.state.get(table, **keys)
        if published is not None and published.identity != identity:
            run.remove_others(but=ASKED, **job.keys)
            return


def _declare(
    run: Run, job: Job, keep_embeddings: bool
) -> tuple[dict[Wanted, StagedPartition], dict[Wanted, StagedPartition]]:
    """The partitions of layer_stats and of embeddings, one of each a layer and unit."""
    stats, embeddings = {}, {}
    for layer, unit in [(layer, unit) for layer in job.layers for unit in job.units]:
        keys: dict[str, Any] = {**job.keys, "layer": layer, "unit": unit}
        identity = job.layer_identity(layer, unit)
        stats[layer, unit] = run.partition("layer_stats", job.stats_identity(layer, unit), **keys)
        published = run.state.get("embeddings", **keys)
        if keep_embeddings:
            part = run.partition("embeddings", identity, **keys)
            part.meta["width"] = job.model.width
            embeddings[layer, unit] = part
        elif run.replace and published is not None and published.identity != identity:
            run.removed.append(published.partition)
    return stats, embeddings


def missing_bytes(job: Job, embeddings: dict[Wanted, StagedPartition]) -> int:
    """What the embeddings still to be written will take on disk, estimated."""
    missing = 0
    for (_, unit), part in embeddings.items():
        if not part.current:
            written = sum(file.record.rows for file in part.done.values())
            missing += max(0, job.counts.rows(unit) - written)
    return int(missing * job.model.width * 4 * EMBEDDING_RATIO)
