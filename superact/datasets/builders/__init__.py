"""Datasets in the published layout, made from the public files that a user can download.

    report = build("goemotions", Path("downloads/goemotions"), Path("Data/GoEmotions"))
    report.written, report.kept, report.notes

Guarantees: a folder appears complete or not at all (it grows beside its place, as `.NAME.building`); an interrupted build goes
on where it stopped; building again with the same recipe and sources writes only what is missing or differs; a folder made by
another recipe is refused unless told to replace it, and one that no build made always is. `build.json` says the recipe, its
seed and the sha256 of its tables. One build at a time may work on a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from superact.datasets.builders.site import BuildReport
from superact.errors import BadInput

RECIPES = ("coco", "goemotions", "isarcasm", "broden", "sarcasm", "wnut17")
__all__ = ["RECIPES", "BuildReport", "build"]


def build(recipe: str, source: Path, out: Path, **options: Any) -> BuildReport:
    """Build the dataset folder `out` from the files in `source` by one of RECIPES.

    `options` are those of the recipe's own function: `seed`, `force` and `progress` (a bar on stderr; None: on a terminal only)
    are common to all. Raises BadInput or one of its kinds for a source that is missing or wrong, before anything is written.
    """
    if recipe not in RECIPES:
        raise BadInput(what=f"There is no recipe {recipe!r}.", remedy=f"Choose one of {', '.join(RECIPES)}.")
    return _recipe(recipe)(source, out, **options)


def _recipe(name: str) -> Callable[..., BuildReport]:
    if name == "coco":
        from superact.datasets.builders.coco import build_coco

        return build_coco
    if name == "broden":
        from superact.datasets.builders.broden import build_broden

        return build_broden
    if name == "goemotions":
        from superact.datasets.builders.goemotions import build_goemotions

        return build_goemotions
    if name == "isarcasm":
        from superact.datasets.builders.isarcasm import build_isarcasm

        return build_isarcasm
    if name == "wnut17":
        from superact.datasets.builders.conll import build_wnut17

        return build_wnut17
    from superact.datasets.builders.sarcasm import build_sarcasm

    return build_sarcasm
