"""`Per_Concept_PTM_Optimization`: the layer that every label chose, and the averages over labels at those layers."""

from __future__ import annotations

from collections.abc import Iterator

from superact.published.detection import detectors_of
from superact.published.files import PublishedFile, fetch
from superact.published.names import percent_of
from superact.published.sets import ConceptSet
from superact.query import Session

_COLUMNS = (
    "concept",
    "best_ptm",
    "best_percentile",
    "f1_cal",
    "f1_test",
    "precision_test",
    "recall_test",
    "n_gt_positive",
)


def layer_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """One table of labels and one row of averages a detector, over every layer that was evaluated."""
    import polars as pl

    folder = f"Per_Concept_PTM_Optimization/{one.folder}"
    for detector, name in detectors_of(one).items():
        keys = {**one.own("layer_selection"), "detector": detector}
        con = f"{one.stem}_{name}" if name else one.stem
        rows = fetch(session, "layer_selection", keys)
        percents = [percent_of(layer, one.blocks, one.listed) for layer in rows["layer"].to_list()]
        table = rows.with_columns(best_ptm=pl.Series(percents, dtype=pl.Int64)).select(_COLUMNS)
        yield PublishedFile(f"{folder}/optimal_ptm_results_{con}.csv", table)
        yield PublishedFile(f"{folder}/optimal_ptm_aggregate_{con}.csv", fetch(session, "summary", keys))
