"""Concept vectors as rows of tables `concept_sets` and `concepts`, from an import folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from superact.errors import BadInput
from superact.ingest.describe import arrow, write_small
from superact.ingest.identity import base, by_label, digest
from superact.ingest.import_tables import bad_row, check_among, check_unique, find_table, read_table, typed
from superact.store import Run
from superact.store.layout import check_slug
from superact.store.rows import lists

SCORES = {
    "avg": "cosine",
    "kmeans": "cosine",
    "linsep": "signed_distance",
    "kmeans-linsep": "signed_distance",
    "imported": "cosine",
}
"""The score of each method (contract, section 4); the protocol may name another for `imported`."""

SUPERVISED = ("avg", "linsep")
MEASURES = ("cosine", "signed_distance")


def read_concepts(folder: Path) -> pl.DataFrame | None:
    """The folder's concepts: layer, concept_set, method, unit, concept, bias, vector (list of floats); None without.

    A CSV spreads the vector over v0, v1, ...; a Parquet file may hold it as one list column `vector`.
    Errors: BadInput and BadTable.
    """
    path, frame = find_table(folder, "concepts"), read_table(folder, "concepts")
    if path is None or frame is None:
        return None
    frame = frame.with_columns(_vectors(path, frame))
    if "bias" in frame.columns:
        frame = frame.with_columns(typed(path, frame["bias"], pl.Float64, required=True))
        if wrong := (~frame["bias"].is_finite()).arg_true().to_list():
            raise bad_row(path, wrong[0], "bias", f"{frame['bias'][wrong[0]]} is not finite", "Give a number.")
    else:
        frame = frame.with_columns(bias=pl.lit(0.0))
    if "concept_set" in frame.columns:
        frame = frame.with_columns(typed(path, frame["concept_set"], pl.String, required=True))
    else:
        frame = frame.with_columns(concept_set=pl.col("method"))
    check_among(path, frame["method"], tuple(SCORES), "a method")
    check_among(path, frame["unit"], ("token", "cls"), "a unit")
    for name in frame["concept_set"].unique(maintain_order=True):
        check_slug(name, "concept_set")
    check_unique(path, frame, ["layer", "concept_set", "unit", "concept"])
    _check_one_method(path, frame)
    return frame.select("layer", "concept_set", "method", "unit", "concept", "bias", "vector")


def _vectors(path: Path, frame: pl.DataFrame) -> pl.Series:
    """Column `vector` as list of Float32."""
    if "vector" in frame.columns:
        kind = frame["vector"].dtype
        if not isinstance(kind, (pl.List, pl.Array)) or not kind.inner.is_numeric():
            raise BadInput(what=f"{path}: vector has type {kind}.", remedy="It is a list of numbers.")
        if empty := frame["vector"].is_null().arg_true().to_list():
            raise bad_row(path, empty[0], "vector", "is empty", "Give a vector.")
        return frame["vector"].cast(pl.List(pl.Float32))
    parts = [name for name in frame.columns if name[:1] == "v" and name[1:].isdigit()]
    names = [f"v{i}" for i in range(len(parts))]
    if not parts:
        raise BadInput(what=f"{path} has no vector.", remedy="Add columns v0, v1, ... or a list column `vector`.")
    if lost := [name for name in names if name not in parts]:
        raise BadInput(
            what=f"{path} has {parts[-1]} and no {lost[0]}.", remedy="Number the columns v0, v1, ... without a gap."
        )
    columns = [typed(path, frame[name], pl.Float32, required=True) for name in names]
    return pl.DataFrame(columns).select(vector=pl.concat_list(names)).to_series()


def _check_one_method(path: Path, frame: pl.DataFrame) -> None:
    sets = frame.group_by("layer", "concept_set", "unit", maintain_order=True).agg(
        pl.col("method").unique(maintain_order=True)
    )
    mixed = sets.filter(pl.col("method").list.len() > 1)
    if not mixed.is_empty():
        layer, name, unit, methods = mixed.row(0)
        raise BadInput(
            what=f"{path}: concept_set {name} (layer {layer}, unit {unit}) mixes the methods {' and '.join(methods)}.",
            remedy="Give each method a concept_set of its own.",
        )


def check_concepts(path: Path, concepts: pl.DataFrame, widths: Mapping[tuple[int, str], int]) -> None:
    """Raise BadInput unless every vector has finite values, as many as the embeddings of its layer and unit."""
    columns = ("layer", "unit", "concept_set", "concept", "vector")
    for layer, unit, name, concept, vector in concepts.select(columns).iter_rows():
        width = widths.get((layer, unit))
        if width is None:
            raise BadInput(
                what=f"{path} has {name} vectors of unit {unit} at layer {layer}, which has no embeddings.",
                remedy="Add that layer's embeddings, or remove the rows.",
            )
        finite = int(np.isfinite(np.asarray(vector, dtype=np.float32)).sum())
        if len(vector) != width or finite != width:
            raise BadInput(
                what=f"{path}: vector {concept!r} of {name} (layer {layer}, unit {unit}) has {len(vector)} values, {finite} of "
                f"them finite; the embeddings have {width}.",
                remedy="Give one finite number for each dimension.",
            )


def check_scores(file: Path, scores: Any, concepts: pl.DataFrame | None) -> dict[str, str]:
    """The protocol's `scores` (concept_set: measure), checked. Errors: BadInput."""
    if not isinstance(scores, dict):
        raise BadInput(
            what=f"{file}: scores is {scores!r}.", remedy='It is {"concept_set": "cosine" or "signed_distance"}.'
        )
    known = set() if concepts is None else set(concepts["concept_set"])
    for name, measure in scores.items():
        if name not in known:
            raise BadInput(what=f"{file}: scores names {name!r}, which is no concept_set.", remedy="Correct the name.")
        if measure not in MEASURES:
            raise BadInput(what=f"{file}: the score of {name} is {measure!r}.", remedy=f"Use {' or '.join(MEASURES)}.")
    return scores


