"""The rows of a published metadata.csv, for builds that take exactly its images."""

from __future__ import annotations

from pathlib import Path

from superact.datasets.tables import read_table
from superact.errors import BadInput


def published_rows(path: Path, column: str, split: str) -> list[tuple[str, str]]:
    """Return (path, split) of every row of a metadata.csv. Raises BadInput for a table without them."""
    table = read_table(path)
    for name in (column, split):
        if name not in table.columns:
            raise BadInput(what=f"{path} has no column {name!r}.", remedy="Name a published metadata.csv.")
    if table[column].null_count() or table[split].null_count():
        raise BadInput(what=f"{path} has a row without {column} or {split}.", remedy="Name a published metadata.csv.")
    return list(zip(table[column].to_list(), table[split].to_list(), strict=True))
