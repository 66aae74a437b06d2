"""Where rows go: stdout, or a file that appears complete or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from superact.cli.options import Format
from superact.cli.places import check_out
from superact.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

    from superact.query.rows import Rows

_SUFFIXES = {
    ".csv": Format.csv,
    ".json": Format.json,
    ".parquet": Format.parquet,
    ".md": Format.markdown,
    ".tex": Format.latex,
}


def print_rows(rows: Rows, kind: Format | None, out: Path | None) -> None:
    """Print the rows of a query. Errors: BadInput for an --out that cannot be, those of the query."""
    with rows:
        _print(rows.schema, rows, kind, out)


def print_records(
    records: Sequence[Mapping[str, Any]], schema: Mapping[str, str], kind: Format | None, out: Path | None
) -> None:
    """Print a few rows that a library function returned; `schema` gives each column its DuckDB type."""
    import pyarrow as pa

    from superact.schemas import arrow_type

    arrow = pa.schema([(name, arrow_type(sql_type)) for name, sql_type in schema.items()])
    table = pa.Table.from_pylist([{name: record[name] for name in schema} for record in records], schema=arrow)
    _print(arrow, table.to_batches(), kind, out)


def print_text(text: str, out: Path | None) -> None:
    """Print a text that was laid out already."""
    if out is not None:
        _write_file(out, lambda sink: sink.write(text.encode()))
    else:
        _stdout().write(text.encode())


def format_of(kind: Format | None, out: Path | None) -> Format:
    """The format that was asked for, else what the suffix of the file says, else a table."""
    return kind or (_SUFFIXES.get(out.suffix.lower(), Format.table) if out else Format.table)


def _print(schema: pa.Schema, batches: Iterable[pa.RecordBatch], kind: Format | None, out: Path | None) -> None:
    from superact.cli.formats import write_rows

    kind = format_of(kind, out)
    if out is not None:
        _write_file(out, lambda sink: write_rows(kind, schema, batches, sink))
        return
    terminal = sys.stdout.isatty()
    if terminal and kind is Format.parquet:
        raise BadInput(what="Parquet is no text for a terminal.", remedy="Give --out FILE, or send it into a pipe.")
    write_rows(kind, schema, batches, _stdout(), terminal)


def _stdout() -> BinaryIO:
    sys.stdout.flush()
    return sys.stdout.buffer


def _write_file(out: Path, write: Callable[[BinaryIO], object]) -> None:
    from superact.store.outward import whole_file

    check_out(out)
    with whole_file(out, f"--out {out}") as sink:
        write(sink)
