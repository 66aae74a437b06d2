"""A warehouse as a static site: pages that open from a folder, with no server and no network."""

from superact.figures.report.build import Built, build_report

__all__ = ["Built", "build_report"]
