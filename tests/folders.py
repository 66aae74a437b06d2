"""Import folders made to measure, and what a warehouse holds in a form that compares."""

import json
from pathlib import Path

import numpy as np
import polars as pl

import superact
from superact.schemas import tables

SPLITS = ("train", "cal", "test")


def write_folder(
    path: Path,
    *,
    seed: int = 0,
    samples: int = 9,
    tokens: int = 4,
    width: int = 4,
    labels: tuple[str, ...] = ("blue", "red"),
    layers: tuple[int, ...] = (1, 2),
    units: tuple[str, ...] = ("token", "cls"),
    sets: tuple[str, ...] = ("avg", "linsep"),
    embeddings: str = "raw",
    dataset: str = "toys",
    clusters: int = 0,
) -> Path:
    """A whole folder: every third sample is train, cal, test; the last token of a sample is not content.

    `clusters`: how many concepts an unsupervised set has, named by numbers; 0 gives it a concept a label, as the others have.
    """
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    protocol = {"dataset": dataset, "model": "tiny", "embeddings": embeddings}
    (path / "protocol.json").write_text(json.dumps(protocol))
    sample = np.arange(samples)
    split = [SPLITS[s % 3] for s in sample]
    pl.DataFrame({"sample": sample, "split": split, "modality": "text"}).write_csv(path / "samples.csv")
    where = {"sample": sample.repeat(tokens), "token": np.tile(np.arange(tokens), samples)}
    content = (where["token"] < tokens - 1).astype(int)
    pl.DataFrame({**where, "is_content": content}).write_csv(path / "tokens.csv")
    carried = [(s, t, label) for s in sample for t in (0, 1) for i, label in enumerate(labels) if (s + i + t) % 2]
    frame = pl.DataFrame(carried, schema=["sample", "token", "label"], orient="row")
    frame.write_csv(path / "token_labels.csv")
    frame.select("sample", "label").unique(maintain_order=True).write_csv(path / "sample_labels.csv")
    index = {"token": where, "cls": {"sample": sample, "token": np.full(samples, -1)}}
    for unit in units:
        pl.DataFrame({"row": np.arange(len(index[unit]["sample"])), **index[unit]}).write_csv(
            path / f"embeddings_{unit}_index.csv"
        )
        for layer in layers:
            values = rng.normal(size=(len(index[unit]["sample"]), width)).astype(np.float32)
            np.save(path / f"embeddings_{unit}_layer{layer}.npy", values)
    write_concepts(path, rng, labels, layers, units, sets, width, clusters)
    return path


def write_concepts(
    path: Path,
    rng: np.random.Generator,
    labels: tuple[str, ...],
    layers: tuple[int, ...],
    units: tuple[str, ...],
    sets: tuple[str, ...],
    width: int,
    clusters: int = 0,
) -> None:
    numbers = tuple(str(number) for number in range(clusters))
    rows = [
        {
            "layer": layer,
            "concept_set": name,
            "method": name.partition(".")[0],
            "unit": unit,
            "concept": label,
            "bias": 0.5,
        }
        | {f"v{i}": float(v) for i, v in enumerate(rng.normal(size=width).astype(np.float32))}
        for layer in layers
        for name in sets
        for unit in units
        for label in (numbers if clusters and name.startswith("kmeans") else labels)
    ]
    if rows:
        pl.DataFrame(rows).write_csv(path / "concepts.csv")


def contents(root: Path | str) -> dict[str, list[str]]:
    """The rows of every table as sorted text, without the run that wrote them."""
    session = superact.open(root)
    try:
        found = {}
        for table in tables().values():
            if table.room == "manifest":
                continue
            named = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "run")
            rows = session.sql(f"SELECT row({named})::VARCHAR AS r FROM {table.name} ORDER BY r")
            found[table.name] = rows["r"].to_list()
        return found
    finally:
        session.connection.close()


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory with its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
