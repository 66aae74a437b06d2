"""The train rows that concepts are learned from: which they are, which label they carry, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from superact.ingest.identity import digest
from superact.ingest.sources import frame, needed
from superact.store import Run, Warehouse

Array = np.ndarray[Any, Any]


@dataclass
class TrainRows:
    """The train rows of one unit: their keys in order, and the row numbers of the positives of every label."""

    sample: Array
    token: Array
    positives: dict[str, Array]

    def digests(self) -> dict[str, str]:
        """Digest of every label's positives, by sample and token."""
        return {label: digest(self.sample[rows], self.token[rows]) for label, rows in self.positives.items()}


def train_rows(warehouse: Warehouse, run: Run, unit: str, dataset: str, model: str) -> TrainRows:
    """Read which rows are train rows, in (sample, token) order, and which of them carry each label."""
    labels = _read(warehouse, run, "labels", ["label"], dataset=dataset)["label"].to_list()
    carried = _read(warehouse, run, "sample_labels", ["sample", "label"], dataset=dataset)
    samples = _read(warehouse, run, "samples", ["sample", "split"], dataset=dataset)
    train = samples.filter(pl.col("split") == "train").select("sample").sort("sample")
    if unit == "cls":
        embedded = run.state.select("embeddings", dataset=dataset, model=model, unit="cls")
        if embedded:
            keys = frame(warehouse, embedded[0], ["sample"])
        else:
            keys = _read(warehouse, run, "tokens", ["sample", "is_content"], dataset=dataset, model=model)
            keys = keys.filter("is_content")
        rows = train.join(keys, on="sample", how="semi").with_columns(token=pl.lit(-1, pl.Int32))
        held = carried.join(rows, on="sample")
    else:
        columns = ["sample", "token", "is_content"]
        tokens = _read(warehouse, run, "tokens", columns, dataset=dataset, model=model)
        rows = tokens.filter("is_content").select("sample", "token")
        rows = rows.join(train, on="sample", how="semi").sort("sample", "token")
        labelled = _read(warehouse, run, "token_labels", ["sample", "token", "label"], dataset=dataset, model=model)
        weak = carried.filter(~pl.col("label").is_in(labelled["label"].unique().implode()))
        held = pl.concat([labelled, weak.join(rows, on="sample").select("sample", "token", "label")])
    numbered = rows.with_row_index("number")
    found = held.join(numbered, on=["sample", "token"]).select("label", "number").sort("label", "number")
    positives = {label: np.empty(0, np.int64) for label in labels}
    for (label,), group in found.group_by("label", maintain_order=True):
        positives[str(label)] = group["number"].to_numpy().astype(np.int64)
    return TrainRows(rows["sample"].to_numpy(), rows["token"].to_numpy(), positives)


def _read(warehouse: Warehouse, run: Run, table: str, columns: list[str], **keys: str) -> pl.DataFrame:
    return frame(warehouse, needed(warehouse, run.state, "learn", table, **keys), columns)
