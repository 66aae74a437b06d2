"""One DuckDB connection over a warehouse: a view a table, the shared macros, and the files of `.sql` run on it."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import weakref
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from superact.cache import cache_path
from superact.errors import BadInput, BadQuery, Damaged
from superact.query.rows import Rows, open_reader, readable
from superact.schemas import Table, tables
from superact.store import Published, State, Warehouse

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

VIEWS = ("scores", "superactivators", "label_floors", "floors", "precision_recall", "delta_histogram")
_PARAMETER = re.compile(r"\$(\w+)")
_WIDTHS = frozenset({"embedding", "mean", "vector"})
_RETRIES = 5
_NOT_SELECT = re.compile(r"(?is)(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(?:desc|describe|show|summarize)\b")
_TORN = ("Decompress", "TProtocolException", "Could not read enough bytes")


@cache
def sql_file(package: str, name: str) -> str:
    """Text of a `.sql` file that stands in a package."""
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def connect(memory_limit: str | None = None, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the shared macros; it loads no extension and spills into the user's cache."""
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "temp_directory": str(_spill_folder()),
    }
    if memory_limit:
        config["memory_limit"] = memory_limit
    if threads:
        config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,):
        # Not where it is off: in a Jupyter kernel without ipywidgets, DuckDB refuses to have it set at all.
        connection.execute("SET enable_progress_bar = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute(sql_file("superact.query", "macros"))
    return connection


def _spill_folder() -> Path:
    """A folder of this connection's own: DuckDB 1.5 gives every process's spill files the same names.

    DuckDB makes the folder when it first spills and removes it when it closes. Where the cache cannot be written to, the
    system's folder for temporary files serves.
    """
    base = cache_path("duckdb")
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.gettempdir())
    return base / f"superact-{os.getpid()}-{secrets.token_hex(4)}"


def run_sql(connection: duckdb.DuckDBPyConnection, text: str, **parameters: Any) -> pa.Table:
    """Run one query with those of the named parameters that it mentions, and return all rows as Arrow."""
    return connection.sql(text, params=used_parameters(text, parameters)).to_arrow_table()


