"""Images decoded by a few threads ahead of the model, in the order of the samples.

Guarantees: an image is handed out once its own batch asks for it, whatever became of others; what is wrong with one is
raised then, not earlier. At most LOOK_AHEAD_BYTES of pixels wait beyond the batch that is asked for (one image at least),
and never more than two further batches. After the `with` block no thread runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superact.ingest.job import Job
from superact.models import VisionModel

LOOK_AHEAD_BYTES = 256 << 20
MOST_THREADS = 8
_BATCHES_AHEAD = 2


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ImagesAhead:
    """The pixels of a job's images, batch by batch; to be used in a `with` block.

    Which samples come next is taken to be the order of the job: where a run leaves samples out, reading goes on behind them.
    """

    def __init__(self, job: Job, threads: int | None = None) -> None:
        model = job.model
        assert isinstance(model, VisionModel)
        self._dataset, self._model, self._geometry = job.dataset, model, job.geometry
        self._order = job.samples
        self._place = {sample: place for place, sample in enumerate(self._order)}
        batch = max(1, job.token_budget // (model.n_prefix + model.grid[0] * model.grid[1]))
        each = 3 * 4 * model.input_size**2
        self.ahead = max(1, min(_BATCHES_AHEAD * batch, LOOK_AHEAD_BYTES // each))
        # On the CPU the model's own threads have the cores: one more fills the gaps, several would stand in its way.
        usual = 1 if model.device.type == "cpu" else min(MOST_THREADS, usable_cores())
        self._pool = ThreadPoolExecutor(threads or usual, "superact-image")
        self._waiting: dict[int, Future[np.ndarray[Any, Any]]] = {}

    def __enter__(self) -> ImagesAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def pixels(self, samples: Sequence[int]) -> Tensor:
        """Pixels float32 [B, 3, S, S] of consecutive samples, in the host's memory; those behind them are begun.

        Asked again for a part of the batch (it did not fit), it still has them. Errors: those of `Dataset.image`, for the
        first sample that has one.
        """
        first, last = self._place[samples[0]], self._place[samples[-1]]
        window = self._order[first : last + 1 + self.ahead]
        for sample in self._waiting.keys() - set(window):
            self._waiting.pop(sample).cancel()
        for sample in window:
            if sample not in self._waiting:
                self._waiting[sample] = self._pool.submit(self._read, sample)
        return torch.from_numpy(np.stack([self._waiting[sample].result() for sample in samples]))

    def _read(self, sample: int) -> np.ndarray[Any, Any]:
        return self._model.pixels(self._geometry.image(self._dataset.image(sample), self._model.resample))
