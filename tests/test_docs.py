"""Generated pages are fresh, links lead somewhere, and every query is on a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from superact.cli.metric_reference import MARKED, filled
from superact.cli.schema_reference import page
from superact.schemas import tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
METRICS = sorted((DOCS / "metrics").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_of_tables_is_fresh() -> None:
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize("path", METRICS, ids=lambda path: path.name)
def test_the_sql_on_a_page_is_fresh(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert MARKED.search(text), "no marker names a query"
    assert filled(text) == text, "run `make docs`"


def test_markers_are_filled_from_metrics_and_views() -> None:
    stale = "a\n<!-- sql: layer_choices -->\nold\n<!-- /sql -->\nb\n<!-- sql: floors -->\n<!-- /sql -->\n"
    fresh = filled(stale)
    assert "old" not in fresh and fresh.startswith("a\n<!-- sql: layer_choices -->\n```sql\n-- layer_choices: ")
    assert "```\n<!-- /sql -->\nb\n<!-- sql: floors -->\n```sql\n-- floors: " in fresh
    assert filled(fresh) == fresh
    with pytest.raises(FileNotFoundError):
        filled("<!-- sql: nothing -->\n<!-- /sql -->")


def test_every_query_of_the_metrics_is_on_one_page() -> None:
    shown = [name for path in METRICS for name in MARKED.findall(path.read_text(encoding="utf-8"))]
    assert len(shown) == len(set(shown))
    written = {path.stem for path in (ROOT / "superact" / "metrics").glob("*.sql")}
    assert written - set(shown) == set()


def test_the_overview_links_to_every_page_and_names_every_metric_table() -> None:
    overview = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert [path.name for path in METRICS if f"(metrics/{path.name})" not in overview] == []
    assert [t.name for t in tables().values() if t.room == "metrics" and f"`{t.name}`" not in overview] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)", prose(path)):
        to = (path.parent / target).resolve() if target else path
        assert to.exists(), f"links to {target}"
        if anchor:
            assert anchor in anchors(to), f"links to {target}#{anchor}"
