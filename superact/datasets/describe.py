"""What metadata.csv alone says of a dataset: sizes, positives of every label, and what a detector without any signal reaches.

    described = describe("Coco", Path("Data"))
    described.records()                            # rows of `superact data describe`

Neither images nor texts need be there. The floors are those of the views `floors` and `label_floors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

import polars as pl

from superact.datasets import folder_of, plugin_of
from superact.datasets.base import SPLITS, Dataset, Label, row_name, slug
from superact.datasets.folder import label_columns, modality_of
from superact.datasets.labels import PUBLISHED, evaluate_labels
from superact.datasets.plugins import plugin_table
from superact.datasets.published import dataset_name
from superact.datasets.tables import positives, read_table
from superact.errors import BadInput, BadTable

Counts = tuple[int, int, int]


@dataclass(frozen=True)
class Floor:
    """A label's positives in train, cal and test, and its floors on test; None without a test positive."""

    label: str
    positives: Counts
    sizes: Counts
    evaluated: bool

    @property
    def always_f1(self) -> float | None:
        """F1 of detecting every sample."""
        n = self.positives[2]
        return 2 * n / (n + self.sizes[2]) if n else None

    @property
    def coin_f1(self) -> float | None:
        """F1 of a coin that fires with the label's cal prevalence q against a test prevalence p: 2pq / (p + q)."""
        if not self.positives[2]:
            return None
        p = self.positives[2] / self.sizes[2]
        q = self.positives[1] / self.sizes[1] if self.sizes[1] else 0.0
        return 2 * p * q / (p + q)


@dataclass(frozen=True)
class Description:
    """A dataset as its metadata.csv has it. `sizes`: rows of train, cal and test."""

    name: str
    modality: str
    sizes: Counts
    labels: tuple[Floor, ...]

    @property
    def evaluated(self) -> list[Floor]:
        """The labels that eval reports."""
        return [label for label in self.labels if label.evaluated]

    @property
    def always_f1(self) -> float | None:
        """The F1 of always saying yes over the evaluated labels, weighted by test positives; None without any."""
        return _weighted([(label.always_f1, label.positives[2]) for label in self.evaluated])

    @property
    def coin_f1(self) -> float | None:
        """The F1 of the coin, weighted likewise."""
        return _weighted([(label.coin_f1, label.positives[2]) for label in self.evaluated])

    def records(self) -> list[dict[str, Any]]:
        """The rows of the table: all samples, then the evaluated labels, then their weighted average.

        Columns: what (`samples`, `label`, `weighted`), label, train, cal, test (samples, or positives), cal_share,
        always_f1, coin_f1.
        """
        q = [label.positives[1] / self.sizes[1] if self.sizes[1] else None for label in self.evaluated]
        rows = [_record("samples", None, self.sizes, None, None, None)]
        for label, share in zip(self.evaluated, q, strict=True):
            rows.append(_record("label", label.label, label.positives, share, label.always_f1, label.coin_f1))
        sums = [sum(label.positives[k] for label in self.evaluated) for k in range(3)]
        return [*rows, _record("weighted", None, (sums[0], sums[1], sums[2]), None, self.always_f1, self.coin_f1)]


def describe(ref: str, data_root: Path, labels: str | Sequence[str] = PUBLISHED) -> Description:
    """Describe a dataset named as for `open_dataset`. Raises BadInput for a missing or wrong metadata.csv."""
    if (plugin := plugin_of(ref, data_root)) is not None:
        root = path = Path(str(plugin))
        table, name = plugin_table(plugin, data_root), dataset_name(plugin.name)
    else:
        root = folder_of(ref, data_root)
        path = root / "metadata.csv"
        table, name = read_table(path), dataset_name(root.name)
    columns = label_columns(table)
    found = positives(table, path, columns)
    splits = _splits(table, path)
    modality = modality_of(table)
    bare = Dataset(
        name=name,
        slug=slug(name),
        modality=modality,
        root=root,
        licence=None,
        labels=[Label(column, "metadata") for column in columns],
        samples=pl.DataFrame(),
        sample_labels=found,
    )
    chosen = {label.name for label in evaluate_labels(bare, labels).labels if label.evaluated}
    counts, sizes = count_positives(found, splits), split_sizes(splits)
    floors = tuple(Floor(column, counts.get(column, (0, 0, 0)), sizes, column in chosen) for column in columns)
    return Description(name, modality, sizes, floors)


def split_sizes(splits: pl.Series) -> Counts:
    """Rows of train, cal and test."""
    found = dict(splits.value_counts().iter_rows())
    return found.get(SPLITS[0], 0), found.get(SPLITS[1], 0), found.get(SPLITS[2], 0)


def count_positives(found: pl.DataFrame, splits: pl.Series) -> Mapping[str, Counts]:
    """Return label -> positives in train, cal and test, from (row Int32, label String) pairs."""
    at = pl.DataFrame({"label": found["label"], "split": splits.gather(found["row"])})
    counts: dict[str, list[int]] = {}
    for label, split, n in at.group_by("label", "split").len().iter_rows():
        counts.setdefault(label, [0, 0, 0])[SPLITS.index(split)] = n
    return {label: (n[0], n[1], n[2]) for label, n in counts.items()}


def _splits(table: pl.DataFrame, path: Path) -> pl.Series:
    if "split" not in table.columns:
        raise BadInput(what=f"{path} has no column split.", remedy=f"Add it, with one of {', '.join(SPLITS)} a row.")
    splits = table["split"].fill_null("")
    wrong = (~splits.is_in(list(SPLITS))).arg_true()
    if len(wrong):
        row = int(wrong[0])
        problem, remedy = f"{splits[row]!r} is not a split", f"Use one of {', '.join(SPLITS)}."
        raise BadTable(path=path, row=row_name(row), column="split", problem=problem, remedy=remedy)
    return splits


def _weighted(values: list[tuple[float | None, int]]) -> float | None:
    kept = [(value, n) for value, n in values if value is not None]
    return fsum(value * n for value, n in kept) / sum(n for _, n in kept) if kept else None


def _record(
    what: str, label: str | None, counts: Counts, share: float | None, always: float | None, coin: float | None
) -> dict[str, Any]:
    numbers = dict(zip(SPLITS, counts, strict=True))
    return {"what": what, "label": label, **numbers, "cal_share": share, "always_f1": always, "coin_f1": coin}
