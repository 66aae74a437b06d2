"""The Vega-Lite specs of a report: those of `superact.figures`, so that a page looks like a notebook."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput
from superact.figures.catalogue import FIGURES
from superact.figures.distributions import activation_distributions

if TYPE_CHECKING:
    from superact.query import Session

_LOW, _HIGH, _MASS = -1234.5, 4321.5, 0.25
_DROPPED = ("$schema", "config", "usermeta")
Path = list[str | int]


def chart(session: Session, name: str, **options: Any) -> dict[str, Any] | None:
    """The spec of one figure without its config, which is the page's own; None where there is nothing to draw."""
    try:
        return spec_of(FIGURES[name].function()(session, **options))
    except BadInput:
        return None


def spec_of(figure: Any) -> dict[str, Any]:
    """A chart as the page takes it; Altair checked every part when it was made."""
    return {key: value for key, value in figure.to_dict(validate=False).items() if key not in _DROPPED}


@cache
def density_templates(measure: str) -> dict[str, Any]:
    """The figure `activation_distributions` of one label at one layer, as specs to fill in, for scores of one measure.

    By where the threshold lies: `left` or `right` half of the axis, or `none`. With each stand the paths of what the page
    sets: `x` the range of scores, `y` that of densities, and the names of its two data sets. They are found by drawing a
    histogram whose numbers no other part of the spec has.
    """
    width = _HIGH - _LOW
    return {
        "left": _template(measure, _LOW + width / 4),
        "right": _template(measure, _HIGH - width / 4),
        "none": _template(measure, None),
    }


def _template(measure: str, threshold: float | None) -> dict[str, Any]:
    spec = untitled(spec_of(activation_distributions(_sentinel(measure, threshold))))
    steps = next(name for name, rows in spec["datasets"].items() if rows and "density" in rows[0])
    top = next(value[1] for _, value in _walk(spec) if _is_range(value) and value[0] == 0)
    found = {
        "x": [path for path, value in _walk(spec) if value == [_LOW, _HIGH]],
        "y": [path for path, value in _walk(spec) if _is_range(value) and value == [0, top]],
        "steps": steps,
        "threshold": next((name for name, rows in spec["datasets"].items() if name != steps and "x" in rows[0]), None),
        # How much higher the axis is than the highest step.
        "room": top / max(row["density"] for row in spec["datasets"][steps]),
    }
    spec["datasets"] = {name: [] if name == steps else rows for name, rows in spec["datasets"].items()}
    return {"spec": spec, **found}


def untitled(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec without the headings of its columns: a page has one of its own."""
    spec.pop("title", None)
    for cell in spec["concat"]:
        cell.pop("title", None)
    return spec


def filled(
    template: dict[str, Any], low: float, high: float, steps: list[dict[str, Any]], threshold: float | None
) -> Any:
    """A template filled in, as the page does it: for tests, which compare it with the figure itself."""
    spec = copy.deepcopy(template["spec"])
    top = template["room"] * max(step["density"] for step in steps)
    for paths, value in ((template["x"], [low, high]), (template["y"], [0, top])):
        for path in paths:
            _set(spec, path, value)
    spec["datasets"][template["steps"]] = steps
    if template["threshold"] is not None:
        for row in spec["datasets"][template["threshold"]]:
            row["x"] = threshold
    return spec


def _sentinel(measure: str, threshold: float | None) -> Any:
    import polars as pl

    middle = (_LOW + _HIGH) / 2
    rows = [
        {"layer": 0, "label": "", "population": population, "bin": bin, "lo": lo, "hi": hi, "mass": _MASS}
        for population in ("in_concept", "out_of_concept")
        for bin, (lo, hi) in enumerate([(_LOW, middle), (middle, _HIGH)])
    ]
    frame = pl.DataFrame(rows)
    return frame.with_columns(pl.lit(threshold, dtype=pl.Float64).alias("threshold"), pl.lit(measure).alias("score"))


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, (int, float)) for one in value)


def _walk(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[Path, Any]]:
    """Every list and object below `value` outside of data sets, with the path to it, a `domain` or not."""
    found: list[tuple[Path, Any]] = []
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, own in items:
        if path == () and key == "datasets":
            continue
        if key == "domain" and _is_range(own):
            found.append(([*path, key], own))
        found += _walk(own, (*path, key))
    return found


def _set(spec: Any, path: Path, value: Any) -> None:
    for key in path[:-1]:
        spec = spec[key]
    spec[path[-1]] = value
