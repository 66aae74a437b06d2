"""The small tables that describe a dataset and a model, written by import and extract alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from superact.ingest.identity import base, by_label, digest
from superact.schemas import tables
from superact.store import Run
from superact.store.identity import EXTENSIBLE, Identity
from superact.store.rows import from_columns, lists


def arrow(table: str, **columns: Any) -> pa.Table:
    """Rows of a table from columns by name."""
    return from_columns(tables()[table].arrow_schema(), **columns)


def frame_rows(table: str, frame: pl.DataFrame) -> pa.Table:
    """Rows of a table from a Polars frame; columns the frame lacks are NULL."""
    schema = tables()[table].arrow_schema()
    return arrow(table, **{field.name: frame[field.name].to_arrow() for field in schema if field.name in frame.columns})


def write_small(run: Run, table: str, identity: dict[str, Any], rows: pa.Table, **keys: str | int) -> None:
    """Write a table of one file, unless it is published or staged already."""
    staged = run.partition(table, identity, **keys)
    if not staged.current and 0 not in staged.done:
        staged.write(0, [rows])


def label_digests(frame: pl.DataFrame) -> dict[str, str]:
    """Digest of the positives of every label of a frame (sample[, token], label)."""
    keys = [name for name in ("sample", "token") if name in frame.columns]
    ordered = frame.sort([*keys, "label"])
    return {
        str(label): digest(*(group[key].to_numpy() for key in keys))
        for (label,), group in ordered.group_by("label", maintain_order=True)
    }


def write_labels(run: Run, step: str, dataset: str, labels: pl.DataFrame, sample_labels: pl.DataFrame) -> None:
    """Tables labels (label, source, evaluated) and sample_labels (sample, label) of a dataset."""
    labels = labels.sort("label")
    known = {name: digest(source, evaluated) for name, source, evaluated in labels.iter_rows()}
    with _other_labels_evaluated(run, dataset, by_label(known), labels):
        write_small(run, "labels", {**base(step), **by_label(known)}, frame_rows("labels", labels), dataset=dataset)
    positives = dict.fromkeys(known, "none") | label_digests(sample_labels)
    write_small(
        run,
        "sample_labels",
        {**base(step), **by_label(positives)},
        frame_rows("sample_labels", sample_labels.sort("sample", "label")),
        dataset=dataset,
    )


@contextmanager
def _other_labels_evaluated(run: Run, dataset: str, wanted: Identity, labels: pl.DataFrame) -> Iterator[None]:
    """Let table labels be replaced where only the choice of the evaluated labels is another: nothing was made from it but
    what eval computes, which it brings up to date by itself."""
    published = run.state.get("labels", dataset=dataset)
    before = run.replace
    if published is not None and not before:
        chosen = by_label({name: digest(source, not evaluated) for name, source, evaluated in labels.iter_rows()})
        found = {name: value for name, value in published.identity.items() if name.startswith(EXTENSIBLE)}
        same = all(value in (wanted.get(name), chosen.get(name)) for name, value in found.items())
        run.replace = same and any(value != wanted[name] for name, value in found.items())
    try:
        yield
    finally:
        run.replace = before


def write_token_labels(
    run: Run, step: str, tokens_hash: str, labels: list[str], token_labels: pl.DataFrame, **keys: str
) -> None:
    """Table token_labels (sample, token, label) of a dataset under a model."""
    positives = dict.fromkeys(labels, "none") | label_digests(token_labels)
    identity = {**base(step), "input:tokens": tokens_hash, **by_label(positives)}
    write_small(
        run, "token_labels", identity, frame_rows("token_labels", token_labels.sort("sample", "token", "label")), **keys
    )


def write_layer_stats(
    run: Run, identity: Mapping[str, Any], mean: np.ndarray[Any, Any], rms: float, n: int, **keys: str | int
) -> None:
    """Table layer_stats: mean float32 [d], rms, and the number of train content rows behind them."""
    staged = run.partition("layer_stats", dict(identity), **keys)
    staged.meta["width"] = len(mean)
    if not staged.current and 0 not in staged.done:
        staged.write(0, [arrow("layer_stats", mean=lists(mean[None, :]), rms=[rms], n=[n])])
