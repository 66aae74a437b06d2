"""Concept vectors as rows of tables `concept_sets` and `concepts`, from an import folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from superact.errors import BadInput, BadTable
from superact.ingest.describe import arrow, write_small
from superact.ingest.identity import base, by_label, digest
from superact.store import Run
from superact.store.rows import optional_lists

if TYPE_CHECKING:
    from superact.ingest.import_folder import Folder

SCORES = {
    "avg": "cosine",
    "kmeans": "cosine",
    "linsep": "signed_distance",
    "kmeans-linsep": "signed_distance",
    "imported": "cosine",
}
"""The score of each method (contract, section 4); the protocol may name another for `imported`."""

SUPERVISED = ("avg", "linsep")


def import_concepts(folder: Path, check_slug: Callable[[str, str], str]) -> pl.DataFrame | None:
    """The folder's concepts: layer, concept_set, method, unit, concept, bias, vector (list of floats); None without.

    A CSV spreads the vector over v0, v1, ...; a Parquet file may hold it as one list column `vector`.
    """
    frame = _read(folder)
    if frame is None:
        return None
    path = folder / "concepts"
    for column in ("layer", "method", "unit", "concept"):
        if column not in frame.columns:
            raise BadInput(
                what=f"{path} has no column {column!r}.", remedy="It needs layer, method, unit, concept and a vector."
            )
    if "vector" not in frame.columns:
        parts = [name for name in frame.columns if name[:1] == "v" and name[1:].isdigit()]
        if not parts:
            raise BadInput(what=f"{path} has no vector.", remedy="Add columns v0, v1, ... or a list column `vector`.")
        frame = frame.with_columns(vector=pl.concat_list([pl.col(f"v{i}").cast(pl.Float32) for i in range(len(parts))]))
    if "bias" not in frame.columns:
        frame = frame.with_columns(bias=pl.lit(0.0))
    if "concept_set" not in frame.columns:
        frame = frame.with_columns(concept_set=pl.col("method"))
    for row, (method, unit, name) in enumerate(frame.select("method", "unit", "concept_set").iter_rows()):
        if method not in SCORES:
            raise BadTable(
                path=path,
                row=row,
                column="method",
                problem=f"{method!r} is not a method",
                remedy=f"Use {', '.join(SCORES)}.",
            )
        if unit not in ("token", "cls"):
            raise BadTable(
                path=path, row=row, column="unit", problem=f"{unit!r} is not a unit", remedy="Use token or cls."
            )
        check_slug(name, "concept_set")
    grain = ["layer", "concept_set", "unit", "concept"]
    if repeated := frame.select(grain).is_duplicated().arg_true().to_list():
        value = frame["concept"][repeated[1]]
        raise BadTable(
            path=path, row=repeated[1], column="concept", problem=f"{value!r} occurs twice", remedy="Remove one."
        )
    return frame.select("layer", "concept_set", "method", "unit", "concept", "bias", "vector")


def _read(folder: Path) -> pl.DataFrame | None:
    if (folder / "concepts.csv").exists():
        return pl.read_csv(folder / "concepts.csv", schema_overrides={"concept": pl.String, "bias": pl.Float64})
    if (folder / "concepts.parquet").exists():
        return pl.read_parquet(folder / "concepts.parquet")
    return None


def check_concepts(folder: Folder, widths: dict[tuple[int, str], int]) -> None:
    """Raise BadInput unless every vector has finite values, as many as the embeddings of its layer and unit."""
    assert folder.concepts is not None
    for layer, unit, name, concept, vector in folder.concepts.select(
        "layer", "unit", "concept_set", "concept", "vector"
    ).iter_rows():
        width = widths.get((layer, unit))
        if width is None:
            raise BadInput(
                what=f"concepts has {name} vectors of unit {unit} at layer {layer}, which has no embeddings.",
                remedy="Add that layer's embeddings, or remove the rows.",
            )
        finite = int(np.isfinite(np.asarray(vector, dtype=np.float32)).sum())
        if len(vector) != width or finite != width:
            raise BadInput(
                what=f"Vector {concept!r} of {name} at layer {layer} has {len(vector)} values, {finite} of them finite; "
                f"the embeddings have {width}.",
                remedy="Give one finite number for each dimension.",
            )


def write_concepts(run: Run, folder: Folder) -> None:
    """Tables concept_sets and concepts of every (layer, concept_set, unit) of an import."""
    assert folder.concepts is not None
    for (layer, name, unit), rows in folder.concepts.group_by("layer", "concept_set", "unit", maintain_order=True):
        vectors = [np.asarray(vector, dtype=np.float32) for vector in rows["vector"]]
        keys = {"dataset": folder.dataset, "model": folder.model, "layer": layer, "concept_set": name, "unit": unit}
        _write_set(run, folder, rows, vectors, keys)


def _write_set(
    run: Run, folder: Folder, rows: pl.DataFrame, vectors: list[np.ndarray[Any, Any]], keys: dict[str, Any]
) -> None:
    method = rows["method"][0]
    supervised = method in SUPERVISED or (method == "imported" and set(rows["concept"]) <= set(folder.labels))
    score = folder.protocol.get("scores", {}).get(keys["concept_set"], SCORES[method])
    digests = [digest(v, str(b)) for v, b in zip(vectors, rows["bias"], strict=True)]
    facts = {**base("import"), "method": method, "score": score, "supervised": supervised}
    identity = {**facts, **by_label(dict(zip(rows["concept"], digests, strict=True)))}
    about = {"method": [method], "supervised": [supervised], "score": [score], "hyperparameters": [json.dumps({})]}
    write_small(run, "concept_sets", facts, arrow("concept_sets", **about), **keys)
    order = sorted(range(len(rows)), key=lambda i: rows["concept"][i].encode())
    columns: dict[str, Any] = {
        "concept": [rows["concept"][i] for i in order],
        "method": [method] * len(rows),
        "vector": optional_lists([vectors[i] for i in order]),
        "bias": [float(rows["bias"][i]) for i in order],
        "norm": [float(np.linalg.norm(vectors[i].astype(np.float64))) for i in order],
        "status": ["ok"] * len(rows),
    }
    staged = run.partition("concepts", identity, **keys)
    staged.meta["width"] = len(vectors[0])
    if not staged.current and 0 not in staged.done:
        staged.write(0, [arrow("concepts", **columns)])
