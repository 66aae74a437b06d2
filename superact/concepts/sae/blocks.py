"""Many blocks of rows, on all processors: each block is one thread's, whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Block = TypeVar("Block")
Found = TypeVar("Found")


def workers_on(device: torch.device) -> int:
    """How many threads blocks are given to: on a CPU as many as torch has in the calling thread, else one."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def in_order(call: Callable[[Block], Found], blocks: Iterable[Block], workers: int) -> Iterator[Found]:
    """The results of a call on each block, in their order, computed by so many threads; a block more than those is read ahead.

    Each works on a block of its own with one thread of torch: no step of the work is left to one processor, and the numbers
    do not depend on how many there are. One worker is the calling thread, with what torch holds of it (the stream of a GPU).
    """
    if workers == 1:
        yield from map(call, blocks)
        return
    waiting: deque[Future[Found]] = deque()
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, "superact-sae", lambda: torch.set_num_threads(1)) as pool:
            for block in blocks:
                waiting.append(pool.submit(call, block))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        # Threads that begin later take over what was set last, in whichever thread that was.
        torch.set_num_threads(threads)
