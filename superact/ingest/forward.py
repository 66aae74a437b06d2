"""One forward pass over a dataset, its hidden states handed to whoever wants them.

A consumer is told of a shard, is given the rows of every wanted (layer, unit) in batches, and is told when the shard is over.
Batches are length-sorted inside a shard, so rows come with their positions in the shard's own (sample, token) order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from superact.errors import NonFinite
from superact.ingest.job import Job, Shard
from superact.models import TextModel, VisionModel

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
        """A batch has been issued."""

    def end(self, shard: Shard) -> None:
        """The shard is complete."""


def run_forward(
    job: Job, consumers: Sequence[Consumer], progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Run the model over every shard that a consumer wants; returns what was run, for the provenance.

    One forward pass a batch captures all wanted layers. Errors: NonFinite naming layer and sample.
    """
    ran = {"batches": 0, "largest_batch": 0, "shards": 0, "shards_skipped": 0}
    done = 0
    for shard in job.shards():
        wanted = set().union(*(consumer.wants(shard) for consumer in consumers))
        if wanted:
            for consumer in consumers:
                consumer.begin(shard)
            for batch in plan_batches(shard, job):
                _run_batch(job, shard, batch, wanted, consumers)
                ran["batches"] += 1
                ran["largest_batch"] = max(ran["largest_batch"], len(batch))
                if progress:
                    progress(done + len(batch), len(job.samples))
                done += len(batch)
            for consumer in consumers:
                consumer.end(shard)
            ran["shards"] += 1
        else:
            ran["shards_skipped"] += 1
            done += len(shard.samples)
            if progress:
                progress(done, len(job.samples))
    return ran


def plan_batches(shard: Shard, job: Job) -> list[list[int]]:
    """Cut a shard into batches: indices into its samples, longest first, at most `token_budget` padded tokens each."""
    if isinstance(job.model, VisionModel):
        tokens = job.model.n_prefix + job.model.grid[0] * job.model.grid[1]
        size = max(1, job.token_budget // tokens)
        return [list(range(i, min(i + size, len(shard.samples)))) for i in range(0, len(shard.samples), size)]
    lengths = [len(text) for text in shard.texts]
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for index in order:
        # The first of a batch is its longest, so that its length is the padded length of all.
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= job.token_budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _run_batch(job: Job, shard: Shard, batch: list[int], wanted: set[Wanted], consumers: Sequence[Consumer]) -> None:
    layers = sorted({layer for layer, _ in wanted})
    with torch.inference_mode():
        if isinstance(job.model, TextModel):
            states = job.model.forward(job.model.batch([shard.texts[i] for i in batch]), layers)
        else:
            states = job.model.forward(_pixels(job, [shard.samples[i] for i in batch]), layers)
        checks = []
        for layer, unit, positions, rows in _rows(job, shard, batch, wanted, states):
            checks.append((layer, unit, positions, rows, torch.isfinite(rows.sum(dtype=torch.float64))))
            for consumer in consumers:
                consumer.take((layer, unit), positions, rows)
        _check_finite(shard, checks)
    for consumer in consumers:
        consumer.end_batch()


def _check_finite(shard: Shard, checks: list[Any]) -> None:
    """One look at the device a batch: every sum is finite, or the first row that is not is named."""
    if bool(torch.stack([finite for *_, finite in checks]).all()):
        return
    for layer, unit, positions, rows, finite in checks:
        if not bool(finite):
            bad = int(torch.argmax((~torch.isfinite(rows).all(dim=1)).int()))
            sample = shard.keys(unit)[0][positions[bad]]
            raise NonFinite(kind="hidden state", layer=layer, sample=int(sample))


def _pixels(job: Job, samples: list[int]) -> Tensor:
    model = job.model
    assert isinstance(model, VisionModel)
    images = [model.pixels(job.geometry.image(job.dataset.image(sample), model.resample)) for sample in samples]
    return torch.from_numpy(np.stack(images))


def _rows(
    job: Job, shard: Shard, batch: list[int], wanted: set[Wanted], states: dict[int, Tensor]
) -> Iterator[tuple[int, str, np.ndarray[Any, Any], Tensor]]:
    """The rows of every wanted (layer, unit) of a batch, with their positions in the shard."""
    content = _content(job, shard, batch)
    spans = [np.arange(shard.first[i], shard.first[i + 1]) for i in batch]
    positions = {"token": np.concatenate(spans), "cls": np.array(batch)}
    mask = torch.from_numpy(content).to(next(iter(states.values())).device)
    everything = bool(content.all())
    for layer, unit in sorted(wanted):
        state = states[layer]
        if unit == "token":
            if isinstance(job.model, VisionModel):
                state = state[:, job.model.n_prefix :]
            rows = state.reshape(-1, state.shape[-1]) if everything else state[mask]
        elif isinstance(job.model, VisionModel):
            rows = state[:, job.model.cls_index]
        else:
            rows = _content_mean(state, mask)
        yield layer, unit, positions[unit], rows.float()


def _content(job: Job, shard: Shard, batch: list[int]) -> np.ndarray[Any, Any]:
    """Which of the batch's tokens are content: bool [B, n_max], prefix tokens of images left out."""
    masks = [shard.content[i] for i in batch]
    padded = np.zeros((len(masks), max(map(len, masks))), dtype=bool)
    for row, mask in enumerate(masks):
        padded[row, : len(mask)] = mask
    return padded


def _content_mean(state: Tensor, mask: Tensor) -> Tensor:
    """Mean over content tokens: [B, d] float32 from [B, n_max, d]; zero for a text without any."""
    weights = mask.to(torch.float32)
    # Padding rows may hold anything: they are cleared before they are weighed.
    cleared = torch.where(mask[..., None], state.float(), 0.0)
    return cleared.sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
