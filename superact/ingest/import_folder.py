"""`superact import`: embeddings, labels and concept vectors made elsewhere become a published run.

The folder holds `protocol.json` and tables as CSV or Parquet (docs/import.md describes each). Everything is read and
validated before the first byte is staged.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from superact.errors import BadInput, BadTable, NonFinite
from superact.ingest.concept_rows import check_concepts, import_concepts, write_concepts
from superact.ingest.describe import (
    arrow,
    frame_rows,
    write_labels,
    write_layer_stats,
    write_small,
    write_token_labels,
)
from superact.ingest.identity import base, digest
from superact.ingest.shards import ranges, shard_tokens
from superact.store import Run, Warehouse
from superact.store.identity import hash_of
from superact.store.layout import check_slug
from superact.store.rows import embedding_rows

SPLITS = ("train", "cal", "test")
UNITS = ("token", "cls")
_EMBEDDINGS = re.compile(r"embeddings_(token|cls)_layer(\d+)\.(npy|safetensors)")

_TYPES: dict[str, dict[str, Any]] = {
    "samples": {"sample": pl.Int32, "split": pl.String, "modality": pl.String},
    "sample_labels": {"sample": pl.Int32, "label": pl.String},
    "tokens": {"sample": pl.Int32, "token": pl.Int32, "is_content": pl.Int8},
    "token_labels": {"sample": pl.Int32, "token": pl.Int32, "label": pl.String},
    "embeddings_token_index": {"row": pl.Int64, "sample": pl.Int32, "token": pl.Int32},
    "embeddings_cls_index": {"row": pl.Int64, "sample": pl.Int32, "token": pl.Int32},
}
_GRAIN = {
    "samples": ["sample"],
    "sample_labels": ["sample", "label"],
    "tokens": ["sample", "token"],
    "token_labels": ["sample", "token", "label"],
    "embeddings_token_index": ["row"],
    "embeddings_cls_index": ["row"],
}


@dataclass
class Folder:
    """A validated import folder."""

    path: Path
    dataset: str
    model: str
    normalised: bool
    samples: pl.DataFrame
    sample_labels: pl.DataFrame
    tokens: pl.DataFrame
    token_labels: pl.DataFrame
    index: dict[str, pl.DataFrame]
    embeddings: dict[tuple[int, str], Path]
    concepts: pl.DataFrame | None
    protocol: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """Every label with a positive sample or token."""
        return sorted({*self.sample_labels["label"], *self.token_labels["label"]})


def read_table(folder: Path, name: str, overrides: dict[str, Any] | None = None) -> pl.DataFrame | None:
    """A table of the folder as CSV or Parquet, or None; required columns and their types are checked."""
    required = _TYPES.get(name, {})
    for path in (folder / f"{name}.csv", folder / f"{name}.parquet"):
        if path.exists():
            break
    else:
        return None
    try:
        if path.suffix == ".csv":
            frame = pl.read_csv(path, schema_overrides=overrides or required)
        else:
            frame = pl.read_parquet(path)
        missing = [column for column in required if column not in frame.columns]
        if missing:
            raise BadInput(what=f"{path} has no column {missing[0]!r}.", remedy=f"It needs {', '.join(required)}.")
        frame = frame.with_columns(pl.col(column).cast(kind) for column, kind in required.items())
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            what=f"{path} cannot be read: {str(error).splitlines()[0]}.", remedy="Correct the file."
        ) from error
    return _unique(frame, path, _GRAIN.get(name, []))


def _unique(frame: pl.DataFrame, path: Path, grain: list[str]) -> pl.DataFrame:
    for column in grain:
        if nulls := frame[column].is_null().arg_true().to_list():
            raise BadTable(path=path, row=nulls[0], column=column, problem="is empty", remedy="Fill it in.")
    if grain and (repeated := frame.select(grain).is_duplicated().arg_true().to_list()):
        value = ", ".join(map(str, frame.select(grain).row(repeated[1])))
        raise BadTable(
            path=path, row=repeated[1], column="+".join(grain), problem=f"{value} occurs twice", remedy="Remove one."
        )
    return frame


def read_folder(path: Path) -> Folder:
    """Read and validate a folder, embeddings excepted: they are read a file at a time when published.

    Errors: BadInput and BadTable, naming file, row and column.
    """
    protocol = _protocol(path)
    samples = _required(path, "samples")
    for row, split in enumerate(samples["split"]):
        if split not in SPLITS:
            problem = f"{split!r} is not a split"
            raise BadTable(
                path=path / "samples.csv", row=row, column="split", problem=problem, remedy="Use train, cal or test."
            )
    index = {unit: frame for unit in UNITS if (frame := read_table(path, f"embeddings_{unit}_index")) is not None}
    tokens, token_labels = read_table(path, "tokens"), read_table(path, "token_labels")
    notes = []
    if tokens is None:
        source = index.get("token", pl.DataFrame(schema=_TYPES["embeddings_token_index"]))
        tokens = source.select("sample", "token", is_content=pl.lit(1, pl.Int8))
        notes.append("no tokens table: every token of the embeddings index counts as content")
    if token_labels is None:
        token_labels = pl.DataFrame(schema=_TYPES["token_labels"])
    sample_labels = read_table(path, "sample_labels")
    if sample_labels is None:
        if token_labels.is_empty():
            raise BadInput(what=f"{path} has neither sample_labels nor token_labels.", remedy="Add one of them.")
        sample_labels = token_labels.select("sample", "label").unique()
        notes.append("no sample_labels table: a sample carries the labels of its tokens")
    folder = Folder(
        path=path,
        dataset=check_slug(str(protocol["dataset"]), "dataset"),
        model=check_slug(str(protocol["model"]), "model"),
        normalised=protocol.get("embeddings", "raw") == "normalised",
        samples=samples,
        sample_labels=sample_labels,
        tokens=tokens.with_columns(pl.col("is_content").cast(pl.Boolean)),
        token_labels=token_labels,
        index=index,
        embeddings=_find_embeddings(path),
        concepts=import_concepts(path, check_slug),
        protocol=protocol,
        notes=notes,
    )
    _check_references(folder)
    return folder


def _protocol(path: Path) -> dict[str, Any]:
    file = path / "protocol.json"
    try:
        protocol = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(
            what=f"{path} has no protocol.json.", remedy='It says {"dataset": ..., "model": ..., "embeddings": "raw"}.'
        ) from None
    except ValueError as error:
        raise BadInput(what=f"{file} is not JSON ({error}).", remedy="Correct it.") from error
    for key in ("dataset", "model"):
        if key not in protocol:
            raise BadInput(what=f"{file} does not name the {key}.", remedy=f'Add "{key}": "...".')
    if protocol.get("embeddings", "raw") not in ("raw", "normalised"):
        raise BadInput(what=f"{file}: embeddings is {protocol['embeddings']!r}.", remedy='Use "raw" or "normalised".')
    return dict(protocol)


def _required(path: Path, name: str) -> pl.DataFrame:
    frame = read_table(path, name)
    if frame is None:
        raise BadInput(what=f"{path} has no {name}.csv or {name}.parquet.", remedy="Add it; docs/import.md says how.")
    return frame


def _find_embeddings(path: Path) -> dict[tuple[int, str], Path]:
    found = {}
    for file in sorted(path.iterdir()):
        if match := _EMBEDDINGS.fullmatch(file.name):
            found[int(match[2]), match[1]] = file
    if not found:
        raise BadInput(
            what=f"{path} has no embeddings.",
            remedy="Add embeddings_token_layer<k>.npy (float32 [rows, d]) and their index.",
        )
    return found


def _check_references(folder: Folder) -> None:
    known = folder.samples.select("sample")
    for name in ("sample_labels", "tokens", "token_labels"):
        _refers(folder, name, getattr(folder, name), known, ["sample"], "samples")
    _refers(folder, "token_labels", folder.token_labels, folder.tokens, ["sample", "token"], "tokens")
    for unit, index in folder.index.items():
        _refers(folder, f"embeddings_{unit}_index", index, known, ["sample"], "samples")
    if "token" in folder.index:
        _refers(folder, "embeddings_token_index", folder.index["token"], folder.tokens, ["sample", "token"], "tokens")
    for layer, unit in folder.embeddings:
        if unit not in folder.index:
            raise BadInput(
                what=f"{folder.path} has embeddings of unit {unit} at layer {layer} and no embeddings_{unit}_index.",
                remedy="Add the index: columns row, sample, token.",
            )


def _refers(folder: Folder, name: str, frame: pl.DataFrame, target: pl.DataFrame, keys: list[str], to: str) -> None:
    missing = frame.with_row_index("line").join(target, on=keys, how="anti")
    if not missing.is_empty():
        value = ", ".join(f"{key} {missing[key][0]}" for key in keys)
        raise BadTable(
            path=folder.path / name,
            row=missing["line"][0],
            column="+".join(keys),
            problem=f"{value} is not in {to}",
            remedy=f"Add it to {to}, or remove this row.",
        )


def read_embeddings(folder: Folder, layer: int, unit: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Rows of one file in (sample, token) order, content tokens only: sample [n], token [n], embedding float32 [n, d].

    Errors: BadInput where the file and its index disagree, NonFinite naming layer and sample.
    """
    path = folder.embeddings[layer, unit]
    values = _load_array(path)
    index = folder.index[unit]
    if values.ndim != 2 or len(values) != len(index):
        raise BadInput(
            what=f"{path} has shape {values.shape} and its index {len(index)} rows.",
            remedy="Embeddings are [rows, d], one row a line of the index.",
        )
    if index["row"].min() != 0 or index["row"].max() != len(index) - 1:
        raise BadInput(
            what=f"The index of {path} does not number its rows 0 to {len(index) - 1}.", remedy="Renumber them."
        )
    index = index.sort("sample", "token")
    if unit == "token":
        index = index.join(
            folder.tokens.filter("is_content"), on=["sample", "token"], how="semi", maintain_order="left"
        )
    rows = index["row"].to_numpy()
    embedding = np.ascontiguousarray(values[rows], dtype=np.float32)
    sample = index["sample"].to_numpy()
    bad = ~np.isfinite(embedding).all(axis=1)
    if bad.any():
        raise NonFinite(kind="value of the embeddings", layer=layer, sample=int(sample[np.argmax(bad)]))
    token = index["token"].to_numpy() if unit == "token" else np.full(len(index), -1, dtype=np.int32)
    return sample, token, embedding


