"""Which test samples of a dataset a report shows: all of them, or a seeded sample in which every label keeps some."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

SEED = 0
MOST = 200
"""Test samples of a dataset that are shown when nobody says how many."""
FEWEST = 40
"""Below so many, token scores are left out rather than samples."""
EACH = 5
"""Samples with and without each label that are kept where there are as many, and room for them."""


def choose(samples: Sequence[int], labels: Sequence[Iterable[str]], evaluated: Iterable[str], n: int) -> list[int]:
    """Of the test samples, each with the labels it carries, `n` or all, in order.

    The order in which they are drawn is that of a hash of seed and sample. First, the rarest label leading, EACH samples that
    carry a label and as many that do not, or fewer where that would be more than n; then whatever comes next.
    """
    if n >= len(samples):
        return sorted(samples)
    drawn = sorted(range(len(samples)), key=lambda place: _hash(samples[place]))
    carried = [frozenset(own) for own in labels]
    names = sorted(set(evaluated), key=lambda name: (sum(name in own for own in carried), name))
    for each in range(EACH, -1, -1):
        kept = _stratified(drawn, carried, names, each)
        if len(kept) <= n:
            break
    for place in drawn:
        if len(kept) == n:
            break
        kept.setdefault(place)
    return sorted(samples[place] for place in kept)


def _stratified(drawn: list[int], carried: list[frozenset[str]], names: list[str], each: int) -> dict[int, None]:
    """The fewest leading samples, as keys, that have `each` of every label and `each` without it, where there are as many."""
    kept: dict[int, None] = {}
    for name in names:
        for wanted in (True, False):
            lacking = each - sum((name in carried[place]) is wanted for place in kept)
            for place in drawn:
                if lacking <= 0:
                    break
                if (name in carried[place]) is wanted and place not in kept:
                    kept[place] = None
                    lacking -= 1
    return kept


def _hash(sample: int) -> bytes:
    return hashlib.sha256(f"{SEED}/{sample}".encode()).digest()


def lacking(labels: Sequence[Iterable[str]], evaluated: Sequence[str], all_positives: Sequence[int]) -> list[str]:
    """The labels that some test sample carries and none of the chosen ones does."""
    found = {name for own in labels for name in own}
    return [name for name, n in zip(evaluated, all_positives, strict=True) if n and name not in found]
