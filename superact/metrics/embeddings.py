"""Hidden states of one layer, read block by block, normalised: what the vector work of eval runs on.

A block is whole samples, and which samples are in it depends on the embeddings alone, so that a second pass yields the same
blocks and, on one machine, the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from superact.store.parquet import streamed

BLOCK_BYTES = 32 << 20
"""What the raw rows of a block may take; a sample larger than that is a block of its own."""
_READ_ROWS = 4 * 1024

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Block:
    """Whole samples: sample [n], token [n] and raw `values` float32 [n, d] in (sample, token) order.

    `starts` [m] says where samples begin; `mean` [d] and `rms` are those of the layer, in the type rows are normalised in.
    """

    sample: Array
    token: Array
    values: Array
    starts: Array
    mean: Array
    rms: Any

    def normalised(self, rows: Array | slice) -> Array:
        """Xhat of some rows [k, d]: the others need not be computed."""
        found = self.values[rows].astype(self.mean.dtype)
        found -= self.mean
        found /= self.rms
        return found

    @cached_property
    def xhat(self) -> Array:
        """Xhat of all rows [n, d]."""
        return self.normalised(slice(None))

    @property
    def samples(self) -> Array:
        """The samples of the block, ascending [m]."""
        return self.sample[self.starts]


class Embeddings:
    """The rows of an embeddings partition, normalised by the statistics of its layer.

    `dtype` is what rows are normalised in; `rows_per_block` at most so many rows, by default as BLOCK_BYTES allows.
    """

    def __init__(
        self, files: list[Path], stats: Path, dtype: type[np.floating[Any]], rows_per_block: int | None = None
    ) -> None:
        row = pq.read_table(stats).to_pylist()[0]
        self._files = files
        self._mean = np.array(row["mean"], dtype=dtype)
        self._rms = dtype(row["rms"])
        self.width = len(self._mean)
        own = max(1, BLOCK_BYTES // (4 * self.width))
        self._limit = min(own, rows_per_block or own)

    def __iter__(self) -> Iterator[Block]:
        """The blocks in (sample, token) order."""
        held: list[tuple[Array, Array, Array]] = []
        rows = 0
        for sample, token, values in self._read():
            # A sample may go on in the next read: what is complete ends where the last sample begins.
            held.append((sample, token, values))
            rows += len(sample)
            while rows > self._limit:
                joined = _join(held)
                cut = self._cut(joined[0])
                if cut is None:
                    held, rows = [joined], len(joined[0])
                    break
                yield self._block(*(part[:cut] for part in joined))
                held = [(joined[0][cut:], joined[1][cut:], joined[2][cut:])]
                rows -= cut
        while held and len(held[0][0]):
            joined = _join(held)
            cut = (self._cut(joined[0]) if len(joined[0]) > self._limit else None) or len(joined[0])
            yield self._block(*(part[:cut] for part in joined))
            held = [(joined[0][cut:], joined[1][cut:], joined[2][cut:])]

    def _cut(self, sample: Array) -> int | None:
        """How many of the held rows make the next block; None where the only complete sample may still go on."""
        begins = int(np.searchsorted(sample, sample[min(self._limit, len(sample) - 1)]))
        if begins:
            return begins
        ends = int(np.searchsorted(sample, sample[0], side="right"))
        return ends if ends < len(sample) else None

    def _block(self, sample: Array, token: Array, values: Array) -> Block:
        starts = np.flatnonzero(np.r_[True, sample[1:] != sample[:-1]])
        return Block(sample, token, values, starts, self._mean, self._rms)

    def _read(self) -> Iterator[tuple[Array, Array, Array]]:
        for path in self._files:
            with streamed(path) as reader:
                for batch in reader.iter_batches(_READ_ROWS):
                    values = np.asarray(batch.column("embedding").flatten()).reshape(batch.num_rows, self.width)
                    yield batch.column("sample").to_numpy(), batch.column("token").to_numpy(), values


def _join(held: list[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    if len(held) == 1:
        return held[0]
    sample, token, values = (np.concatenate(part) for part in zip(*held, strict=True))
    return sample, token, values
