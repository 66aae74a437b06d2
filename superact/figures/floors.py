"""What is reached without any activation: the floors, and prompted models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from superact.figures.frames import PACKAGE, is_frame, run, session_of

if TYPE_CHECKING:
    import polars as pl

_METRICS = "superact.metrics"


def label_floors(source: Any, data: pl.DataFrame) -> pl.DataFrame:
    """What is reached for each label (name, method, label, f1, n_positive); none of a frame."""
    import polars as pl

    if is_frame(source):
        columns = {"name": pl.String, "method": pl.String, "label": pl.String, "f1": pl.Float64, "n_positive": pl.Int64}
        return pl.DataFrame(schema=columns)
    return run(session_of(source), PACKAGE, "label_floors", dataset=data["dataset"][0])


def overall_floors(
    source: Any, data: pl.DataFrame, layer: int | None = None, units: Sequence[str] | None = None
) -> pl.DataFrame:
    """What is reached over all labels (name, method, f1): the weighted means of `superact compare`; none of a frame.

    `layer` None and `units` None or several: over the labels that any detector could calibrate.
    """
    import polars as pl

    found: list[tuple[str, str, float]] = []
    if not is_frame(source):
        session, dataset, model = session_of(source), data["dataset"][0], data["model"][0]
        unit = units[0] if units and len(units) == 1 else None
        given = {"dataset": dataset, "model": model, "unit": unit, "layer": layer}
        for row in run(session, _METRICS, "compare_floors", **given).filter(pl.col("model") == model).to_dicts():
            found += [(name, name, row[name]) for name in ("always", "coin")]
        asked = run(session, _METRICS, "compare_prompts", dataset=dataset).drop_nulls("f1")
        for name, f1 in asked.select("model", "f1").iter_rows():
            found.append(("prompt" if asked.height == 1 else f"prompt {name}", "prompt", f1))
    return pl.DataFrame(found, schema={"name": pl.String, "method": pl.String, "f1": pl.Float64}, orient="row")
