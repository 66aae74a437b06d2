"""One DuckDB session with a view a table, the shared macros, and `.sql` files run on it."""

from superact.query.session import Session, connect, run_sql, sql_file, view_sql

__all__ = ["Session", "connect", "run_sql", "sql_file", "view_sql"]