def _load_array(path: Path) -> np.ndarray[Any, Any]:
    if path.suffix == ".npy":
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise BadInput(what=f"{path} is not a .npy array ({error}).", remedy="Save it with numpy.save.") from error
    from safetensors.numpy import load_file

    tensors = load_file(path)
    if len(tensors) != 1:
        raise BadInput(what=f"{path} holds {len(tensors)} tensors.", remedy="One file holds one tensor [rows, d].")
    return next(iter(tensors.values()))


def import_folder(warehouse: Warehouse, path: Path, *, replace: bool = False) -> dict[str, Any]:
    """Validate a folder and publish it as one run; returns what was written, for the command line to print.

    Errors: BadInput and its kin before anything is staged; IdentityMismatch where other content is published already.
    """
    folder = read_folder(path)
    # Everything is read once before anything is staged: a folder that is refused leaves no debris behind.
    widths = {key: read_embeddings(folder, *key)[2].shape[1] for key in sorted(folder.embeddings)}
    if folder.concepts is not None:
        check_concepts(folder, widths)
    size = sum(file.stat().st_size for file in folder.embeddings.values())
    with warehouse.run("import", replace=replace, expected_bytes=size) as run:
        run.provenance = {"folder": str(path), "notes": folder.notes}
        tokens_hash = _write_descriptions(run, folder)
        for layer, unit in widths:
            _write_embeddings(run, folder, layer, unit, tokens_hash)
        _write_model(run, folder, next(iter(widths.values())))
        if folder.concepts is not None:
            write_concepts(run, folder)
        document = run.publish()
    return {
        "dataset": folder.dataset,
        "model": folder.model,
        "layers": sorted({layer for layer, _ in folder.embeddings}),
        "rows": sum(e["rows"] for e in document["partitions"]) if document else 0,
        "published": document is not None,
        "notes": folder.notes,
    }


