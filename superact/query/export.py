"""Rows of one table or view, filtered by exact values: what `superact export` prints.

Names come from the schemas and values go in as parameters, so that nothing a caller gives is ever read as SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from superact.errors import BadInput
from superact.query.names import check_values
from superact.query.rows import Rows
from superact.query.session import Session


def select_rows(session: Session, table: str, columns: Sequence[str] | None = None, **filters: Any) -> Rows:
    """Stream the rows of a table or view whose columns equal the filters (a list: any of it; None: not asked).

    Rows come in stored order, and only `columns` of them, in that order. Partitions that path keys rule out are not read.
    Errors: BadInput for a table or column that does not exist, and for a filter value that nothing in the warehouse has: a
    dataset, model, layer, concept set, unit, method, detector, split or label, with the nearest names.
    """
    known = session.columns(table)
    wanted = {name: value for name, value in filters.items() if value is not None}
    for name in (*(columns or ()), *wanted):
        if name not in known:
            raise BadInput(what=f"Table {table} has no column {name!r}.", remedy=f"It has {', '.join(known)}.")
    check_values(session, wanted)
    listed = ", ".join(f'"{name}"' for name in columns or known)
    query, parameters = f"SELECT {listed} FROM {table}", {}
    conditions = []
    for name, value in wanted.items():
        values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        own = {f"{name}_{number}": item for number, item in enumerate(sorted(values))}
        parameters.update(own)
        conditions.append(f'"{name}" IN ({", ".join("$" + key for key in own)})' if own else "false")
    if conditions:
        query += " WHERE " + " AND ".join(conditions)
    return session.stream_own(query, parameters)
