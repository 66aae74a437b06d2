"""From a matrix of activations to its non-zeros, and to the largest of every row.

A full selection of the 32 largest of 4096 costs half of the matrix product that made them. Maxima of groups of columns cost a
hundredth of that, and the m-th largest of them bounds the m-th largest of the row from below: what passes the bound is a few
more than m, of which the rest is taken away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]
NonZeros = tuple[Array, Array, Array]
"""row int64 [m], feature int32 [m] and activation float32 [m] > 0, in (row, feature) order."""

LEAST = np.nextafter(np.float32(0), np.float32(1))
"""The smallest float32 above 0."""
_FEWEST_GROUPS = 64


def nonzeros(acts: Tensor, most: int | None = None) -> NonZeros:
    """The positive entries of activations float32 [n, F]; with `most`, of each row the largest so many.

    Of equal activations the first features are taken, so that the same matrix gives the same rows on any device.
    """
    width = acts.shape[1]
    cut = most is not None and most < width
    bound = _bound(acts, int(most)) if cut and most is not None else None
    if acts.device.type == "cpu":
        values = acts.numpy()
        flat = np.flatnonzero(values >= (LEAST if bound is None else bound))
        found = values.ravel()[flat]
    else:
        least = torch.tensor(LEAST, device=acts.device)
        mask = acts >= (least if bound is None else torch.from_numpy(bound).to(acts.device))
        flat = mask.view(-1).nonzero().squeeze(1).cpu().numpy()
        found = acts[mask].cpu().numpy()
    row = flat // width
    kept = _largest(row, found, len(acts), int(most)) if cut and most is not None else slice(None)
    return row[kept], (flat - row * width).astype(np.int32)[kept], found[kept]


def _bound(acts: Tensor, most: int) -> Array:
    """A number [n, 1] for each row, above 0, which at least its `most` largest entries reach as far as they are positive."""
    if acts.device.type != "cpu":
        bound = torch.topk(acts, most, dim=1, sorted=True).values[:, -1].cpu().numpy()
    else:
        n, width = acts.shape
        groups = max(_FEWEST_GROUPS, 2 * most)
        size = width // groups
        # Columns that fill no group may be left out: a bound from fewer columns is lower, and a bound still.
        maxima = acts if size < 2 else acts[:, : groups * size].view(n, groups, size).amax(-1)
        # numpy sorts short rows of float32 with vector instructions, ten times quicker than a selection in torch.
        bound = np.sort(maxima.numpy(), axis=1)[:, -most]
    return np.maximum(bound, LEAST)[:, None]


def _largest(row: Array, values: Array, n: int, most: int) -> Array:
    """Which entries are among the `most` largest of their row: bool [m]. Entries are in row order."""
    counts = np.bincount(row, minlength=n)
    widest = int(counts.max(initial=0))
    if widest <= most:
        return np.ones(len(row), dtype=bool)
    starts = np.cumsum(counts) - counts
    table = np.full(n * widest, -1, dtype=np.float32)
    table[row * widest + np.arange(len(row)) - np.repeat(starts, counts)] = values
    least = np.sort(table.reshape(n, widest), axis=1)[:, -most][row]
    kept = values >= least
    if (np.bincount(row[kept], minlength=n) > most).any():
        above, tied = values > least, values == least
        room = most - np.bincount(row[above], minlength=n)
        before = np.cumsum(tied) - tied  # ties in front of an entry, then only those of its own row
        own = before - before[np.minimum(starts, len(row) - 1)][row]
        kept = above | (tied & (own < room[row]))
    return kept
