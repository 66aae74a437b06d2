"""Room for a matrix that may be larger than memory, gone with the array and with the process however it ends."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from superact.store.files import check_free
from superact.store.layout import STAGING

IN_MEMORY = 256 << 20
"""Bytes of scratch matrices that one stage holds in memory."""


def scratch_matrix(root: Path, n: int, width: int, together: int = 1) -> np.ndarray[Any, Any]:
    """An uninitialised float32 [n, width]; `together` such matrices are filled at once.

    In memory up to IN_MEMORY for all of them, else in a file without a name in the staging folder of the warehouse at `root`.
    Errors: NotEnoughDisk.
    """
    size = 4 * n * width
    if size * together <= IN_MEMORY:
        return np.empty((n, width), dtype=np.float32)
    folder = root / STAGING
    check_free(folder, size)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(n, width))
