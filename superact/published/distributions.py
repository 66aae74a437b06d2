"""`activation_distributions`: histograms of the test tokens with and without a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from superact.published.files import PublishedFile, fetch
from superact.published.sets import ConceptSet
from superact.query import Session

_NAMES = ("test", "with_concept_test", "with_patch_level_test")

Counts = np.ndarray[Any, Any]


def distribution_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """Three dictionaries by label: without it, with it, and with it split into labelled tokens and others."""
    files: dict[str, dict[str, Any]] = {name: {} for name in _NAMES}
    populations: dict[str, dict[str, Counts]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for row in fetch(session, "distributions", one.own("distributions")).to_dicts():
        populations.setdefault(row["label"], {})[row["population"]] = np.array(row["counts"], dtype=np.int64)
        facts[row["label"]] = row
    for label, counts in populations.items():
        common = {"activation_range": (facts[label]["lo"], facts[label]["hi"]), "num_bins": 100}
        inside, beside = counts["in_concept"], counts["in_sample_not_token"]
        without = _histogram(counts["out_of_concept"], facts[label]["n_without"], contains_concept=False, **common)
        carried = {"contains_concept": True, **common}
        whole = _histogram(inside + beside, facts[label]["n_with"], **carried)
        parts = {
            name: _histogram(part, facts[label]["n_with"], **carried, patch_contains_concept=contains)
            for name, part, contains in (
                ("patch_with_concept", inside, True),
                ("patch_without_concept", beside, False),
            )
            if part.any()  # as published: a part without tokens has no entry
        }
        for name, content in zip(_NAMES, (without, whole, {**whole, **parts}), strict=True):
            files[name][label] = content
    folder = f"activation_distributions/{one.folder}"
    for name, content in files.items():
        yield PublishedFile(f"{folder}/activation_distributions_{one.con}_{name}.pt", content)


def _histogram(counts: Counts, samples: int, **facts: Any) -> dict[str, Any]:
    """The published entry: masses float32 [100], which add up to 1 or, without tokens, to 0."""
    total = int(counts.sum())
    return {
        "mean_distribution": (counts / max(total, 1)).astype(np.float32),
        "num_samples": samples,
        "total_patches": total,
        **facts,
    }
