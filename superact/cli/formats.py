"""Rows as csv, json or parquet, written batch by batch, and as a table, Markdown or LaTeX, which need all rows at once."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from superact.cli.cells import jsonable, optional, shown
from superact.cli.options import Format
from superact.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_ROWS = 10_000
"""The most rows that a table, Markdown or LaTeX is made of: the widths of its columns depend on every row."""

_GROUP_ROWS, _GROUP_BYTES = 128 * 1024, 64 * 1024 * 1024
_WIDE = 1_000_000

Batches = Iterable["pa.RecordBatch"]


def write_rows(kind: Format, schema: pa.Schema, batches: Batches, sink: BinaryIO, terminal: bool = False) -> None:
    """Write rows to a binary file. Errors: BadInput where a text format is asked for too many rows."""
    schema, batches = _without_intervals(schema, batches)
    if kind is Format.csv:
        _write_csv(schema, batches, sink)
    elif kind is Format.json:
        _write_json(schema, batches, sink)
    elif kind is Format.parquet:
        _write_parquet(schema, batches, sink)
    else:
        rows = list(_texts(kind, schema, batches))
        headers, right = list(schema.names), [_is_number(field.type) for field in schema]
        if kind is Format.table:
            text = _table(headers, right, rows, terminal)
        else:
            text = tabulated(kind, headers, right, rows)
        sink.write(text.encode())


def _without_intervals(schema: pa.Schema, batches: Batches) -> tuple[pa.Schema, Batches]:
    import pyarrow as pa

    if not any(pa.types.is_interval(field.type) for field in schema):
        return schema, batches
    # Only a query yields intervals, so that what lists records need not import DuckDB.
    from superact.query.rows import readable

    return readable(schema.empty_table()).schema, map(readable, batches)


def _write_csv(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    import polars as pl
    import pyarrow as pa

    # An empty column name or a comma in one is quoted as any value is.
    header = pl.DataFrame({str(number): [name] for number, name in enumerate(schema.names)})
    sink.write(header.write_csv(include_header=False).encode())
    plain = [_is_plain(field.type) for field in schema]
    for batch in batches:
        columns = []
        for field, column, keep in zip(schema, batch.columns, plain, strict=True):
            if not keep:
                convert = optional(jsonable(field.type))
                values = (convert(value) for value in column.to_pylist())
                texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
                column = pa.array(texts, pa.string())
            columns.append(pl.Series(pl.from_arrow(column)))
        frame = pl.DataFrame([column.alias(str(number)) for number, column in enumerate(columns)])
        sink.write(frame.write_csv(include_header=False).encode())


def _write_json(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    names = _unique(schema.names)
    converts = [optional(jsonable(field.type)) for field in schema]
    first = True
    sink.write(b"[")
    for batch in batches:
        columns = [map(convert, column.to_pylist()) for convert, column in zip(converts, batch.columns, strict=True)]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
        text = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
        sink.write((("\n" if first else ",\n") + text).encode())
        first = False
    sink.write(b"]\n" if first else b"\n]\n")


def _write_parquet(schema: pa.Schema, batches: Batches, sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([field.with_name(name) for field, name in zip(schema, _unique(schema.names), strict=True)])
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        held: list[pa.RecordBatch] = []
        for batch in batches:
            held.append(pa.record_batch(batch.columns, schema=schema))
            if sum(b.num_rows for b in held) >= _GROUP_ROWS or sum(b.nbytes for b in held) >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held))


def _unique(names: list[str]) -> list[str]:
    """Names that occur twice (`SELECT a.label, b.label`) numbered, as keys of an object must differ."""
    found: list[str] = []
    for name in names:
        number, new = 1, name
        while new in found:
            new, number = f"{name}_{number}", number + 1
        found.append(new)
    return found


def _texts(kind: Format, schema: pa.Schema, batches: Batches) -> Iterator[list[str]]:
    import pyarrow as pa

    # Floats keep their type to be rounded; what has no short form is shown as JSON holds it.
    simple = [_is_number(field.type) or pa.types.is_temporal(field.type) for field in schema]
    converts = [
        optional(jsonable(f.type)) if not s else lambda value: value for f, s in zip(schema, simple, strict=True)
    ]
    count = 0
    for batch in batches:
        count += batch.num_rows
        if count > TEXT_ROWS:
            raise BadInput(
                what=f"There are more than {TEXT_ROWS} rows, too many for the format {kind.value}.",
                remedy="Use --format csv, json or parquet, or ask for fewer rows.",
            )
        columns = [map(convert, column.to_pylist()) for convert, column in zip(converts, batch.columns, strict=True)]
        for row in zip(*columns, strict=True):
            yield [shown(value) for value in row]


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    text = pa.types.is_string(kind) or pa.types.is_boolean(kind)
    return bool(text or _is_number(kind) or pa.types.is_temporal(kind))


def _table(headers: list[str], right: list[bool], rows: list[list[str]], terminal: bool) -> str:
    """A table that drops nothing: wrapped to a terminal where every word fits, else as wide as its longest values."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for header, is_right in zip(headers, right, strict=True):
        table.add_column(Text(header), justify="right" if is_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    plain = not terminal or "NO_COLOR" in os.environ
    buffer = io.StringIO()
    console = Console(
        file=buffer, force_terminal=not plain, color_system=None if plain else "standard", highlight=False
    )
    wide = console.options.update(width=_WIDE)
    if not terminal or Measurement.get(console, wide, table).minimum > _terminal_width():
        console.width = _WIDE
    else:
        console.width = _terminal_width()
    console.print(table, crop=False)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().rstrip("\n").split("\n"))


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns


def tabulated(kind: Format, headers: list[str], right: list[bool], rows: list[list[str]]) -> str:
    """Rows of text as Markdown or LaTeX (booktabs), escaped; `right` says which columns are numbers."""
    import tabulate

    if kind is Format.markdown:
        headers = [_markdown(header) for header in headers]
        rows = [[_markdown(cell) for cell in row] for row in rows]
    style = "github" if kind is Format.markdown else "latex_booktabs"
    align = ["right" if is_right else "left" for is_right in right]
    if not rows:
        # tabulate counts the columns of the first row; a blank one is taken out again.
        text = tabulate.tabulate([[""] * len(headers)], headers, tablefmt=style, disable_numparse=True, colalign=align)
        lines = text.split("\n")
        del lines[2 if kind is Format.markdown else 4]
        return "\n".join(lines) + "\n"
    options: dict[str, Any] = {"tablefmt": style, "disable_numparse": True, "colalign": align}
    return str(tabulate.tabulate(rows, headers, **options)) + "\n"


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
