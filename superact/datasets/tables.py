"""Reading the CSV files of a dataset: everything as text, so that what is wrong can be shown as it was written."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from superact.datasets.base import row_name
from superact.errors import BadInput, BadTable


def read_table(path: Path) -> pl.DataFrame:
    """Return a CSV file with a header line as String columns; blank lines at its end are dropped.

    Raises BadInput for a file that is missing, has no rows or is not well-formed UTF-8 CSV, and for a header with
    unnamed or repeated columns.
    """
    if not path.is_file():
        raise BadInput(what=f"{path} does not exist.", remedy="Put the file there, or give another dataset folder.")
    try:
        header = _header(path)
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, csv.Error) as error:
        what = f"{path} is not a UTF-8 CSV file with a header line: {str(error).strip().splitlines()[0]}."
        raise BadInput(what=what, remedy="Correct the file.") from error
    _check_header(path, header)
    if len(header) == table.width:
        # Polars leaves the doubled quotation marks of a quoted column name as they are.
        table.columns = header
    filled = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    if not len(filled):
        raise BadInput(what=f"{path} has a header line and no rows.", remedy="Add a row for each sample.")
    return table.head(int(filled[-1]) + 1)


def positives(table: pl.DataFrame, path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Return the (row Int32, label String) pairs whose value is 1, sorted by row, then label.

    `columns` are the label columns of `table`, which was read from `path`. Raises BadTable for a value other than
    0 or 1.
    """
    parts = []
    for column in columns:
        values = table[column]
        wrong = ~values.is_in(["0", "1"]).fill_null(False)
        if wrong.any():
            row = int(wrong.arg_true()[0])
            raise BadTable(
                path=path,
                row=row_name(row),
                column=column,
                problem=f"the value is {values[row] or ''!r}, and a label is 0 or 1",
                remedy="Correct the value; a column that is no label must be removed.",
            )
        rows = (values == "1").arg_true().cast(pl.Int32)
        parts.append(pl.DataFrame({"row": rows, "label": pl.Series([column] * len(rows), dtype=pl.String)}))
    empty = pl.DataFrame(schema={"row": pl.Int32, "label": pl.String})
    return pl.concat([empty, *parts]).sort("row", "label")


def columns_besides(table: pl.DataFrame, path: Path, others: Collection[str]) -> list[str]:
    """Return the columns of `table` that are not among `others`. Raises BadInput when there are none."""
    labels = [column for column in table.columns if column not in others]
    if not labels:
        raise BadInput(what=f"{path} has no label columns.", remedy="Add a column of 0 and 1 for each label.")
    return labels


def integers(table: pl.DataFrame, path: Path, column: str) -> pl.Series:
    """Return a column of whole numbers as Int64. Raises BadTable naming the first value that is none."""
    values = table[column].cast(pl.Int64, strict=False)
    if values.null_count():
        row = int(values.is_null().arg_true()[0])
        raise BadTable(
            path=path,
            row=row_name(row),
            column=column,
            problem=f"{table[column][row] or ''!r} is not a whole number",
            remedy="Correct the value.",
        )
    return values


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def _check_header(path: Path, header: list[str]) -> None:
    for index, column in enumerate(header):
        problem = None
        if not column.strip():
            problem = "this column has no name"
        elif column in header[:index]:
            problem = "the name occurs twice"
        if problem:
            raise BadTable(
                path=path,
                row=f"header (column {index + 1})",
                column=column,
                problem=problem,
                remedy="Give every column a name of its own (pandas: to_csv(index=False)).",
            )
