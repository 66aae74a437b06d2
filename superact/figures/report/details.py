"""The samples of a report: their texts and labels, and where their tokens stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from superact.figures.report.plan import Shown
from superact.figures.report.scope import ABSENT_IS_ZERO, Dataset, Model, read

if TYPE_CHECKING:
    import polars as pl

    from superact.query import Session
    from superact.store import State

Array = np.ndarray[Any, Any]


def span(samples: Sequence[int]) -> dict[str, Any]:
    """What queries about a few samples take."""
    return {"samples": list(samples), "first": min(samples, default=0), "last": max(samples, default=-1)}


def samples_file(session: Session, dataset: Dataset, samples: Sequence[int], carried: dict[int, list[str]]) -> Any:
    """What the page needs to know of the chosen samples of a dataset, in order: number, text or size, and labels by index."""
    index = {label: number for number, label in enumerate(dataset.labels)}
    facts = read(session, "texts", dataset=dataset.name, samples=list(samples)).to_dicts()
    return {
        "samples": [row["sample"] for row in facts],
        "texts": [row["text"] for row in facts] if dataset.modality == "text" else None,
        "sizes": None if dataset.modality == "text" else [[row["width"], row["height"]] for row in facts],
        "labels": [[index[label] for label in carried[row["sample"]]] for row in facts],
    }


@dataclass(frozen=True)
class Places:
    """The content tokens of the chosen samples under one model: `keys` int64 [n], sample * 2^32 + token, ascending."""

    samples: list[int]
    keys: Array
    counts: Array
    grid: tuple[int, int] | None
    file: Any


def places_of(session: Session, dataset: Dataset, model: Model, samples: Sequence[int]) -> Places:
    """Where the content tokens of the chosen samples stand, and which of them carry which label, by position in their sample.

    A text token has its first and last character (counted in code points), or its text where an import named no characters; an
    image token its row and column, which are left out where a sample has its whole grid in order.
    """
    rows = read(session, "places", dataset=dataset.name, model=model.name, **span(samples))
    keys = keys_of(rows)
    number = {sample: place for place, sample in enumerate(samples)}
    counts = np.bincount([number[sample] for sample in rows["sample"].to_list()], minlength=len(samples))
    grid = None
    if rows.height and rows["row"].null_count() == 0:
        grid = int(rows["row"].max()) + 1, int(rows["col"].max()) + 1  # type: ignore[arg-type]
    groups = {key[0]: group for key, group in rows.group_by("sample", maintain_order=True)}
    empty = rows.clear()
    tokens = [_tokens(groups.get(sample, empty), grid) for sample in samples]
    truth = _truth(session, dataset, model, samples, keys)
    file = {"grid": grid, "counts": counts.tolist(), "tokens": tokens, "truth": truth}
    return Places(list(samples), keys, counts, grid, file)


def keys_of(rows: pl.DataFrame) -> Array:
    """One integer a row, ascending in (sample, token)."""
    import polars as pl

    key = (pl.col("sample").cast(pl.Int64) * 2**32 + pl.col("token")).alias("key")
    return rows.select(key)["key"].to_numpy()


def _tokens(rows: pl.DataFrame, grid: tuple[int, int] | None) -> Any:
    """One sample's tokens: nothing to say, rows and columns, characters, or texts; and numbers where not 0 to n - 1."""
    numbers = rows["token"].to_list()
    found: dict[str, Any] = {} if numbers == list(range(len(numbers))) else {"numbers": numbers}
    if grid is not None:
        at = rows["row"].to_list(), rows["col"].to_list()
        if at != tuple(map(list, zip(*((i // grid[1], i % grid[1]) for i in range(grid[0] * grid[1])), strict=True))):
            found |= {"rows": at[0], "columns": at[1]}
    elif rows["char_start"].null_count() == 0:
        found |= {"starts": rows["char_start"].to_list(), "ends": rows["char_end"].to_list()}
    else:
        found["words"] = [text if text is not None else f"#{n}" for text, n in rows.select("text", "token").iter_rows()]
    return found


def _truth(session: Session, dataset: Dataset, model: Model, samples: Sequence[int], keys: Array) -> Any:
    """By sample the list of [label index, positions among its content tokens]."""
    index = {label: number for number, label in enumerate(dataset.labels)}
    rows = read(session, "truth", dataset=dataset.name, model=model.name, **span(samples))
    own = keys_of(rows)
    at = np.searchsorted(keys, own)
    starts = np.searchsorted(keys, np.asarray(samples, dtype=np.int64) << 32)
    first = dict(zip(samples, starts.tolist(), strict=True))
    found: dict[int, dict[int, list[int]]] = {sample: {} for sample in samples}
    for place, key, (sample, label) in zip(
        at.tolist(), own.tolist(), rows.select("sample", "label").iter_rows(), strict=True
    ):
        # A special token may carry a label; nothing scores it.
        if place < len(keys) and keys[place] == key:
            found[sample].setdefault(index[label], []).append(place - first[sample])
    return [[[label, positions] for label, positions in found[sample].items()] for sample in samples]


def shown_of(state: State, dataset: Dataset, model: Model, places: Places) -> Shown:
    """What the plan needs to know of the chosen samples under one model."""
    stored = {}
    for one in model.sets:
        for layer in one.layers:
            if (n := _rows_of_one(state, dataset, model, one.name, layer, one.measure, places.samples)) is not None:
                stored[one.name, layer] = n
    return Shown(len(places.samples), len(places.keys), stored)


def _rows_of_one(
    state: State, dataset: Dataset, model: Model, name: str, layer: int, measure: str, samples: Sequence[int]
) -> int | None:
    """Rows that are read for one concept, at most: those of it in the files that have any of the samples' range."""
    table = "sae_activations" if measure == ABSENT_IS_ZERO else "activations"
    keys: dict[str, Any] = {
        "dataset": dataset.name,
        "model": model.name,
        "layer": layer,
        "concept_set": name,
        "unit": "token",
    }
    published = state.get(table, **keys)
    if published is None:
        return None
    first, last = min(samples, default=0), max(samples, default=-1)
    rows = 0
    for file in published.files:
        low, high = file.ranges.get("sample", [first, last])
        if low is None or (low <= last and high >= first):
            rows += file.rows
    concepts = sum(p.rows for p in state.select("concepts", **keys)) if table == "activations" else 1
    return rows // max(1, concepts)
