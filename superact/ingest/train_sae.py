"""Train an autoencoder on the stored embeddings of a layer, and say how well it explains them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superact.concepts.sae import Sae, save_saelens
from superact.concepts.sae.train import Recipe, fit
from superact.errors import BadInput
from superact.ingest.sae_stats import Sums, stats_rows
from superact.ingest.sources import frame, needed, stored_blocks
from superact.store import Published, Warehouse
from superact.store.scratch import scratch_matrix
from superact.store.warehouse import versions

RECORD = "superact.json"
MEASURED = ("train", "cal")
"""The splits that a trained one is measured on: what it was trained on, and held-out rows. Never test."""

Array = np.ndarray[Any, Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trained:
    """A trained autoencoder, what made it, and a sae_stats row for each split of MEASURED."""

    sae: Sae
    record: dict[str, Any]
    stats: list[dict[str, Any]]


def train_sae(
    warehouse: Warehouse,
    recipe: Recipe,
    *,
    dataset: str,
    model: str,
    layer: int,
    unit: str = "token",
    device: str = "cpu",
    progress: Progress | None = None,
) -> Trained:
    """Train on the embeddings of the train samples of one layer and unit, content tokens only, as they are stored.

    Errors: MissingTable where there are no embeddings; BadInput for rows that cannot be trained on.
    """
    state = warehouse.state()
    keys: dict[str, Any] = {"dataset": dataset, "model": model, "layer": layer, "unit": unit}
    embeddings = needed(warehouse, state, "sae train", "embeddings", **keys)
    samples = frame(warehouse, needed(warehouse, state, "sae train", "samples", dataset=dataset), ["sample", "split"])
    splits = {split: samples.filter(samples["split"] == split)["sample"].to_numpy() for split in MEASURED}
    rows = _train_rows(warehouse, embeddings, splits["train"])
    recipe = recipe.resolved(*rows.shape)
    place = f"{dataset}-{model}-layer{layer}-{unit}"
    sae = fit(rows, recipe, name=place, source=place, device=device, progress=progress)
    settings = asdict(recipe)
    about = {"model_name": model, "dataset": dataset, "layer": layer, "unit": unit, "seed": settings.pop("seed")}
    sae = replace(sae, about={**about, "recipe": settings})
    stats = _measure(warehouse, embeddings, sae, splits, progress)
    record = {
        **keys,
        "embeddings": embeddings.hash,
        "rows": len(rows),
        "recipe": asdict(recipe),
        "sae": sae.digest,
        "stats": stats,
        "versions": versions(),
    }
    return Trained(sae, record, stats)


def check_place(out: Path, replace: bool) -> None:
    """Raise BadInput where an autoencoder cannot be saved: a file, or a folder that holds one and is not to be replaced."""
    if out.exists() and not out.is_dir():
        raise BadInput(what=f"--out {out} is a file.", remedy="Name a folder.")
    if out.is_dir() and any(out.iterdir()) and not ((out / RECORD).is_file() and replace):
        remedy = "Name another; --replace overwrites an SAE that superact trained."
        raise BadInput(what=f"--out {out} is a folder that holds something already.", remedy=remedy)


def save(trained: Trained, out: Path) -> None:
    """Write the folder: SAELens' two files, and `superact.json`, which says what it was trained on and how well it explains."""
    out.mkdir(parents=True, exist_ok=True)
    (out / RECORD).write_text(json.dumps(trained.record, indent=1) + "\n", encoding="utf-8")
    save_saelens(trained.sae, out)


def _train_rows(warehouse: Warehouse, embeddings: Published, train: Array) -> Array:
    """The raw rows of the train samples, in memory or in a file without a name where they are many."""
    chosen = 0
    for sample, _, _ in stored_blocks(warehouse, embeddings):
        chosen += int(np.isin(sample, train).sum())
    matrix = scratch_matrix(warehouse.root, chosen, embeddings.meta["width"])
    filled = 0
    for sample, _, rows in stored_blocks(warehouse, embeddings):
        kept = rows.numpy()[np.isin(sample, train)]
        matrix[filled : filled + len(kept)] = kept
        filled += len(kept)
    return matrix


def _measure(
    warehouse: Warehouse, embeddings: Published, sae: Sae, splits: dict[str, Array], progress: Progress | None
) -> list[dict[str, Any]]:
    """Rows of table sae_stats of the splits that are measured."""
    sums, done = Sums.zeros(sae.d_in, sae.d_sae), 0
    for sample, _, rows in stored_blocks(warehouse, embeddings, sae.block_rows):
        number = np.full(len(sample), -1)
        for place, split in enumerate(MEASURED):
            number[np.isin(sample, splits[split])] = place
        kept = number >= 0
        x = rows[torch.from_numpy(kept)].to(sae.W_enc.device)
        found = sae.encode_sparse(x)
        sums.add(number[kept], x, sae.decode_sparse(found, len(x), x), found)
        done += len(sample)
        if progress:
            progress("measure the SAE", done, embeddings.rows)
    columns = stats_rows([sums], sae.d_sae)
    rows_of = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in rows_of if row["split"] in MEASURED]
