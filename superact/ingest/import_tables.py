"""The tables of an import folder: read as CSV or Parquet, every column checked, every complaint naming file, row and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from superact.datasets.base import row_name
from superact.errors import BadInput, BadTable
from superact.schemas import tables

REQUIRED: dict[str, dict[str, Any]] = {
    "samples": {"sample": pl.Int32, "split": pl.String, "modality": pl.String},
    "sample_labels": {"sample": pl.Int32, "label": pl.String},
    "tokens": {"sample": pl.Int32, "token": pl.Int32, "is_content": pl.Boolean},
    "token_labels": {"sample": pl.Int32, "token": pl.Int32, "label": pl.String},
    "embeddings_token_index": {"row": pl.Int64, "sample": pl.Int32, "token": pl.Int32},
    "embeddings_cls_index": {"row": pl.Int64, "sample": pl.Int32, "token": pl.Int32},
    "concepts": {"layer": pl.Int32, "method": pl.String, "unit": pl.String, "concept": pl.String},
}
"""The columns that each table must have, none of them empty."""

_GRAINS = {
    "samples": [["sample"]],
    "sample_labels": [["sample", "label"]],
    "tokens": [["sample", "token"]],
    "token_labels": [["sample", "token", "label"]],
    "embeddings_token_index": [["row"], ["sample", "token"]],
    "embeddings_cls_index": [["row"], ["sample"]],
}
_POLARS = {
    "VARCHAR": pl.String,
    "INTEGER": pl.Int32,
    "BIGINT": pl.Int64,
    "FLOAT": pl.Float32,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
}
_WHAT = {pl.Int32: "a whole number", pl.Int64: "a whole number", pl.Boolean: "0 or 1", pl.String: "text"}
_TRUE, _FALSE = ["1", "true"], ["0", "false"]


def find_table(folder: Path, name: str) -> Path | None:
    """The file that holds a table, or None. Errors: BadInput where there are two."""
    found = [path for path in (folder / f"{name}.csv", folder / f"{name}.parquet") if path.exists()]
    if len(found) > 1:
        raise BadInput(what=f"{folder} has both {name}.csv and {name}.parquet.", remedy="Remove one of them.")
    return found[0] if found else None


def read_table(folder: Path, name: str) -> pl.DataFrame | None:
    """A table of the folder in its types, or None; extra columns are kept as they are.

    Errors: BadInput for a file that cannot be read or lacks a column, BadTable for a value that is empty, occurs twice or is
    not of its column's type.
    """
    path = find_table(folder, name)
    if path is None:
        return None
    frame = read_file(path)
    required = REQUIRED[name]
    if missing := [column for column in required if column not in frame.columns]:
        raise BadInput(what=f"{path} has no column {missing[0]!r}.", remedy=f"It needs {', '.join(required)}.")
    optional = (
        {c.name: _POLARS[c.sql_type] for c in tables()[name].stored if c.sql_type in _POLARS}
        if name in tables()
        else {}
    )
    for column, kind in {**optional, **required}.items():
        if column in frame.columns:
            frame = frame.with_columns(typed(path, frame[column], kind, required=column in required))
    for grain in _GRAINS.get(name, []):
        check_unique(path, frame, grain)
    return frame


def read_file(path: Path) -> pl.DataFrame:
    """A CSV (every column as text) or Parquet file. Errors: BadInput."""
    try:
        return pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(what=f"{path} cannot be read: {reason}.", remedy="Correct the file.") from error


def typed(path: Path, values: pl.Series, kind: Any, *, required: bool) -> pl.Series:
    """A column in its type. Errors: BadTable for the first value that is none of it, or empty where one is required."""
    column = values.name
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if kind == pl.Boolean and values.dtype != pl.Boolean:
        text = values.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
        known = text.is_in(_TRUE) | text.is_in(_FALSE)
        result = pl.select(pl.when(known).then(text.is_in(_TRUE))).to_series().alias(column)
    else:
        source = values.str.strip_chars() if kind != pl.String and values.dtype == pl.String else values
        nested = source.dtype.is_nested()
        result = pl.Series(column, [None] * len(source), kind) if nested else source.cast(kind, strict=False)
        if kind in (pl.Int32, pl.Int64) and source.dtype.is_float():
            result = pl.select(pl.when(result == source).then(result)).to_series().alias(column)
    if (wrong := (values.is_not_null() & result.is_null()).arg_true().to_list()) or (
        required and (wrong := result.is_null().arg_true().to_list())
    ):
        value = values[wrong[0]]
        problem = "is empty" if value is None else f"{value!r} is not {_WHAT.get(kind, 'a number')}"
        raise bad_row(path, wrong[0], column, problem, "Correct it." if value is not None else "Fill it in.")
    return result


def check_unique(path: Path, frame: pl.DataFrame, grain: list[str]) -> None:
    """Raise BadTable for the first row whose values of `grain` stood in a row before."""
    if repeated := frame.select(~pl.struct(grain).is_first_distinct()).to_series().arg_true().to_list():
        row = repeated[0]
        value = ", ".join(map(str, frame.select(grain).row(row)))
        raise bad_row(path, row, "+".join(grain), f"{value} occurs twice", "Remove one.")


def check_references(path: Path, frame: pl.DataFrame, target: pl.DataFrame, keys: list[str], to: str) -> None:
    """Raise BadTable for the first row whose keys are not in `target`, the table called `to`."""
    missing = frame.with_row_index("line of the file").join(target, on=keys, how="anti", maintain_order="left")
    if not missing.is_empty():
        value = ", ".join(f"{key} {missing[key][0]}" for key in keys)
        remedy = f"Add it to {to}, or remove this row."
        raise bad_row(path, missing["line of the file"][0], "+".join(keys), f"{value} is not in {to}", remedy)


def check_among(path: Path, values: pl.Series, allowed: tuple[str, ...], what: str) -> None:
    """Raise BadTable for the first value that is not allowed."""
    wrong = (~values.is_in(allowed)).arg_true().to_list()
    if wrong:
        problem = f"{values[wrong[0]]!r} is not {what}"
        raise bad_row(
            path, wrong[0], values.name, problem, f"Use {' or '.join([', '.join(allowed[:-1]), allowed[-1]])}."
        )


def check_not_negative(path: Path, values: pl.Series) -> None:
    """Raise BadTable for the first negative number."""
    wrong = (values < 0).arg_true().to_list()
    if wrong:
        raise bad_row(path, wrong[0], values.name, f"{values[wrong[0]]} is negative", "Count from 0.")


def bad_row(path: Path, row: int, column: str, problem: str, remedy: str) -> BadTable:
    """The error for one value; rows count from 0 after the header, which a CSV file's line says, too."""
    named = row_name(row) if path.suffix == ".csv" else str(row)
    return BadTable(path=path, row=named, column=column, problem=problem, remedy=remedy)
