"""`superact import`: embeddings, labels and concept vectors made elsewhere become a published run.

The folder holds `protocol.json` and tables as CSV or Parquet (docs/import.md describes each). Everything is read and
validated before the first byte is staged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from superact.ingest.concept_rows import write_concepts
from superact.ingest.describe import (
    arrow,
    frame_rows,
    write_labels,
    write_layer_stats,
    write_small,
    write_token_labels,
)
from superact.ingest.identity import ASKED, base, digest
from superact.ingest.import_reader import Folder, check_embeddings, read_embeddings, read_folder, statistics
from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.identity import hash_of, split_column_digest
from superact.store.rows import embedding_rows
from superact.store.shards import ranges, shard_tokens


def import_folder(warehouse: Warehouse, path: Path, *, replace: bool = False) -> dict[str, Any]:
    """Validate a folder and publish it as one run; returns what was written, for the command line to print.

    With `replace`, rows of this dataset under this model that were made from other samples or tokens go with what they were
    made from. Errors: BadInput and its kin before anything is staged; IdentityMismatch where other content is published.
    """
    folder = read_folder(path)
    widths = check_embeddings(folder)
    size = sum(file.stat().st_size for file in folder.embeddings.values())
    with warehouse.run("import", replace=replace, expected_bytes=size) as run:
        run.provenance = {"folder": str(path), "notes": folder.notes}
        tokens_hash = _write_descriptions(run, folder)
        for layer, unit in widths:
            _write_embeddings(run, folder, layer, unit, tokens_hash)
        _write_model(run, folder, next(iter(widths.values())))
        keys = {"dataset": folder.dataset, "model": folder.model}
        if folder.concepts is not None:
            write_concepts(run, folder.concepts, folder.labels, folder.scores, **keys)
        published = run.state.get("tokens", **keys)
        if published and published.hash != tokens_hash:
            run.remove_others(but=ASKED, **keys)
        document = run.publish()
    return {
        "dataset": folder.dataset,
        "model": folder.model,
        "layers": sorted({layer for layer, _ in folder.embeddings}),
        "rows": sum(e["rows"] for e in document["partitions"]) if document else 0,
        "published": document is not None,
        "notes": folder.notes,
    }


def _digest(table: str, frame: pl.DataFrame) -> str:
    """Digest of the columns of a frame that its table stores."""
    names = [column.name for column in tables()[table].stored if column.name in frame.columns]
    return digest(*(part for name in names for part in (name, _column_bytes(frame[name]))))


def _column_bytes(values: pl.Series) -> np.ndarray[Any, Any] | bytes:
    if values.dtype.is_integer() and not values.null_count():
        return values.to_numpy()
    return repr(values.cast(pl.String).to_list()).encode()


def _write_descriptions(run: Run, folder: Folder) -> str:
    """Tables datasets, samples, labels, sample_labels, tokens, token_labels; returns the identity hash of tokens."""
    samples = folder.samples.sort("sample")
    tokens = folder.tokens.sort("sample", "token")
    sources = _digest("samples", samples)
    identity = {**base("import"), "sources": sources}
    name = str(folder.protocol.get("dataset_name", folder.dataset))
    facts = {"name": [name], "source": ["import"], "modality": [samples["modality"][0]], "digest": [sources]}
    write_small(run, "datasets", {**identity, "name": name}, arrow("datasets", **facts), dataset=folder.dataset)
    write_small(run, "samples", identity, frame_rows("samples", samples), dataset=folder.dataset)
    labels = pl.DataFrame(
        {"label": folder.labels, "source": "import", "evaluated": True}, schema_overrides={"label": pl.String}
    )
    write_labels(run, "import", folder.dataset, labels, folder.sample_labels)
    keys = {"dataset": folder.dataset, "model": folder.model}
    identity = {**identity, "tokens": _digest("tokens", tokens)}
    write_small(run, "tokens", identity, frame_rows("tokens", tokens), **keys)
    tokens_hash = hash_of(identity)
    write_token_labels(run, "import", tokens_hash, folder.labels, folder.token_labels, **keys)
    return tokens_hash


def _write_model(run: Run, folder: Folder, width: int) -> None:
    name = str(folder.protocol.get("model_name", folder.model))
    facts = {
        "name": [name],
        "source": ["import"],
        "modality": [folder.samples["modality"][0]],
        "width": [width],
    }
    identity = {**base("import"), "model": folder.model, "name": name, "width": width}
    write_small(run, "models", identity, arrow("models", **facts), model=folder.model)


def _write_embeddings(run: Run, folder: Folder, layer: int, unit: str, tokens_hash: str) -> None:
    """Tables embeddings and layer_stats of one layer and unit."""
    sample, token, embedding = read_embeddings(folder, layer, unit)
    keys: dict[str, Any] = {"dataset": folder.dataset, "model": folder.model, "layer": layer, "unit": unit}
    identity = {
        **base("import"),
        "input:tokens": tokens_hash,
        "normalised": folder.normalised,
        "embeddings": digest(sample, token, embedding),
        "splits": split_column_digest(folder.samples.sort("sample")["split"]),
    }
    staged = run.partition("embeddings", identity, **keys)
    staged.meta["width"] = embedding.shape[1]
    for shard, (start, stop) in enumerate(ranges(len(sample), shard_tokens(embedding.shape[1] // 2))):
        if not staged.current and shard not in staged.done:
            piece = slice(start, stop)
            staged.write(shard, [embedding_rows(sample[piece], token[piece], embedding[piece])])
    mean, rms, n = statistics(folder, sample, embedding)
    write_layer_stats(run, identity, mean, rms, n, **keys)
