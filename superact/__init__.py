"""superact: a columnar activation store with a SQL query engine for interpretability research.

>>> import superact
>>> warehouse = superact.open("warehouse")
>>> warehouse.sql("SELECT * FROM summary")
"""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from superact.query import Session

__version__ = _version("superact")
__all__ = ["__version__", "open"]


def open(path: str | Path = "warehouse") -> Session:
    """Open a warehouse for reading: `.sql(query, name=frame)`, `.scan(table)`, `.connection`.

    Errors: BadInput where there is no warehouse, NewerWarehouse where a newer superact made it.
    """
    from superact.query import Session
    from superact.store import Warehouse

    return Session(Warehouse.open(path))
