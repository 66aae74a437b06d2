"""`python -m superact.cli.schema_reference` prints docs/tables.md: every table, from the schema files."""

from __future__ import annotations

from superact.query.session import VIEWS, sql_file
from superact.schemas import Table, tables

_INTRO = """# Tables

Generated from `superact/schemas/*.sql` by `make docs`; a test fails when this page is stale. Path keys are directories
(`tables/activations/dataset=clevr/model=.../`), not columns of the files; every reader makes columns of them. `FLOAT[]` columns
are cast to `FLOAT[d]` by the views where all partitions share one d.
"""


def table_text(table: Table) -> str:
    """The section of one table."""
    where = {"manifest": "made from the manifest"}.get(table.room, f"in `{table.room}/`")
    lines = [f"## {table.name}", "", f"{table.description[0].upper()}{table.description[1:]} {where.capitalize()}.", ""]
    if table.path:
        lines += [f"Path keys: {', '.join(f'`{key}`' for key in table.path)}. ", ""]
    lines += [f"Grain: {', '.join(table.grain)}.", "", "| column | type | NULL | meaning |", "|---|---|---|---|"]
    for column in table.columns:
        comment = column.comment.replace("|", "\\|")
        lines.append(f"| `{column.name}` | {column.sql_type} | {'yes' if column.nullable else ''} | {comment} |")
    return "\n".join(lines) + "\n"


def view_text(name: str) -> str:
    """The section of one view: its header comment."""
    comment = [line[3:] for line in sql_file("superact.query.views", name).splitlines() if line.startswith("-- ")]
    return f"## {name}\n\n" + "  \n".join(comment) + "\n"


def page() -> str:
    """The whole page."""
    sections = [table_text(table) for table in tables().values()]
    views = "# Views\n\nOver these tables, for people.\n\n" + "\n".join(view_text(name) for name in VIEWS)
    return "\n".join([_INTRO, *sections, views])


if __name__ == "__main__":
    print(page(), end="")
