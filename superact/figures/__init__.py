"""Charts and texts of a warehouse: one function a figure, and `save`.

>>> import superact
>>> from superact.figures import f1_by_delta, save
>>> save(f1_by_delta(superact.open("warehouse")), "f1.png")

Nothing is imported that draws until a figure is asked for.
"""

from __future__ import annotations

from typing import Any

from superact.figures.catalogue import FIGURES, Figure
from superact.figures.save import save

__all__ = ["FIGURES", "Figure", "save", *FIGURES]


def __getattr__(name: str) -> Any:
    if name in FIGURES:
        return FIGURES[name].function()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