def write_concepts(
    run: Run, concepts: pl.DataFrame, labels: Collection[str], scores: Mapping[str, str], **keys: str
) -> None:
    """Tables concept_sets and concepts of every (layer, concept_set, unit) of a dataset and model."""
    for (layer, name, unit), rows in concepts.group_by("layer", "concept_set", "unit", maintain_order=True):
        order = sorted(range(len(rows)), key=lambda i: rows["concept"][i].encode())
        path = {**keys, "layer": layer, "concept_set": name, "unit": unit}
        _write_set(run, rows[order], labels, scores, path)


def _write_set(
    run: Run, rows: pl.DataFrame, labels: Collection[str], scores: Mapping[str, str], keys: dict[str, Any]
) -> None:
    method = rows["method"][0]
    vectors = np.array(rows["vector"].to_list(), dtype=np.float32)
    # An imported set is judged like a supervised one when every vector is named after a label.
    supervised = method in SUPERVISED or (method == "imported" and set(rows["concept"]) <= set(labels))
    score = scores.get(keys["concept_set"], SCORES[method])
    digests = [digest(v, str(b)) for v, b in zip(vectors, rows["bias"], strict=True)]
    facts = {**base("import"), "method": method, "score": score, "supervised": supervised}
    identity = {**facts, **by_label(dict(zip(rows["concept"], digests, strict=True)))}
    about = {"method": [method], "supervised": [supervised], "score": [score], "hyperparameters": [json.dumps({})]}
    write_small(run, "concept_sets", facts, arrow("concept_sets", **about), **keys)
    columns: dict[str, Any] = {
        "concept": rows["concept"].to_list(),
        "method": [method] * len(rows),
        "vector": lists(vectors),
        "bias": rows["bias"].to_list(),
        "norm": [float(norm) for norm in np.linalg.norm(vectors.astype(np.float64), axis=1)],
        "status": ["ok"] * len(rows),
    }
    staged = run.partition("concepts", identity, **keys)
    staged.meta["width"] = vectors.shape[1]
    if not staged.current and 0 not in staged.done:
        staged.write(0, [arrow("concepts", **columns)])
