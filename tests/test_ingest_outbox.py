"""The outbox: at once on the CPU; on CUDA through pinned buffers that are never used again before they were delivered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import superact.ingest.outbox as module
from superact.ingest.outbox import Outbox


def test_the_cpu_hands_on_at_once() -> None:
    outbox = Outbox(torch.device("cpu"))
    received: list[np.ndarray] = []
    outbox.send(torch.tensor([[1.0, 2.0]]), lambda values: received.append(values.copy()))
    assert [values.tolist() for values in received] == [[[1.0, 2.0]]]
    outbox.end_batch()
    outbox.flush()
    assert len(received) == 1


class FakeDevice:
    """Copies that arrive only when their event is waited for: a buffer that is read or filled too early shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.issued: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.buffers: list[torch.Tensor] = []
        self.travelling: set[int] = set()
        fake = self

        class Event:
            def record(self) -> None:
                self.copies, fake.issued = fake.issued, []

            def synchronize(self) -> None:
                for target, source in self.copies:
                    target.copy_(source)

        class Buffer(torch.Tensor):
            """Pinned memory: `copy_` with non_blocking only starts the copy."""

            def copy_(self, source: torch.Tensor, non_blocking: bool = False) -> Any:
                assert non_blocking
                plain = self.as_subclass(torch.Tensor)
                assert plain.untyped_storage().data_ptr() not in fake.travelling, "used before it was delivered"
                fake.travelling.add(plain.untyped_storage().data_ptr())
                plain.fill_(float("nan"))
                fake.issued.append((plain, source.clone()))
                return self

        def pinned(size: int, dtype: torch.dtype) -> torch.Tensor:
            buffer = torch.empty(size, dtype=dtype).as_subclass(Buffer)
            fake.buffers.append(buffer)
            return buffer

        monkeypatch.setattr(module, "_pinned", pinned)
        monkeypatch.setattr(torch.cuda, "Event", Event)

    def received(self, values: np.ndarray) -> None:
        """A buffer was read: it may be filled again."""
        self.travelling.discard(torch.from_numpy(values).untyped_storage().data_ptr())


def test_cuda_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDevice(monkeypatch)
    outbox = Outbox(torch.device("cuda"))
    random = np.random.default_rng(0)
    sent: list[torch.Tensor] = []
    received: list[np.ndarray] = []
    delivered_after: list[int] = []

    def receive(values: np.ndarray) -> None:
        received.append(values.copy())
        fake.received(values)

    for batch in range(40):
        for _ in range(int(random.integers(1, 4))):
            tensor = torch.from_numpy(random.normal(size=(int(random.integers(1, 60)), 8)).astype(np.float32))
            sent.append(tensor)
            outbox.send(tensor, receive)
        before = len(received)
        outbox.end_batch()
        # What a batch sent is delivered when the next one has been issued, not before.
        delivered_after.append(len(received))
        assert batch or before == len(received) == 0
    in_flight = len(sent) - len(received)
    assert 1 <= in_flight <= 3  # the last batch alone
    outbox.flush()
    assert len(received) == len(sent)
    for values, tensor in zip(received, sent, strict=True):
        assert np.array_equal(values, tensor.numpy())
    # Batches differ in shape, and yet the buffers are few: at most those of two batches for each power of two.
    assert len({len(buffer) for buffer in fake.buffers}) <= 7
    assert len(fake.buffers) <= 6 * 7 < len(sent)
    assert not fake.travelling


def test_a_batch_that_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never delivered, the batch before it is, and its buffers are free only when their copies have ended."""
    fake = FakeDevice(monkeypatch)
    outbox = Outbox(torch.device("cuda"))
    received: list[list[float]] = []

    def receive(values: np.ndarray) -> None:
        received.append(values.tolist())
        fake.received(values)

    outbox.send(torch.tensor([1.0, 2.0]), receive)
    outbox.end_batch()
    outbox.send(torch.tensor([3.0, 4.0]), receive)
    outbox.cancel()
    before, cancelled = (buffer.as_subclass(torch.Tensor) for buffer in fake.buffers)
    assert torch.isnan(before).all() and cancelled.tolist() == [3.0, 4.0]
    fake.travelling.discard(cancelled.untyped_storage().data_ptr())
    outbox.send(torch.tensor([5.0, 6.0]), receive)
    outbox.flush()
    assert received == [[1.0, 2.0], [5.0, 6.0]]
    assert len(fake.buffers) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_device() -> None:
    outbox = Outbox(torch.device("cuda"))
    received: list[np.ndarray] = []
    sent = [torch.randn(1 + n % 37, 16, device="cuda") for n in range(200)]
    for number, tensor in enumerate(sent):
        outbox.send(tensor, lambda values: received.append(values.copy()))
        tensor.add_(0)  # further work on the stream
        if number % 3 == 0:
            outbox.end_batch()
    outbox.flush()
    assert all(np.array_equal(a, b.cpu().numpy()) for a, b in zip(received, sent, strict=True))