def _write_descriptions(run: Run, folder: Folder) -> str:
    """Tables datasets, samples, labels, sample_labels, tokens, token_labels; returns the identity hash of tokens."""
    samples = folder.samples.sort("sample")
    sources = digest(*(samples[name].cast(pl.String).fill_null("").str.join("\n").item() for name in samples.columns))
    tokens = folder.tokens.sort("sample", "token")
    identity = {**base("import"), "sources": sources}
    name = str(folder.protocol.get("dataset_name", folder.dataset))
    facts = {"name": [name], "source": ["import"], "modality": [samples["modality"][0]], "digest": [sources]}
    write_small(run, "datasets", identity, arrow("datasets", **facts), dataset=folder.dataset)
    write_small(run, "samples", identity, frame_rows("samples", samples), dataset=folder.dataset)
    labels = pl.DataFrame(
        {"label": folder.labels, "source": "import", "evaluated": True}, schema_overrides={"label": pl.String}
    )
    write_labels(run, "import", folder.dataset, labels, folder.sample_labels)
    keys = {"dataset": folder.dataset, "model": folder.model}
    columns = [tokens[name].to_numpy() for name in ("sample", "token", "is_content")]
    identity = {**identity, "tokens": digest(*columns)}
    write_small(run, "tokens", identity, frame_rows("tokens", tokens), **keys)
    tokens_hash = hash_of(identity)
    write_token_labels(run, "import", tokens_hash, folder.labels, folder.token_labels, **keys)
    return tokens_hash


