"""The rows of one query, read in Arrow batches, so that a result of any size passes through bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16 * 1024


def open_reader(connection: duckdb.DuckDBPyConnection, query: str, parameters: Any) -> pa.RecordBatchReader:
    """Run a query and return a reader that computes rows as they are asked for, BATCH_ROWS at a time."""
    # Each version has one way that streams: in 1.x sql() with parameters computes every row first, in 2.0 execute() copies
    # them and warns.
    if duckdb.__version__.startswith("1."):
        return connection.execute(query, parameters).to_arrow_reader(BATCH_ROWS)
    return connection.sql(query, params=parameters).to_arrow_reader(BATCH_ROWS)


class Rows:
    """Iterate over the batches of a query once; `schema` is known before the first.

    The connection answers nothing else until the last batch was taken or `close` was called, which leaving a `with` does.
    """

    def __init__(self, reader: pa.RecordBatchReader, translate: Callable[[Exception], Exception]) -> None:
        self._reader = reader
        self._translate = translate
        self.schema: pa.Schema = reader.schema
        self.closed = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while not self.closed:
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                break
            except (OSError, duckdb.Error) as error:
                # Arrow's readers pass an error of DuckDB on as an OSError with its text.
                self.close()
                raise self._translate(error) from error
            if batch.num_rows:
                yield batch
        self.close()

    def close(self) -> None:
        """Give up the rest; the session can be asked again."""
        if not self.closed:
            self.closed = True
            self._reader.close()

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def readable(batch: pa.Table | pa.RecordBatch) -> Any:
    """The same rows with intervals, which neither Polars nor Parquet takes, as text."""
    import pyarrow as pa

    for index, field in enumerate(batch.schema):
        if pa.types.is_interval(field.type):
            values = [None if value is None else _interval(value) for value in batch.column(index).to_pylist()]
            batch = batch.set_column(index, field.name, pa.array(values, pa.string()))
    return batch


def _interval(value: Any) -> str:
    return f"{value.months} months {value.days} days {value.nanoseconds / 1e9:g} seconds"
