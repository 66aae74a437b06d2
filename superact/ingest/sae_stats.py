"""Sums of one pass over encoded rows, by split, the rows of table sae_stats that they make, and what is published of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from superact.ingest.sources import frame
from superact.store import Published, Warehouse
from superact.store.identity import split_digest

Array = np.ndarray[Any, Any]


@dataclass
class Sums:
    """What is added up over rows, in float64, for each split [3].

    n rows; nonzeros; error sum |x - xr|^2; square sum |x|^2; total [3, d] sum x; active [3, F] whether a feature ever was.
    """

    n: Array
    nonzeros: Array
    error: Array
    square: Array
    total: Array
    active: Array

    SPLITS: ClassVar[tuple[str, ...]] = ("train", "cal", "test")

    @classmethod
    def zeros(cls, width: int, n_features: int) -> Sums:
        """Sums over no row of embeddings of a width."""
        splits = len(cls.SPLITS)
        n, nonzeros = np.zeros((2, splits), dtype=np.int64)
        error, square = np.zeros((2, splits))
        total, active = np.zeros((splits, width)), np.zeros((splits, n_features), dtype=bool)
        return cls(n, nonzeros, error, square, total, active)

    def add(self, split: Array, rows: Tensor, restored: Tensor, found: tuple[Array, Array, Array]) -> int | None:
        """Add rows [n, d], what was made of them [n, d], and their non-zeros; `split` is the number of each row's split.

        Returns the place of the first row that is not finite, in which case nothing was added, or None.
        """
        row, feature, _ = found
        exact = rows.double()  # a variance is what is left of squares and means, which may be much larger
        square = torch.linalg.vector_norm(exact, dim=1).square_().cpu().numpy()
        error = torch.linalg.vector_norm(rows - restored, dim=1, dtype=torch.float64).square_().cpu().numpy()
        if not np.isfinite(square.sum() + error.sum()):
            return int(np.flatnonzero(~np.isfinite(square + error))[0])
        number = len(self.SPLITS)
        self.n += np.bincount(split, minlength=number)
        self.error += np.bincount(split, weights=error, minlength=number)
        self.square += np.bincount(split, weights=square, minlength=number)
        members = torch.from_numpy((split == np.arange(number)[:, None]).astype(np.float64)).to(rows.device)
        self.total += (members @ exact).cpu().numpy()
        own = split.astype(np.int64)[row]
        self.nonzeros += np.bincount(own, minlength=number)
        own *= self.active.shape[1]
        own += feature
        self.active.reshape(-1)[own] = True
        return None

    def merge(self, other: Sums) -> None:
        """Add the sums over other rows."""
        for name in ("n", "nonzeros", "error", "square", "total"):
            getattr(self, name)[:] += getattr(other, name)
        self.active |= other.active

    def to_note(self) -> dict[str, Any]:
        """The sums as JSON that gives back the same bits."""
        reals = {name: _text(getattr(self, name)) for name in ("error", "square", "total")}
        counts = {name: getattr(self, name).tolist() for name in ("n", "nonzeros")}
        return {**counts, **reals, "active": _text(np.packbits(self.active))}

    @classmethod
    def from_note(cls, note: dict[str, Any], width: int, n_features: int) -> Sums:
        """The sums that `to_note` wrote."""
        splits = len(cls.SPLITS)
        error, square, total = (_array(note[name], np.float64) for name in ("error", "square", "total"))
        bits = np.unpackbits(_array(note["active"], np.uint8), count=splits * n_features)
        active = bits.reshape(splits, n_features).astype(bool)
        n, nonzeros = (np.array(note[name], dtype=np.int64) for name in ("n", "nonzeros"))
        return cls(n, nonzeros, error, square, total.reshape(splits, width), active)


@dataclass(frozen=True)
class Splits:
    """Which split each sample is in: `of` int8 by sample, the number in Sums.SPLITS or -1, and a digest of that."""

    of: Array
    digest: str

    @classmethod
    def read(cls, warehouse: Warehouse, samples: Published) -> Splits:
        """Those of a published samples table."""
        rows = frame(warehouse, samples, ["sample", "split"]).sort("sample")
        found = np.full(int(rows["sample"].max() or 0) + 1, -1, dtype=np.int8)  # type: ignore[arg-type]
        for number, split in enumerate(Sums.SPLITS):
            found[rows.filter(rows["split"] == split)["sample"].to_numpy()] = number
        return cls(found, split_digest(rows["sample"].to_numpy(), rows["split"].to_list()))


def stats_rows(parts: list[Sums], n_features: int) -> dict[str, list[Any]]:
    """Columns of table sae_stats from the sums of the files, in their order: one row a split, and one for all rows."""
    n, nonzeros, error, square, total = (
        np.sum([getattr(part, name) for part in parts], axis=0)
        for name in ("n", "nonzeros", "error", "square", "total")
    )
    active = np.any([part.active for part in parts], axis=0)
    rows = [
        _row(split, n[i], nonzeros[i], error[i], square[i], total[i], active[i]) for i, split in enumerate(Sums.SPLITS)
    ]
    rows.append(_row("all", n.sum(), nonzeros.sum(), error.sum(), square.sum(), total.sum(axis=0), active.any(axis=0)))
    return {name: [row[name] for row in rows] for name in rows[0]}


def _row(split: str, n: int, nonzeros: int, error: float, square: float, total: Array, active: Array) -> dict[str, Any]:
    n, n_features, n_dead = int(n), len(active), int((~active).sum())
    variance = float(square - total @ total / n) if n else 0.0
    # Rows that are all one have no variance, but for rounding.
    explained = float(1 - error / variance) if variance > 1e-12 * float(square) else None
    return {
        "split": split,
        "n": n,
        "explained_variance": explained,
        "mse": float(error / (n * len(total))) if n else None,
        "l0": float(nonzeros / n) if n else None,
        "n_features": n_features,
        "n_dead": n_dead,
        "dead_share": n_dead / n_features if n else None,
    }


def read_stats(warehouse: Warehouse, **wanted: Any) -> list[dict[str, Any]]:
    """The published rows of sae_stats whose path keys match, each with its unit, split by split."""
    found = []
    for published in warehouse.state().select("sae_stats", **wanted):
        unit = dict(published.partition.keys)["unit"]
        found += [{"unit": unit, **row} for row in frame(warehouse, published).to_dicts()]
    return found


def _text(values: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _array(text: str, dtype: Any) -> Array:
    return np.frombuffer(base64.b64decode(text), dtype=dtype).copy()
