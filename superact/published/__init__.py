"""The warehouse's metric tables as the file names and columns of the published code's result folders."""

from superact.published.export import Exported, export_published
from superact.published.sets import TABLES

__all__ = ["TABLES", "Exported", "export_published"]
