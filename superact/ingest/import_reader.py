"""An import folder, read and validated: nothing here writes.

docs/import.md describes the folder. Tables are checked whole; embeddings are read a file at a time, each time they are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from superact.errors import BadInput, NonFinite
from superact.ingest.concept_rows import check_concepts, check_scores, read_concepts
from superact.ingest.import_tables import (
    REQUIRED,
    check_among,
    check_not_negative,
    check_references,
    find_table,
    read_table,
)
from superact.store.layout import check_slug

SPLITS = ("train", "cal", "test")
UNITS = ("token", "cls")
MODALITIES = ("text", "image")
_EMBEDDINGS = re.compile(r"embeddings_(token|cls)_layer(\d+)\.(npy|safetensors)")


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
    scores: dict[str, str]
    protocol: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """Every label with a positive sample or token."""
        return sorted({*self.sample_labels["label"], *self.token_labels["label"]})

    @property
    def train(self) -> np.ndarray[Any, Any]:
        """The samples of split train."""
        return self.samples.filter(pl.col("split") == "train")["sample"].to_numpy()


def read_folder(path: Path) -> Folder:
    """Read and validate the tables of a folder; embeddings are only found, `check_embeddings` reads them.

    Errors: BadInput and BadTable, naming file, row and column.
    """
    protocol = _protocol(path)
    samples = _samples(path)
    index = {unit: frame for unit in UNITS if (frame := read_table(path, f"embeddings_{unit}_index")) is not None}
    tokens, token_labels = read_table(path, "tokens"), read_table(path, "token_labels")
    notes = []
    if tokens is None:
        source = index.get("token", pl.DataFrame(schema=REQUIRED["embeddings_token_index"]))
        tokens = source.select("sample", "token", is_content=pl.lit(True))
        notes.append("no tokens table: every token of the embeddings index counts as content")
    if token_labels is None:
        token_labels = pl.DataFrame(schema=REQUIRED["token_labels"])
    sample_labels = read_table(path, "sample_labels")
    if sample_labels is None:
        if token_labels.is_empty():
            raise BadInput(what=f"{path} has neither sample_labels nor token_labels.", remedy="Add one of them.")
        sample_labels = token_labels.select("sample", "label").unique(maintain_order=True)
        notes.append("no sample_labels table: a sample carries the labels of its tokens")
    concepts = read_concepts(path)
    folder = Folder(
        path=path,
        dataset=check_slug(protocol["dataset"], "dataset"),
        model=check_slug(protocol["model"], "model"),
        normalised=protocol["embeddings"] == "normalised",
        samples=samples,
        sample_labels=sample_labels,
        tokens=tokens,
        token_labels=token_labels,
        index=index,
        embeddings=_find_embeddings(path),
        concepts=concepts,
        scores=check_scores(path / "protocol.json", protocol.get("scores", {}), concepts),
        protocol=protocol,
        notes=notes,
    )
    _check_folder(folder)
    return folder


def _protocol(path: Path) -> dict[str, Any]:
    file = path / "protocol.json"
    try:
        protocol = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(
            what=f"{path} has no protocol.json.", remedy='It says {"dataset": ..., "model": ..., "embeddings": "raw"}.'
        ) from None
    except ValueError as error:
        raise BadInput(what=f"{file} is not JSON ({error}).", remedy="Correct it.") from error
    if not isinstance(protocol, dict):
        raise BadInput(what=f"{file} is not a JSON object.", remedy='It says {"dataset": ..., "model": ...}.')
    for key in ("dataset", "model"):
        if not isinstance(protocol.get(key), str):
            raise BadInput(what=f"{file} does not name the {key}.", remedy=f'Add "{key}": "...".')
    protocol.setdefault("embeddings", "raw")
    if protocol["embeddings"] not in ("raw", "normalised"):
        raise BadInput(what=f"{file}: embeddings is {protocol['embeddings']!r}.", remedy='Use "raw" or "normalised".')
    return protocol


def _samples(path: Path) -> pl.DataFrame:
    file, frame = find_table(path, "samples"), read_table(path, "samples")
    if file is None or frame is None:
        raise BadInput(what=f"{path} has no samples.csv or samples.parquet.", remedy="Add it; docs/import.md says how.")
    if frame.is_empty():
        raise BadInput(what=f"{file} has no rows.", remedy="Add one row a sample.")
    check_not_negative(file, frame["sample"])
    check_among(file, frame["split"], SPLITS, "a split")
    check_among(file, frame["modality"], MODALITIES, "a modality")
    return frame


def _find_embeddings(path: Path) -> dict[tuple[int, str], Path]:
    found: dict[tuple[int, str], Path] = {}
    for file in sorted(path.iterdir()):
        if match := _EMBEDDINGS.fullmatch(file.name):
            key = int(match[2]), match[1]
            if key in found:
                what = f"{found[key]} and {file.name} are both embeddings of unit {key[1]} at layer {key[0]}."
                raise BadInput(what=what, remedy="Remove one of them.")
            found[key] = file
    if not found:
        raise BadInput(
            what=f"{path} has no embeddings.",
            remedy="Add embeddings_token_layer<k>.npy (float32 [rows, d]) and their index.",
        )
    return found


def _check_folder(folder: Folder) -> None:
    """Every row refers to a sample and a token that exist, and every content token has its row of embeddings."""

    def file(name: str) -> Path:
        return find_table(folder.path, name) or folder.path / name

    tokens = file("tokens")
    check_not_negative(tokens, folder.tokens["token"])
    frames = {"sample_labels": folder.sample_labels, "tokens": folder.tokens, "token_labels": folder.token_labels}
    frames |= {f"embeddings_{unit}_index": index for unit, index in folder.index.items()}
    for name, frame in frames.items():
        check_references(file(name), frame, folder.samples, ["sample"], "samples")
    check_references(file("token_labels"), folder.token_labels, folder.tokens, ["sample", "token"], "tokens")
    if "token" in folder.index:
        index = folder.index["token"]
        check_references(file("embeddings_token_index"), index, folder.tokens, ["sample", "token"], "tokens")
        content = folder.tokens.with_columns(row=pl.int_range(pl.len())).filter("is_content")
        lost = content.join(index, on=["sample", "token"], how="anti", maintain_order="left")
        if not lost.is_empty():
            sample, token = lost.select("sample", "token").row(0)
            raise BadInput(
                what=f"{file('embeddings_token_index')} has no row for content token {token} of sample {sample}.",
                remedy="Add it, or set is_content to 0 in tokens.",
            )
    for layer, unit in folder.embeddings:
        if unit not in folder.index:
            raise BadInput(
                what=f"{folder.path} has embeddings of unit {unit} at layer {layer} and no embeddings_{unit}_index.",
                remedy="Add the index: columns row, sample, token.",
            )


def check_embeddings(folder: Folder) -> dict[tuple[int, str], int]:
    """Read every embeddings file once and return its width, so that a folder that is refused leaves no debris.

    Errors: BadInput, NonFinite.
    """
    widths = {}
    for layer, unit in sorted(folder.embeddings):
        sample, _, embedding = read_embeddings(folder, layer, unit)
        widths[layer, unit] = embedding.shape[1]
        if not folder.normalised and not np.isin(sample, folder.train).any():
            raise BadInput(
                what=f"{folder.path} has raw embeddings (unit {unit}, layer {layer}) and no train rows to normalise by.",
                remedy='Add train samples, or normalise yourself and say "embeddings": "normalised".',
            )
    if folder.concepts is not None:
        check_concepts(find_table(folder.path, "concepts") or folder.path, folder.concepts, widths)
    return widths


def read_embeddings(folder: Folder, layer: int, unit: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Rows of one file in (sample, token) order, content tokens only: sample [n], token [n], embedding float32 [n, d].

    Errors: BadInput where the file and its index disagree, NonFinite naming layer and sample.
    """
    path = folder.embeddings[layer, unit]
    values = _load_array(path)
    index = folder.index[unit]
    if values.dtype.kind not in "fiu":
        raise BadInput(what=f"{path} has type {values.dtype}.", remedy="Embeddings are numbers, float32 best.")
    if values.ndim != 2 or len(values) != len(index) or not values.size:
        raise BadInput(
            what=f"{path} has shape {values.shape} and its index {len(index)} rows.",
            remedy="Embeddings are [rows, d], one row a line of the index, and at least one.",
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
    with np.errstate(over="ignore"):  # what overflows float32 is infinite, which is told below
        embedding = np.ascontiguousarray(values[index["row"].to_numpy()], dtype=np.float32)
    sample = index["sample"].to_numpy()
    bad = ~np.isfinite(embedding).all(axis=1)
    if bad.any():
        raise NonFinite(kind=f"value of {path.name}", layer=layer, sample=int(sample[np.argmax(bad)]))
    token = index["token"].to_numpy() if unit == "token" else np.full(len(index), -1, dtype=np.int32)
    return sample, token, embedding


def _load_array(path: Path) -> np.ndarray[Any, Any]:
    if path.suffix == ".npy":
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise BadInput(what=f"{path} is not a .npy array ({error}).", remedy="Save it with numpy.save.") from error
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise BadInput(
            what=f"{path} needs the package safetensors.",
            remedy="Run pip install safetensors, or save it with numpy.save.",
        ) from None
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        # numpy has no bfloat16: safetensors then fails with KeyError or TypeError.
        raise BadInput(
            what=f"{path} cannot be read ({error!r}).", remedy="Save one float32 tensor [rows, d]."
        ) from error
    if len(tensors) != 1:
        raise BadInput(what=f"{path} holds {len(tensors)} tensors.", remedy="One file holds one tensor [rows, d].")
    return next(iter(tensors.values()))


def statistics(folder: Folder, sample: np.ndarray[Any, Any], embedding: np.ndarray[Any, Any]) -> tuple[Any, float, int]:
    """Mean float32 [d], RMS norm and count of the train rows; mean 0 and RMS 1 where the folder is normalised already."""
    train = np.isin(sample, folder.train)
    n = int(train.sum())
    if folder.normalised:
        return np.zeros(embedding.shape[1], np.float32), 1.0, n
    total, squares = np.zeros(embedding.shape[1]), 0.0
    for rows in _blocks(embedding[train]):
        total += rows.sum(axis=0)
        squares += float((rows**2).sum())
    return (total / n).astype(np.float32), float(np.sqrt(squares / n)), n


def _blocks(rows: np.ndarray[Any, Any], size: int = 16 * 1024) -> Iterator[np.ndarray[Any, Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size].astype(np.float64)
