"""One forward pass over a dataset, its hidden states handed to whoever wants them.

A consumer is told of a shard, is given the rows of every wanted (layer, unit) in batches, and is told when the shard is over.
Batches are length-sorted inside a shard, so rows come with their positions in the shard's own (sample, token) order. The
memory of the device may run out in the model or in a consumer's own work: either way the whole batch is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from superact.errors import NonFinite
from superact.ingest.ahead import ImagesAhead
from superact.ingest.batches import Ran, halve, plan_batches, release, too_large
from superact.ingest.job import Job, Shard
from superact.models import TextModel, VisionModel
from superact.models.base import is_out_of_memory

Wanted = tuple[int, str]
"""A layer and a unit."""


class Consumer(Protocol):
    """Takes the hidden states of one shard after the other."""

    def wants(self, shard: Shard) -> set[Wanted]:
        """The (layer, unit) this consumer still needs of a shard; nothing is run for a shard that nobody wants."""

    def begin(self, shard: Shard) -> None:
        """A shard begins."""

    def take(self, wanted: Wanted, positions: np.ndarray[Any, Any], rows: Tensor) -> None:
        """Rows float32 [n, d] on the model's device, and where they stand in the shard's order for the unit."""

    def end_batch(self) -> None:
        """A batch has been issued: what was taken since the batch before counts."""

    def cancel_batch(self) -> None:
        """Memory ran out in the midst of a batch: forget what was taken of it. Its samples come again in smaller batches."""

    def end(self, shard: Shard) -> None:
        """The shard is complete."""


def run_forward(
    job: Job, consumers: Sequence[Consumer], progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Run the model over every shard that a consumer wants; returns what was run, for the provenance.

    One forward pass a batch captures all wanted layers. A batch that does not fit into the memory of the device is cut in
    two, and no later one is larger (`superact.ingest.batches`). Errors: NonFinite naming layer and sample, NotEnoughMemory
    for a sample that does not fit alone, what is wrong with an image.
    """
    ran = Ran()
    done = 0

    def report(samples: int) -> None:
        nonlocal done
        done += samples
        if progress:
            progress(done, len(job.samples))

    with ImagesAhead(job) if isinstance(job.model, VisionModel) else nullcontext() as images:
        for shard in job.shards():
            wanted = set().union(*(consumer.wants(shard) for consumer in consumers))
            if not wanted:
                ran.shards_skipped += 1
                report(len(shard.samples))
                continue
            for consumer in consumers:
                consumer.begin(shard)
            _run_shard(job, shard, images, wanted, consumers, ran, report)
            for consumer in consumers:
                consumer.end(shard)
            ran.shards += 1
    ran.token_budget = job.fitting.budget
    return asdict(ran)


def _run_shard(
    job: Job,
    shard: Shard,
    images: ImagesAhead | None,
    wanted: set[Wanted],
    consumers: Sequence[Consumer],
    ran: Ran,
    report: Callable[[int], None],
) -> None:
    left = plan_batches(shard, job)
    while left:
        batch = left[0]
        pixels = images.pixels([shard.samples[i] for i in batch]) if images else None
        fits = True
        try:
            _run_batch(job, shard, batch, pixels, wanted, consumers)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                too_large(shard, job, batch[0], error)
            fits = False
        # Out of the except block, for the traceback holds on to the tensors of the failed pass.
        if fits:
            for consumer in consumers:
                consumer.end_batch()
            left = left[1:]
            ran.batches += 1
            ran.largest_batch = max(ran.largest_batch, len(batch))
            report(len(batch))
        else:
            for consumer in consumers:
                consumer.cancel_batch()
            release(job.model.device)
            left = halve(shard, job, left)
            ran.halvings += 1


def _run_batch(
    job: Job, shard: Shard, batch: list[int], pixels: Tensor | None, wanted: set[Wanted], consumers: Sequence[Consumer]
) -> None:
    layers = sorted({layer for layer, _ in wanted})
    with torch.inference_mode():
        if isinstance(job.model, TextModel):
            states = job.model.forward(job.model.batch([shard.texts[i] for i in batch]), layers)
        else:
            assert pixels is not None
            states = job.model.forward(pixels, layers)
        checks = []
        for layer, unit, positions, rows in _rows(job, shard, batch, wanted, states):
            checks.append((layer, unit, positions, rows, torch.isfinite(rows.sum())))
            for consumer in consumers:
                consumer.take((layer, unit), positions, rows)
        _check_finite(shard, checks)


def _check_finite(shard: Shard, checks: list[Any]) -> None:
    """One look at the device a batch: every sum is finite, or the first row that is not is named.

    A float32 sum is quick and NaN and infinity never leave it; one that overflowed over finite rows is no error.
    """
    if bool(torch.stack([finite for *_, finite in checks]).all()):
        return
    for layer, unit, positions, rows, finite in checks:
        damaged = [] if bool(finite) else (~torch.isfinite(rows).all(dim=1)).nonzero()[:, 0].tolist()
        if damaged:
            sample = shard.keys(unit)[0][positions[damaged]].min()
            raise NonFinite(kind="hidden state", layer=layer, sample=int(sample))


def _rows(
    job: Job, shard: Shard, batch: list[int], wanted: set[Wanted], states: dict[int, Tensor]
) -> Iterator[tuple[int, str, np.ndarray[Any, Any], Tensor]]:
    """The rows of every wanted (layer, unit) of a batch, with their positions in the shard."""
    vision = job.model if isinstance(job.model, VisionModel) else None
    first_state = next(iter(states.values()))
    n_max, n_prefix = first_state.shape[1], vision.n_prefix if vision else 0
    # Where the content tokens of the batch stand in its flattened [B * n_max] rows.
    found = [np.flatnonzero(shard.content[i]) + n_prefix + row * n_max for row, i in enumerate(batch)]
    index = torch.from_numpy(np.concatenate(found)).to(first_state.device)
    lengths = torch.tensor([len(places) for places in found if len(places)], device=first_state.device)
    tokens = np.concatenate([np.arange(shard.first[i], shard.first[i + 1]) for i in batch])
    samples = (np.cumsum(shard.filled) - 1)[[i for i in batch if shard.filled[i]]]
    for layer in sorted({layer for layer, _ in wanted}):
        state = states[layer]
        rows = state.reshape(-1, state.shape[-1]).index_select(0, index).float()
        if (layer, "token") in wanted:
            yield layer, "token", tokens, rows
        if (layer, "cls") in wanted:
            yield layer, "cls", samples, state[:, vision.cls_index].float() if vision else _means(rows, lengths)


def _means(rows: Tensor, lengths: Tensor) -> Tensor:
    """Means of consecutive groups of rows [n, d], none of them empty: float32 [groups, d]."""
    return torch.segment_reduce(rows, "mean", lengths=lengths, axis=0) if len(lengths) else rows[:0]
