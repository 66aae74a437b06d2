"""The tables of one partition, as the metric queries name them, on one DuckDB connection.

A metric query knows nothing of path keys: `activations`, `concepts`, `sample_scores`, `thresholds`, `detection` and `selection`
are those of the partition at hand, `samples`, `labels`, `sample_labels`, `tokens` and `token_labels` those of its dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from superact.query.session import connect, quoted, run_sql, sql_file, used_parameters
from superact.schemas import tables

Name = TypeVar("Name", str, int)

BATCH_ROWS = 4_000_000
PIECE_ROWS = 250_000
"""Rows of a metric table in one file."""
MEMORY_LIMIT = "192MB"
"""What DuckDB may hold in eval; Python, Arrow and the batch in flight come on top."""


def query(connection: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> pa.Table:
    """Run one of this package's `.sql` files."""
    return run_sql(connection, sql_file("superact.metrics", name), **parameters)


def bind(connection: duckdb.DuckDBPyConnection, table: str, paths: Iterable[Path | str]) -> None:
    """Make `table` a view of these files, typed and empty where there are none."""
    stored = tables()[table].stored
    listed = ", ".join(quoted(str(path)) for path in paths)
    if listed:
        columns = ", ".join(f'"{column.name}"' for column in stored)
        select = f"SELECT {columns} FROM read_parquet([{listed}], hive_partitioning = false)"
    else:
        select = "SELECT " + ", ".join(f'NULL::{c.sql_type} AS "{c.name}"' for c in stored) + " WHERE false"
    view(connection, table, select)


def view(connection: duckdb.DuckDBPyConnection, table: str, select: str) -> None:
    """Make `table` a view: its rows are computed where they are read."""
    _drop(connection, table)
    connection.execute(f"CREATE TEMP VIEW {table} AS {select}")


def hold(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[pa.Table] = ()) -> None:
    """Make `table` a temporary table of these rows, in the columns of its schema that the rows have."""
    stored = tables()[table].stored
    _drop(connection, table)
    columns = ", ".join(f'"{column.name}" {column.sql_type}' for column in stored)
    connection.execute(f"CREATE TEMP TABLE {table} ({columns})")
    for batch in rows:
        add(connection, table, batch)


def add(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Insert rows into a held table by column name."""
    connection.register("incoming_rows", rows)
    connection.execute(f"INSERT INTO {table} BY NAME FROM incoming_rows")
    connection.unregister("incoming_rows")


def hold_query(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Make `table` a temporary table of a query's rows, whatever its columns."""
    _drop(connection, table)
    connection.register("incoming_rows", rows)
    connection.execute(f"CREATE TEMP TABLE {table} AS FROM incoming_rows")
    connection.unregister("incoming_rows")


def hold_sql(connection: duckdb.DuckDBPyConnection, table: str, name: str, **parameters: Any) -> None:
    """Make `table` a temporary table of what one of the `.sql` files yields; the rows never leave DuckDB."""
    _drop(connection, table)
    text = sql_file("superact.metrics", name)
    connection.execute(f"CREATE TEMP TABLE {table} AS FROM (\n{text})", used_parameters(text, parameters))


def add_sql(connection: duckdb.DuckDBPyConnection, table: str, name: str, **parameters: Any) -> None:
    """Insert what one of the `.sql` files yields into a held table by column name."""
    text = sql_file("superact.metrics", name)
    connection.execute(f"INSERT INTO {table} BY NAME FROM (\n{text})", used_parameters(text, parameters))


def _drop(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    for kind, name in connection.execute(
        "SELECT 'VIEW', view_name FROM duckdb_views() WHERE view_name = $1 AND NOT internal "
        "UNION ALL SELECT 'TABLE', table_name FROM duckdb_tables() WHERE table_name = $1",
        [table],
    ).fetchall():
        connection.execute(f"DROP {kind} {name}")


def evaluation_connection(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """The connection eval runs on: memory bounded, spilling into the cache."""
    connection = connect(MEMORY_LIMIT, threads)
    # Each batch reads its own row groups once: cached file blocks would only fill the memory up to its limit.
    connection.execute("SET enable_external_file_cache = false")
    return connection


def pieces(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[pa.Table]:
    """The rows of a held table in the order they came, at most PIECE_ROWS at a time; one empty piece when there is none."""
    ((n,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    for start in range(0, max(n, 1), PIECE_ROWS):
        where = f"rowid >= {start} AND rowid < {start + PIECE_ROWS}"
        yield connection.sql(f"SELECT * FROM {table} WHERE {where} ORDER BY rowid").to_arrow_table()


def batches(concepts: Sequence[str], rows_each: int, batch_rows: int = BATCH_ROWS) -> list[tuple[str, str]]:
    """Cut concepts, in name order, into (first, last) ranges of about `batch_rows` activations; at least one concept each.

    Every concept of a partition has the same number of rows, `rows_each`.
    """
    step = max(1, batch_rows // max(rows_each, 1))
    return [(concepts[i], concepts[min(i + step, len(concepts)) - 1]) for i in range(0, len(concepts), step)]


def counted_batches(
    names: Sequence[Name], rows: Sequence[int], batch_rows: int = BATCH_ROWS
) -> list[tuple[Name, Name]]:
    """The same where names have different numbers of rows: ranges of at most `batch_rows`, or of one name with more."""
    found: list[tuple[Name, Name]] = []
    held = 0
    for name, own in zip(names, rows, strict=True):
        if found and held + own <= batch_rows:
            found[-1] = (found[-1][0], name)
            held += own
        else:
            found.append((name, name))
            held = own
    return found
