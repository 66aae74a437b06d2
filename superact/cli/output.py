"""Where rows go: stdout, or a file that appears complete or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from superact.cli.options import Format
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


def _print(schema: pa.Schema, batches: Iterable[pa.RecordBatch], kind: Format | None, out: Path | None) -> None:
    from superact.cli.formats import write_rows

    if kind is None:
        kind = _SUFFIXES.get(out.suffix.lower(), Format.table) if out else Format.table
    if out is not None:
        _write_file(out, lambda sink: write_rows(kind, schema, batches, sink))
        return
    terminal = sys.stdout.isatty()
    if terminal and kind is Format.parquet:
        raise BadInput(what="Parquet is no text for a terminal.", remedy="Give --out FILE, or send it into a pipe.")
    write_rows(kind, schema, batches, _stdout(), terminal)


def check_out(out: Path) -> None:
    """Refuse a file inside a warehouse's own folders, where it would replace or stand among published files.

    A folder with a `manifest/` in it is a warehouse. Errors: BadInput.
    """
    from superact.store.layout import MANIFEST, ROOMS, STAGING

    # As the system follows it, where a link of that name itself would be replaced, and as it is typed: a room may be a link.
    spellings = (os.path.realpath(out), Path(os.path.realpath(out.parent), out.name), os.path.normpath(out.absolute()))
    for folder in (folder for spelling in spellings for folder in Path(spelling).parents):
        root = folder.parent
        if not (root / MANIFEST).is_dir():
            continue
        for name in (*ROOMS, MANIFEST, STAGING):
            # Compared as files, because some filesystems take Tables/ for tables/.
            if folder == root / name or ((root / name).exists() and folder.exists() and folder.samefile(root / name)):
                raise BadInput(
                    what=f"--out {out} lies in {name}/ of the warehouse {root}, whose files are published.",
                    remedy="Name a file outside of it.",
                )


def _stdout() -> BinaryIO:
    sys.stdout.flush()
    return sys.stdout.buffer


def _write_file(out: Path, write: Callable[[BinaryIO], None]) -> None:
    from superact.store.files import disk_error

    check_out(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as sink:
            write(sink)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(out)
    except PermissionError as error:
        raise BadInput(what=f"--out {out} cannot be written: {error.strerror}.", remedy="Name another file.") from error
    except OSError as error:
        raise disk_error(error, out) from error
    finally:
        part.unlink(missing_ok=True)
