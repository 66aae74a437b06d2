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
_Parcel = tuple[Any, Tensor, Tensor, Receive]  # event, pinned buffer, the part of it that is used, where it goes


class Outbox:
    """Sends tensors to host callbacks, in order. A callback must copy what it keeps: the buffer is used again."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._travelling: list[_Parcel] = []
        self._arriving: list[_Parcel] = []
        self._free: dict[tuple[int, torch.dtype], list[Tensor]] = {}

    def send(self, tensor: Tensor, receive: Receive) -> None:
        """Hand a tensor's values to `receive`, now (CPU) or when the next batch has been issued (CUDA)."""
        if not self._cuda:
            receive(tensor.cpu().numpy())
            return
        # Batches differ in shape: buffers come in powers of two, so that they fit again and their number stays small.
        size = 1 << (max(tensor.numel(), 1) - 1).bit_length()
        free = self._free.setdefault((size, tensor.dtype), [])
        buffer = free.pop() if free else _pinned(size, tensor.dtype)
        values = buffer[: tensor.numel()].view(tensor.shape)
        values.copy_(tensor, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self._travelling.append((event, buffer, values, receive))

    def end_batch(self) -> None:
        """A batch is issued: deliver what the batch before it sent."""
        arrived, self._arriving, self._travelling = self._arriving, self._travelling, []
        self._deliver(arrived)

    def cancel(self) -> None:
        """Forget what was sent since the last `end_batch`. On the CPU it has arrived: send it again, to the same places."""
        for event, buffer, _, _ in self._travelling:
            event.synchronize()  # the copy must not go on into a buffer that is used again
            self._free[len(buffer), buffer.dtype].append(buffer)
        self._travelling = []

    def flush(self) -> None:
        """Deliver everything."""
        self.end_batch()
        self.end_batch()

    def _deliver(self, arrived: list[_Parcel]) -> None:
        for event, buffer, values, receive in arrived:
            event.synchronize()
            receive(values.numpy())
            self._free[len(buffer), buffer.dtype].append(buffer)


def _pinned(size: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(size, dtype=dtype, pin_memory=True)
