"""The schema files: all of them parse, say what they must, and their Arrow schemas survive a file."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import superact.schemas
from superact.schemas import arrow_type, parse, tables
from superact.store.parquet import write_file

FILES = sorted(Path(superact.schemas.__file__).parent.glob("*.sql"))
STORED = [table for table in tables().values() if table.room != "manifest"]


def test_every_file_is_a_table_of_its_name():
    assert sorted(tables()) == [file.stem for file in FILES]
    assert {table.room for table in tables().values()} == {"tables", "metrics", "manifest"}


@pytest.mark.parametrize("table", tables().values(), ids=lambda t: t.name)
def test_every_table_says_what_it_is(table):
    names = [column.name for column in table.columns]
    assert table.description and len(set(names)) == len(names)
    assert all(column.comment.strip() for column in table.columns)
    assert set(table.path) <= set(table.grain) <= set(names)
    assert names[: len(table.path)] == list(table.path)
    assert all(not column.nullable for column in table.columns if column.name in table.path)
    assert set(table.key_types.values()) <= {"VARCHAR", "INTEGER"}


@pytest.mark.parametrize("table", tables().values(), ids=lambda t: t.name)
def test_duckdb_reads_a_file_as_the_loader_does(table):
    with duckdb.connect() as connection:
        connection.execute(table.ddl)
        found = connection.execute(
            "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = $1 ORDER BY column_index",
            [table.name],
        ).fetchall()
    assert found == [(c.name, c.sql_type, c.nullable) for c in table.columns]


@pytest.mark.parametrize("table", STORED, ids=lambda t: t.name)
def test_every_table_round_trips(table, tmp_path):
    schema = table.arrow_schema()
    rows = pa.table({field.name: _values(field) for field in schema}, schema=schema)
    record = write_file(tmp_path / "a.parquet", table, [rows])
    read = pq.read_table(tmp_path / "a.parquet", partitioning=None)
    assert record.rows == read.num_rows == 3
    assert read.schema.names == schema.names
    assert read.cast(schema).equals(rows)


def _values(field: pa.Field) -> pa.Array:
    if pa.types.is_list(field.type):
        return pa.array([[1.5, -2.0], [], [3.25]], field.type)
    kinds = {pa.string(): ["a", "b\n", "é"], pa.bool_(): [True, False, True], pa.timestamp("us"): [0, 1, 2]}
    values = kinds.get(field.type, np.array([1, 2, 3]))
    if field.nullable:
        values = [values[0], None, values[2]]
    return pa.array(values, field.type)


def test_nullable_columns_are_nullable_in_the_file(tmp_path):
    table = tables()["samples"]
    write_file(tmp_path / "a.parquet", table, [])
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert [field.nullable for field in schema] == [column.nullable for column in table.stored]


@pytest.mark.parametrize("line", ["    sample INTEGER NOT NULL,", "    sample INTEGERS2, -- x", "  anything at all"])
def test_a_line_that_is_no_column_is_an_error(line):
    text = f"-- t: a table\n-- room: tables\n-- path: none\n-- grain: a\nCREATE TABLE t (\n{line}\n);"
    with pytest.raises(ValueError, match="not a column of a schema file"):
        parse(text)


@pytest.mark.parametrize("lost", ["-- room: tables\n", "-- path: none\n", "-- grain: a\n"])
def test_a_header_line_that_is_missing_is_an_error(lost):
    text = "-- t: a table\n-- room: tables\n-- path: none\n-- grain: a\nCREATE TABLE t (\n    a INTEGER, -- x\n);"
    assert parse(text).grain == ("a",)
    with pytest.raises(KeyError):
        parse(text.replace(lost, ""))


def test_arrow_types():
    assert arrow_type("FLOAT[]") == pa.list_(pa.field("element", pa.float32(), nullable=False))
    assert arrow_type("VARCHAR") == pa.string()
    with pytest.raises(KeyError):
        arrow_type("HUGEINT")
