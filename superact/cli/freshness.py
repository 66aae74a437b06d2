"""Saying on stderr that metrics are stale, where somebody is about to read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from superact.cli.progress import note

if TYPE_CHECKING:
    from superact.query import Session


def note_stale(session: Session, text: str) -> None:
    """Name the stale tables that a query (or a table name) mentions, itself or by a view that reads them."""
    from superact.query.session import VIEWS, sql_file
    from superact.store.stale import stale

    mentioned = _words(text)
    for view in mentioned.intersection(VIEWS):
        mentioned |= _words(re.sub("--.*", "", sql_file("superact.query.views", view)))
    tables = [p.partition.table for p in stale(session.warehouse.state()) if p.partition.table in mentioned]
    for table in sorted(set(tables)):
        n = tables.count(table)
        parts = "partition is" if n == 1 else "partitions are"
        command = "superact eval --null" if table == "null_summary" else "superact eval"
        note(f"stale: {n} {parts} of {table} older than its inputs; `{command}` makes them anew", quiet=False)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
