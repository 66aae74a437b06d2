"""Seeded mutations of the metric SQL: one small change to a `.sql` file, as every reader of the files sees it."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pytest

import superact.metrics.partition
import superact.query.session
from superact.metrics.partition import evaluation_connection
from superact.query.session import sql_file

Mutation = tuple[str, str, str]
"""File, a piece of its text, and what stands there instead."""


def assert_noticed(
    monkeypatch: pytest.MonkeyPatch, mutation: Mutation, run_checks: Callable[[duckdb.DuckDBPyConnection], None]
) -> None:
    """The checks fail, on rows and not on broken SQL, when the file is changed."""
    file, old, new = mutation

    def mutated(package: str, own: str) -> str:
        text = sql_file(package, own)
        return text.replace(old, new) if own == file else text

    package = "superact.query" if file == "macros" else "superact.metrics"
    assert old in sql_file(package, file), f"{file}.sql no longer has {old!r}"
    monkeypatch.setattr(superact.metrics.partition, "sql_file", mutated)
    monkeypatch.setattr(superact.query.session, "sql_file", mutated)
    with evaluation_connection() as connection, pytest.raises(AssertionError):
        run_checks(connection)
