"""How samples are cut into batches, and how the batches shrink when the device runs out of memory.

The token budget that was asked for stands in the identity. What fits is found out while running: when memory runs out the
budget becomes half of the batch that failed, for the rest of the job, and what was run goes into the provenance.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import torch

from superact.errors import NotEnoughMemory
from superact.ingest.job import Job, Shard
from superact.models import VisionModel
from superact.models.base import device_name


@dataclass
class Ran:
    """What a forward pass over a job ran, for the provenance."""

    batches: int = 0
    largest_batch: int = 0
    """Samples of the largest batch that went through."""
    halvings: int = 0
    """How often a batch did not fit and the budget was halved."""
    token_budget: int = 0
    """Padded tokens a batch in the end."""
    shards: int = 0
    shards_skipped: int = 0


def plan_batches(shard: Shard, job: Job) -> list[list[int]]:
    """Cut a shard into batches: indices into its samples, longest text first, images in order of the samples.

    Each holds at most `job.fitting.budget` padded tokens, or one sample.
    """
    lengths = [tokens(shard, job, index) for index in range(len(shard.samples))]
    return cut(sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)), lengths, job.fitting.budget)


def cut(order: Iterable[int], lengths: list[int], budget: int) -> list[list[int]]:
    """Batches of the samples of `order`, which are sorted by descending length."""
    batches: list[list[int]] = []
    for index in order:
        # The first of a batch is its longest, so that its length is the padded length of all.
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def halve(shard: Shard, job: Job, left: list[list[int]]) -> list[list[int]]:
    """The batches that are left, the first of which did not fit, cut anew; the job keeps the smaller budget.

    The first batch must hold several samples.
    """
    lengths = [tokens(shard, job, index) for index in range(len(shard.samples))]
    failed = left[0]
    job.fitting.budget = (len(failed) + 1) // 2 * lengths[failed[0]]
    return cut([index for batch in left for index in batch], lengths, job.fitting.budget)


def tokens(shard: Shard, job: Job, index: int) -> int:
    """Tokens of a sample as the network reads it, special tokens and prefix included."""
    if isinstance(job.model, VisionModel):
        return job.model.n_prefix + job.model.grid[0] * job.model.grid[1]
    return max(1, len(shard.texts[index]))  # a text without a token is padded to one


def too_large(shard: Shard, job: Job, index: int, error: RuntimeError) -> NoReturn:
    """Raise NotEnoughMemory for a sample that does not fit alone."""
    sample = shard.samples[index]
    raise NotEnoughMemory(
        sample=sample,
        path=job.dataset.samples["path"][sample],
        tokens=tokens(shard, job, index),
        model=job.model.name,
        device=device_name(job.model.device),
    ) from error


def release(device: torch.device) -> None:
    """Give back what is held of a batch that did not fit, by circles of frames and by the allocator."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
