"""One file to write, and the rows that its content is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superact.query import sql_file

if TYPE_CHECKING:
    import polars as pl

    from superact.query import Session

METRIC_COLUMNS = (
    "concept",
    "precision",
    "recall",
    "accuracy",
    "f1",
    "fpr",
    "tpr",
    "tnr",
    "fnr",
    "tp",
    "tn",
    "fp",
    "fn",
)
"""The columns of every published table of detection metrics, in their order."""


@dataclass(frozen=True)
class PublishedFile:
    """A file below the folder: `.csv` from a Polars frame; `.pt` from a dictionary, or from a frame (a pandas one, pickled).

    Dictionaries hold numbers, text, tuples and lists, and numpy arrays, which become tensors.
    """

    path: str
    content: pl.DataFrame | dict[Any, Any]


def fetch(session: Session, name: str, parameters: Mapping[str, str | int]) -> pl.DataFrame:
    """All rows of one of this room's queries, whose parameters are exactly these. Errors: those of the session."""
    import polars as pl
    import pyarrow as pa

    text = sql_file("superact.published", name)
    with session.stream_own(text, dict(parameters) or None) as rows:
        table = pa.Table.from_batches(list(rows), rows.schema)
    return pl.DataFrame(pl.from_arrow(table))


def grid(session: Session) -> list[float]:
    """The deltas, ascending: one published file each."""
    with session.stream_own("SELECT unnest(deltas()) AS delta", None) as rows:
        return [value for batch in rows for value in batch.column(0).to_pylist()]


def frame_files(stem: str, frame: pl.DataFrame) -> list[PublishedFile]:
    """A published pickle of a pandas frame: the same rows as CSV, and as that pickle."""
    return [PublishedFile(f"{stem}.csv", frame), PublishedFile(f"{stem}.pt", frame)]
