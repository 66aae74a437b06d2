"""The published splits, which follow from the number of samples alone (reference section 1.1)."""

from __future__ import annotations

import numpy as np


def split_u(n: int, seed: int = 42) -> np.ndarray:
    """Return the n uniform draws in [0, 1) of NumPy's legacy `RandomState(seed)`, which every published split uses."""
    return np.random.RandomState(seed).rand(n)


def three_way_split(n: int, seed: int = 42) -> list[str]:
    """Return the split of each of n samples by the rule of the text and Broden sets.

    With u = split_u(n): train if u < 0.6, test if 0.6 <= u < 0.8, cal otherwise.
    """
    return ["train" if u < 0.6 else "test" if u < 0.8 else "cal" for u in split_u(n, seed)]


def cal_tail_split(n: int, n_cal: int | None = None, seed: int = 42) -> list[str]:
    """Return the split of each of n samples by the rule of CLEVR and COCO: an appended tail is all cal.

    With u = split_u(n - n_cal): train if u < 0.8, test otherwise, then n_cal times cal. By default the first
    floor(0.8 n) samples are split and the rest is cal, as in CLEVR (COCO: n = 5500, n_cal = 500).
    """
    head = n * 4 // 5 if n_cal is None else n - n_cal
    return ["train" if u < 0.8 else "test" for u in split_u(head, seed)] + ["cal"] * (n - head)
