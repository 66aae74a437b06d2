"""The tables of the warehouse, read from the `.sql` files of this folder.

Each file declares one table: a header (`-- name: what it is`, `-- room:`, `-- path:`, `-- grain:`) and a `CREATE TABLE`
with one commented column a line. They are the only place where column names and types are written down; Arrow schemas,
empty views and the documentation are derived from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Version of the schemas and of the manifest; raised when an older superact could no longer read the warehouse."""

_COLUMN = re.compile(
    r'^\s+"?(?P<name>\w+)"?\s+(?P<type>[A-Z]+(?:\[\])?)(?P<required> NOT NULL)?\s*,?\s*-- (?P<comment>.+)$'
)


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type, whether NULL may stand in it, and what it means."""

    name: str
    sql_type: str
    nullable: bool
    comment: str


@dataclass(frozen=True)
class Table:
    """One table: where it lives (`tables`, `metrics` or `manifest`), the keys in its path, its grain and columns."""

    name: str
    description: str
    room: str
    path: tuple[str, ...]
    grain: tuple[str, ...]
    columns: tuple[Column, ...]
    ddl: str

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns inside the files: all but the path keys."""
        return tuple(column for column in self.columns if column.name not in self.path)

    @property
    def key_types(self) -> dict[str, str]:
        """DuckDB type of every path key, in path order."""
        types = {column.name: column.sql_type for column in self.columns}
        return {key: types[key] for key in self.path}

    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the stored columns, as they are written to Parquet."""
        import pyarrow as pa

        return pa.schema([pa.field(c.name, arrow_type(c.sql_type), nullable=c.nullable) for c in self.stored])


def arrow_type(sql_type: str) -> pa.DataType:
    """The Arrow type that a DuckDB type of a schema file is stored as."""
    import pyarrow as pa

    if sql_type.endswith("[]"):
        return pa.list_(pa.field("element", arrow_type(sql_type[:-2]), nullable=False))
    return {
        "VARCHAR": pa.string(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": pa.timestamp("us"),
    }[sql_type]


def _names(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


def parse(text: str) -> Table:
    """Read one schema file; a line that fits neither header nor column is an error, so that no column is lost."""
    header: dict[str, str] = {}
    columns = []
    for line in text.splitlines():
        if line.startswith("--"):
            key, _, value = line[2:].strip().partition(": ")
            header[key] = value
        elif match := _COLUMN.match(line):
            columns.append(Column(match["name"], match["type"], match["required"] is None, match["comment"]))
        elif line and not line.startswith(("CREATE TABLE", ");")):
            raise ValueError(f"not a column of a schema file: {line!r}")
    name, description = next(iter(header.items()))
    return Table(
        name=name,
        description=description,
        room=header["room"],
        path=_names(header["path"]),
        grain=_names(header["grain"]),
        columns=tuple(columns),
        ddl=text,
    )


@cache
def tables() -> dict[str, Table]:
    """Every table of the warehouse by name, in name order."""
    files = sorted(Path(__file__).parent.glob("*.sql"))
    return {table.name: table for table in (parse(file.read_text(encoding="utf-8")) for file in files)}