def _write_model(run: Run, folder: Folder, width: int) -> None:
    facts = {
        "name": [str(folder.protocol.get("model_name", folder.model))],
        "source": ["import"],
        "modality": [folder.samples["modality"][0]],
        "width": [width],
    }
    write_small(run, "models", {**base("import"), "model": folder.model}, arrow("models", **facts), model=folder.model)


def _write_embeddings(run: Run, folder: Folder, layer: int, unit: str, tokens_hash: str) -> None:
    """Tables embeddings and layer_stats of one layer and unit."""
    sample, token, embedding = read_embeddings(folder, layer, unit)
    keys: dict[str, Any] = {"dataset": folder.dataset, "model": folder.model, "layer": layer, "unit": unit}
    identity = {
        **base("import"),
        "input:tokens": tokens_hash,
        "normalised": folder.normalised,
        "embeddings": digest(sample, token, embedding),
        "splits": digest("\n".join(folder.samples.sort("sample")["split"])),
    }
    staged = run.partition("embeddings", identity, **keys)
    staged.meta["width"] = embedding.shape[1]
    for shard, (start, stop) in enumerate(ranges(len(sample), shard_tokens(embedding.shape[1] // 2))):
        if not staged.current and shard not in staged.done:
            piece = slice(start, stop)
            staged.write(shard, [embedding_rows(sample[piece], token[piece], embedding[piece])])
    mean, rms, n = _statistics(folder, sample, embedding)
    write_layer_stats(run, identity, mean, rms, n, **keys)


def _statistics(
    folder: Folder, sample: np.ndarray[Any, Any], embedding: np.ndarray[Any, Any]
) -> tuple[Any, float, int]:
    """Mean, RMS norm and count of the train rows; mean 0 and RMS 1 where the folder is normalised already."""
    train = np.isin(sample, folder.samples.filter(pl.col("split") == "train")["sample"].to_numpy())
    n = int(train.sum())
    if folder.normalised:
        return np.zeros(embedding.shape[1], np.float32), 1.0, n
    if n == 0:
        raise BadInput(
            what=f"{folder.path} has raw embeddings and no train rows to normalise by.",
            remedy='Add train samples, or normalise yourself and say "embeddings": "normalised".',
        )
    rows = embedding[train].astype(np.float64)
    return rows.mean(axis=0).astype(np.float32), float(np.sqrt((rows**2).sum(axis=1).mean())), n
