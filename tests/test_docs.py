"""Generated pages are fresh."""

from __future__ import annotations

from pathlib import Path

from superact.cli.schema_reference import page

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_tables_is_fresh() -> None:
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == page(), "run `make docs`"