def used_parameters(text: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Those of the named parameters that a query mentions, or None."""
    return {name: parameters[name] for name in set(_PARAMETER.findall(_without_comments(text)))} or None


def _without_comments(text: str) -> str:
    return "\n".join(line.partition("--")[0] for line in text.split("\n"))


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def view_sql(root: Path, table: Table, published: list[Published]) -> str:
    """The SELECT that reads a table's live files, path keys first; typed and empty where there is none."""
    paths = [str(root / file.path) for p in published for file in p.files]
    if not paths:
        columns = ", ".join(f'NULL::{c.sql_type} AS "{c.name}"' for c in table.columns)
        return f"SELECT {columns} WHERE false"
    widths = {p.meta.get("width") for p in published}
    width = widths.pop() if len(widths) == 1 else None
    columns = ", ".join(_column_sql(name.name, width) for name in table.columns)
    listed = ", ".join(map(quoted, paths))
    types = ", ".join(f"{quoted(key)}: {quoted(kind)}" for key, kind in table.key_types.items())
    return f"SELECT {columns} FROM read_parquet([{listed}], hive_partitioning = true, hive_types = {{{types}}})"


def _column_sql(name: str, width: int | None) -> str:
    # A fixed width makes array_cosine_similarity and its kin usable; it exists where all partitions share one.
    if name in _WIDTHS and width:
        return f'"{name}"::FLOAT[{width}] AS "{name}"'
    return f'"{name}"'


class Session:
    """A warehouse opened for questions.

    `sql` runs one SELECT, `scan` gives a lazy Polars frame of one table, `connection` is the DuckDB connection itself. Files
    are those of the newest manifest document when the session was opened or refreshed. `sql` cannot write; the raw
    connection can (a COPY into the warehouse's own folders), and is as trustworthy as whoever holds it.

    Example:
        >>> warehouse = superact.open("warehouse")
        >>> warehouse.sql("SELECT label, count(*) AS n FROM superactivators GROUP BY label")
    """

    def __init__(self, warehouse: Warehouse, *, memory_limit: str | None = None, threads: int | None = None) -> None:
        self.warehouse = warehouse
        self.connection = connect(memory_limit, threads)
        self._state: State = warehouse.state()
        self._rows: weakref.ref[Rows] | None = None
        self._take_up(self._state)
        self._lock()

    @property
    def tables(self) -> list[str]:
        """Names of the tables and views that can be asked."""
        return [*tables(), *VIEWS]

    def refresh(self) -> bool:
        """Take up what was published since; True if anything was."""
        self._check_free()
        state = self.warehouse.state()
        if state.sequence == self._state.sequence:
            return False
        self._take_up(state)
        return True

    def sql(self, query: str, **frames: Any) -> pl.DataFrame:
        """Run one read-only SELECT (or DESCRIBE, SHOW, SUMMARIZE) and return a Polars frame.

        Keyword arguments are Polars or pandas frames, or Arrow tables, that the query may name. Errors: BadQuery for what is
        not a single SELECT or what DuckDB refuses, Damaged when a file cannot be read.
        """
        import polars as pl

        self._check_free()
        wrapped, parameters = _wrapped(query)
        self._register(frames)
        try:
            rows = self._retried(lambda: self.connection.sql(wrapped, params=parameters).to_arrow_table())
        finally:
            for name in frames:
                self.connection.unregister(name)
        return pl.DataFrame(pl.from_arrow(readable(rows)))

    def stream(self, query: str) -> Rows:
        """Run one read-only SELECT as `sql` does, and return its rows batch by batch, in bounded memory.

        Nothing else can be asked until the last batch was taken or the rows were closed. Errors: as `sql`; an error of a later
        row is raised when its batch is.
        """
        return self.stream_own(*_wrapped(query))

    def stream_own(self, query: str, parameters: Any) -> Rows:
        """Like `stream`, for a query of superact's own making: its text is run as it stands, outside the guard."""
        self._check_free()
        reader = self._retried(lambda: open_reader(self.connection, query, parameters))
        rows = Rows(reader, self._translate)
        self._rows = weakref.ref(rows)
        return rows

    def columns(self, table: str) -> list[str]:
        """Names of the columns of a table or view. Errors: BadInput where there is none of that name."""
        self._check_table(table)
        return self.sql(f"DESCRIBE {table}")["column_name"].to_list()

    def scan(self, table: str) -> pl.LazyFrame:
        """One table as a lazy Polars frame, path keys included; views and `runs` are computed first."""
        import polars as pl

        self._check_table(table)
        published = self._state.select(table)
        if table in VIEWS or table == "runs" or not published:
            return self.sql(f"SELECT * FROM {table}").lazy()
        kinds: dict[str, Any] = {"VARCHAR": pl.String, "INTEGER": pl.Int32}
        schema = tables()[table]
        frame = pl.scan_parquet(
            [self.warehouse.root / file.path for p in published for file in p.files],
            hive_partitioning=True,
            hive_schema={name: kinds[kind] for name, kind in schema.key_types.items()},
        )
        return frame.select([column.name for column in schema.columns])

    def _take_up(self, state: State) -> None:
        """Make the views of a state, or of a newer one where its files are superseded meanwhile: a view looks at a file."""
        for _ in range(_RETRIES):
            self._state = state
            try:
                self._make_views()
                return
            except duckdb.Error as error:
                failure = error
            state = self.warehouse.state()
            if state.sequence == self._state.sequence:
                break
        raise self._translate(failure) from failure

    def _make_views(self) -> None:
        for table in tables().values():
            if table.room == "manifest":
                continue
            select = view_sql(self.warehouse.root, table, self._state.select(table.name))
            self.connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS {select}")
        self.connection.register("published_runs", _runs(self._state))
        self.connection.execute("CREATE OR REPLACE VIEW runs AS FROM published_runs")
        for view in VIEWS:
            self.connection.execute(f"CREATE OR REPLACE VIEW {view} AS {sql_file('superact.query.views', view)}")

    def _lock(self) -> None:
        # What held against every writing statement that was tried, in DuckDB 1.5 and 2.0: only the live folders may be
        # read, the settings are frozen, and the user's text only runs inside query(), which parses a single SELECT.
        rooms = ", ".join(quoted(str(self.warehouse.root / room) + "/") for room in ("tables", "metrics"))
        self.connection.execute(f"SET allowed_directories = [{rooms}]")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")

    def _check_table(self, table: str) -> None:
        if table not in self.tables:
            raise BadInput(what=f"There is no table {table!r}.", remedy=f"The tables are {', '.join(self.tables)}.")

    def _check_free(self) -> None:
        # DuckDB 1.x would answer, and end the stream early without a word.
        rows = self._rows() if self._rows else None
        if rows is not None and not rows.closed:
            raise BadQuery(reason="Rows of an earlier stream are still being read; take the last batch, or close them.")

    def _register(self, frames: dict[str, Any]) -> None:
        taken = sorted(name for name in frames if name in self.tables or name == "published_runs")
        if taken:
            raise BadInput(what=f"{taken[0]!r} is a table of the warehouse.", remedy="Give the frame another name.")
        for name, frame in frames.items():
            try:
                self.connection.register(name, _arrow(frame))
            except duckdb.Error as error:
                raise BadInput(
                    what=f"{name} is not a frame that can be queried.",
                    remedy="Give a Polars or pandas frame, or an Arrow table.",
                ) from error

    def _retried(self, run: Callable[[], Any]) -> Any:
        for attempt in range(_RETRIES):
            try:
                return run()
            except duckdb.Error as error:
                # A partition may have been superseded between the listing and the read: take the newer manifest.
                if isinstance(error, duckdb.IOException) and attempt + 1 < _RETRIES and self.refresh():
                    continue
                raise self._translate(error) from error
        raise AssertionError("unreachable")

    def _translate(self, error: Exception) -> Exception:
        """The error to raise for what DuckDB said: Damaged when it names a published file, else BadQuery."""
        text = str(error).split("\n\nLINE ")[0].rstrip()
        if not isinstance(error, _REFUSALS):
            for _, file in self._state.files():
                if str(self.warehouse.root / file.path) in text:
                    if self.warehouse.state().sequence != self._state.sequence:
                        return BadQuery(reason="The warehouse changed while it was read: run the query again.")
                    return Damaged(path=self.warehouse.root / file.path, problem=text.split("\n")[0])
            if any(word in text for word in _TORN):
                return Damaged(path=self.warehouse.root, problem=text.split("\n")[0])
        return BadQuery(reason=text if text.endswith((".", "!", "?")) else text + ".")


# What DuckDB refuses before it reads a row says nothing about the files, whichever it names.
_REFUSALS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException)


