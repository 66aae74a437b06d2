"""The outer boundary of a set of patches, as the straight lines that draw it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Segment = tuple[int, int, int, int]
"""(x1, y1, x2, y2) in patches from the top left corner of the grid; x1 <= x2 and y1 <= y2."""


def mask_of(places: Iterable[tuple[int, int]], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool [rows, columns]: true at each (row, column)."""
    mask = np.zeros(grid, dtype=bool)
    for row, column in places:
        mask[row, column] = True
    return mask


def boundary(mask: NDArray[np.bool_]) -> list[Segment]:
    """The edges between patches that are in the set and those that are not (or outside of the grid), joined into long lines.

    Horizontal lines first, each kind from top to bottom and left to right. Two regions that touch in a corner are two
    outlines, a hole has one of its own.

    Example:
        >>> boundary(np.array([[True, True]]))
        [(0, 0, 2, 0), (0, 1, 2, 1), (0, 0, 0, 1), (2, 0, 2, 1)]
    """
    across = _runs(np.diff(np.pad(mask.astype(np.int8), ((1, 1), (0, 0))), axis=0))
    down = _runs(np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1).T)
    return [(first, line, last, line) for line, first, last in across] + [
        (line, first, line, last) for line, first, last in sorted(down, key=lambda one: (one[1], one[0]))
    ]


def _runs(edges: NDArray[Any]) -> list[tuple[int, int, int]]:
    """(line, first, last) of each run of equal non-zero values along the second axis of [lines, n]."""
    found = []
    for line, values in enumerate(edges):
        changes = np.flatnonzero(np.diff(values, prepend=0, append=0)).tolist()
        found += [(line, first, last) for first, last in pairwise(changes) if values[first]]
    return found
