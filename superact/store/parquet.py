"""Parquet as the warehouse writes it: encodings by type, hashed while written, fsynced before it counts.

Floats are BYTE_STREAM_SPLIT without a dictionary, integers DELTA_BINARY_PACKED, names plain strings with dictionary pages,
zstd level 1. Vectors are plain and uncompressed: hidden states give up a sixth of their bytes at most, for twice the work,
while the model wants the processor. The Arrow schema is not stored: a stored dictionary type would come back from Polars
as Categorical.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from superact.schemas import Table
from superact.store.files import disk_error, fsync_directory
from superact.store.manifest import FileRecord

_RANGED = ("concept", "sample")
_FLOATS = (pa.float32(), pa.float64())
_READ_BUFFER = 1 << 20


class _HashingFile:
    """A write-only file that hashes what passes through, so that a file is read back by nobody."""

    def __init__(self, path: Path) -> None:
        self._handle = path.open("wb", buffering=0)
        self.sha256 = hashlib.sha256()
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.sha256.update(view)
        written = 0
        while written < len(view):  # a raw write may stop short, as it does at a file-size limit
            written += self._handle.write(view[written:])
        return written

    def flush(self) -> None:
        self._handle.flush()

    def tell(self) -> int:
        return self._handle.tell()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            try:
                os.fsync(self._handle.fileno())
            finally:
                self._handle.close()


def _file_schema(schema: pa.Schema) -> pa.Schema:
    fields = []
    for field in schema:
        if pa.types.is_string(field.type):
            field = field.with_type(pa.dictionary(pa.int32(), pa.string()))
        fields.append(field)
    return pa.schema(fields)


def _encodings(schema: pa.Schema) -> dict[str, str]:
    encodings = {}
    for field in schema:
        if pa.types.is_list(field.type) and field.type.value_type in _FLOATS:
            encodings[f"{field.name}.list.element"] = "PLAIN"
        elif field.type in _FLOATS:
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_integer(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return encodings


def _compression(schema: pa.Schema) -> dict[str, str]:
    """The codec of every leaf column."""
    codecs = {}
    for field in schema:
        is_list = pa.types.is_list(field.type)
        codecs[f"{field.name}.list.element" if is_list else field.name] = "none" if is_list else "zstd"
    return codecs


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring rows to a file schema by column name; strings may come plain or dictionary-encoded.

    Errors: pyarrow's, where a column is missing, has another type or holds a NULL where none may be.
    """
    columns = []
    for field in schema:
        column = rows.column(field.name)
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        if column.type != field.type:
            column = column.cast(field.type)
        if not field.nullable and column.null_count:
            raise ValueError(f"column {field.name} may not be NULL, and is in {column.null_count} rows")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def write_file(path: Path, table: Table, groups: Iterable[pa.Table]) -> FileRecord:
    """Write one file, a row group for each table of `groups` (none: a zero-row file), and return its record.

    The record's path is the bare file name. Errors: NotEnoughDisk when the disk is full; the partial file is removed.
    """
    schema = table.arrow_schema()
    file_schema = _file_schema(schema)
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    sink = None
    rows = 0
    try:
        sink = _HashingFile(path)
        with pq.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            file_schema,
            compression=_compression(schema),
            compression_level={column: 1 for column, codec in _compression(schema).items() if codec == "zstd"},
            use_dictionary=strings,
            column_encoding=_encodings(schema),
            write_statistics=[field.name for field in schema if field.type not in _FLOATS],
            store_schema=False,
        ) as writer:
            for group in groups:
                if group.num_rows:
                    writer.write_table(conform(group, file_schema), row_group_size=group.num_rows)
                    rows += group.num_rows
        sink.close()
    except OSError as error:
        path.unlink(missing_ok=True)
        raise disk_error(error, path) from error
    finally:
        if sink is not None and not sink.closed:
            sink.close()
    fsync_directory(path.parent)
    size = path.stat().st_size
    return FileRecord(path.name, rows, size, sink.sha256.hexdigest(), _ranges(path, table))


def _ranges(path: Path, table: Table) -> dict[str, list[Any]]:
    """Least and greatest sample and concept of a file, from the statistics of its row groups."""
    names = [column.name for column in table.stored]
    metadata = pq.read_metadata(path)
    ranges: dict[str, list[Any]] = {}
    for name in _RANGED:
        if name not in names:
            continue
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(names.index(name)).statistics
            if statistics is None or not statistics.has_min_max:
                continue
            low, high = ranges.get(name, [statistics.min, statistics.max])
            ranges[name] = [min(low, statistics.min), max(high, statistics.max)]
    return ranges


def streamed(path: Path) -> pq.ParquetFile:
    """A file to be read batch by batch through a small buffer: by default a row group's columns are read whole first."""
    return pq.ParquetFile(path, buffer_size=_READ_BUFFER, pre_buffer=False)