def _wrapped(query: str) -> tuple[str, list[str]]:
    """The only form in which a user's text reaches DuckDB: query() parses a single SELECT and nothing else."""
    text = query.strip().rstrip(";").strip()
    if not text:
        raise BadQuery(reason="The query is empty.")
    if _NOT_SELECT.match(text):
        text = f"SELECT * FROM ({text}\n)"
    return "SELECT * FROM query($1)", [text]


def _arrow(frame: Any) -> Any:
    return frame.to_arrow() if hasattr(frame, "to_arrow") else frame


def _runs(state: State) -> pa.Table:
    """The runs table: one row a manifest document."""
    import json
    from datetime import datetime

    import pyarrow as pa

    from superact.store.identity import hash_of

    rows = []
    for document in state.documents:
        entries = document["partitions"]
        identity = {"/".join([e["table"], *map(str, e["keys"].values())]): hash_of(e["identity"]) for e in entries}
        rows.append(
            {
                "run": document["run"],
                "stage": document["stage"],
                "started_at": datetime.fromisoformat(document["started_at"]),
                "seconds": document["seconds"],
                "tables": ",".join(sorted({e["table"] for e in entries})),
                "partitions": len(entries),
                "rows": sum(e["rows"] for e in entries),
                "bytes": sum(file["bytes"] for e in entries for file in e["files"]),
                "versions": json.dumps(document["versions"], sort_keys=True),
                "identity": json.dumps(identity, sort_keys=True),
                "provenance": json.dumps(document["provenance"], sort_keys=True),
            }
        )
    return pa.Table.from_pylist(rows, schema=tables()["runs"].arrow_schema())
