"""From the device to the host without waiting: pinned double buffers, read only after their event has passed.

On CUDA a copy into pinned memory runs beside the next batch; the buffer is handed on one batch later, after its event. On the
CPU a tensor is handed on at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Receive = Callable[[np.ndarray[Any, Any]], None]


class Outbox:
    """Sends tensors to host callbacks, in order. A callback must copy what it keeps: the buffer is used again."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._travelling: list[tuple[Any, Tensor, Receive]] = []
        self._arriving: list[tuple[Any, Tensor, Receive]] = []
        self._free: dict[tuple[Any, ...], list[Tensor]] = {}

    def send(self, tensor: Tensor, receive: Receive) -> None:
        """Hand a tensor's values to `receive`, now (CPU) or after the next `end_batch` (CUDA)."""
        if not self._cuda:
            receive(tensor.cpu().numpy())
            return
        key = (tuple(tensor.shape), tensor.dtype)
        free = self._free.setdefault(key, [])
        buffer = free.pop() if free else torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        buffer.copy_(tensor, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self._travelling.append((event, buffer, receive))

    def end_batch(self) -> None:
        """A batch is issued: deliver what the batch before it sent."""
        arrived, self._arriving, self._travelling = self._arriving, self._travelling, []
        self._deliver(arrived)

    def flush(self) -> None:
        """Deliver everything."""
        self.end_batch()
        self.end_batch()

    def _deliver(self, arrived: list[tuple[Any, Tensor, Receive]]) -> None:
        for event, buffer, receive in arrived:
            event.synchronize()
            receive(buffer.numpy())
            self._free[tuple(buffer.shape), buffer.dtype].append(buffer)
