"""Which labels of a dataset are evaluated: the published list, all, or those named.

    evaluate_labels(dataset, "published")           # the default: everything where nothing is published
    evaluate_labels(dataset, "all")
    evaluate_labels(dataset, ["person", "dining table"])

A label that is not evaluated keeps its rows in every table; eval does not report it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace

from superact.datasets.base import Dataset
from superact.datasets.published import find_published
from superact.errors import BadInput

PUBLISHED, ALL = "published", "all"


def evaluate_labels(dataset: Dataset, wanted: str | Sequence[str] = PUBLISHED) -> Dataset:
    """Return the dataset with its labels marked as evaluated or not.

    `wanted`: `published`, `all`, or names, in a list or as text: separated by commas, with quotation marks around a name
    that has a comma. `published` means every label in a dataset that is none of the published ones, and in a folder that
    has the name of one but none of its labels (a note says so). Raises BadInput for a name that is no label.
    """
    names = [label.name for label in dataset.labels]
    notes = dataset.notes
    if wanted == ALL:
        chosen = set(names)
    elif wanted == PUBLISHED:
        chosen, notes = _published(dataset, names)
    else:
        chosen = _named(dataset, wanted, names)
    labels = [replace(label, evaluated=label.name in chosen) for label in dataset.labels]
    return replace(dataset, labels=labels, notes=notes)


def _published(dataset: Dataset, names: list[str]) -> tuple[set[str], tuple[str, ...]]:
    known = find_published(dataset.name)
    if known is None:
        return set(names), dataset.notes
    kept = set(known.kept(names))
    if not kept:
        note = f"{dataset.name} has none of the labels that are published under this name: all of its own are evaluated"
        return set(names), (*dataset.notes, note)
    return kept, dataset.notes


def _named(dataset: Dataset, wanted: str | Sequence[str], names: list[str]) -> set[str]:
    if isinstance(wanted, str):
        wanted = [name.strip() for row in csv.reader([wanted], skipinitialspace=True) for name in row if name.strip()]
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        what = f"{dataset.name} has no label {unknown[0]!r}." if unknown else f"No label of {dataset.name} is named."
        raise BadInput(what=what, remedy=f"Use published, all, or some of: {', '.join(names)}.")
    return set(wanted)
