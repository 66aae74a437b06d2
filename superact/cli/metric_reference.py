"""`python -m superact.cli.metric_reference FOLDER` writes the SQL of every metric into the pages of a folder, between markers.

A page says `<!-- sql: detection -->` and `<!-- /sql -->`; what stands between becomes the text of detection.sql, from the
metrics or, where they have none of that name, from the views for people.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from superact.query.session import VIEWS, sql_file

MARKED = re.compile(r"<!-- sql: (\w+) -->\n.*?<!-- /sql -->", re.S)


def query_text(name: str) -> str:
    """The text of a metric's or view's `.sql` file. Errors: FileNotFoundError for a name that neither has."""
    return sql_file("superact.query.views" if name in VIEWS else "superact.metrics", name).strip()


def filled(page: str) -> str:
    """The page with the text of every marked query."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- sql: {match[1]} -->\n```sql\n{query_text(match[1])}\n```\n<!-- /sql -->"

    return MARKED.sub(block, page)


def main(folder: Path) -> None:
    """Fill every page of a folder."""
    for path in sorted(folder.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        path.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
