"""What an ingest will write, before it is run: rows and files counted, bytes measured on a small probe.

The probe is the real thing, extract, learn and score of a few evenly spaced samples at a few of the layers, in a warehouse of
its own in the user's cache that is removed afterwards. Tables over 10 MB come out within 10 %.
"""

from __future__ import annotations

import tempfile
import time
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from superact.cache import cache_path
from superact.ingest.describe_dataset import SAMPLES_PER_FILE
from superact.ingest.extract import EMBEDDING_RATIO
from superact.ingest.forward import Wanted, run_forward
from superact.ingest.job import Job, Shard
from superact.ingest.pipeline import EMBEDDINGS, check_modes, ingest
from superact.ingest.recipe import Recipe
from superact.ingest.targets import ACTIVATION_BYTES
from superact.store import Published, Warehouse
from superact.store.scratch import IN_MEMORY
from superact.store.shards import shard_tokens

PROBE_TOKENS, PROBE_SAMPLES, PROBE_LAYERS, PROBE_ROWS, PROBE_CLUSTERS = 4096, (16, 128), 4, 512, 8
CHUNK_BYTES = 50
"""Page header and compression frame of one column of a row group, whatever its rows."""
GROUP_BYTES = 900
"""Footer bytes of one row group with five columns, where the probe has none to measure."""

Rows = dict[tuple[Any, ...], float]


@dataclass
class Probe:
    """What the probe found: bytes a row and bytes a row group by (table, unit, concept set, layer), and seconds a sample."""

    layers: list[int]
    row_bytes: Rows = field(default_factory=dict)
    group_bytes: Rows = field(default_factory=dict)
    file_bytes: dict[str, float] = field(default_factory=dict)
    """Of the average file of a table, for those whose files are as large whatever the data."""
    token_label_rows: float = 0.0
    seconds_per_sample: float = 0.0

    def bytes(self, table: str, key: tuple[Any, ...], layer: int, rows: int, groups: int) -> float:
        """Bytes of so many rows in so many row groups, by the nearest layer that was probed."""
        nearest = min(self.layers, key=lambda probed: abs(probed - layer))
        usual = {"activations": ACTIVATION_BYTES}.get(table, 0.0)
        each = self.row_bytes.get((table, *key, nearest), usual)
        return rows * each + groups * self.group_bytes.get((table, *key, nearest), GROUP_BYTES)


def measure(job: Job, recipe: Recipe) -> Probe:
    """Run the probe. Errors: those of the stages, as the ingest itself would raise them."""
    small = _subset(job)
    folder = cache_path("probe")
    folder.mkdir(parents=True, exist_ok=True)
    probe = Probe(small.layers)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        warehouse = Warehouse(Path(name))
        # Sets of clusters are scored, too: their activations are priced whether or not they will be stored.
        ingest(warehouse, small, _capped(recipe), keep="all")
        state = warehouse.state()
        for published in state.partitions.values():
            _measure(probe, warehouse, published)
        for table in {partition.table for partition in state.partitions}:
            sizes = [file.bytes for published in state.select(table) for file in published.files]
            probe.file_bytes[table] = sum(sizes) / len(sizes)
        labelled = sum(p.rows for p in state.select("token_labels"))
    probe.token_label_rows = labelled / max(1, small.counts.samples)
    started = time.perf_counter()
    run_forward(small, [_Nobody({(layer, unit) for layer in [max(job.layers)] for unit in job.units})])
    probe.seconds_per_sample = (time.perf_counter() - started) / max(1, small.counts.samples)
    return probe


def _capped(recipe: Recipe) -> Recipe:
    """The recipe with few rows and clusters: as many bytes a concept, in a fraction of the time."""
    return replace(
        recipe,
        max_rows=min(recipe.max_rows or PROBE_ROWS, PROBE_ROWS),
        clusters=min(recipe.clusters, PROBE_CLUSTERS),
        cls_clusters=min(recipe.cls_clusters, PROBE_CLUSTERS),
    )


class _Nobody:
    """Consumer of a forward pass that is only timed."""

    def __init__(self, wanted: set[Wanted]) -> None:
        self._wanted = wanted

    def wants(self, shard: Shard) -> set[Wanted]:
        return self._wanted

    def begin(self, shard: Shard) -> None: ...

    def take(self, wanted: Wanted, positions: Any, rows: Any) -> None: ...

    def end_batch(self) -> None: ...

    def cancel_batch(self) -> None: ...

    def end(self, shard: Shard) -> None: ...


def _subset(job: Job) -> Job:
    """The job for a few evenly spaced samples, half of them train samples, and a few evenly spaced layers."""
    per_sample = max(1, job.counts.content // max(1, job.counts.samples))
    least, most = PROBE_SAMPLES
    n = min(max(least, PROBE_TOKENS // per_sample), most)
    chosen = {*_spaced(job.samples, n // 2), *_spaced(job.train.tolist(), n // 2)}
    small = copy(job)
    small.__dict__.pop("counts", None)
    small.subset = sorted(chosen)
    small.layers = _spaced(job.layers, PROBE_LAYERS)
    return small


def _spaced(items: list[int], n: int) -> list[int]:
    """At most n of the items, evenly spaced, the first and the last among them."""
    if len(items) <= n:
        return list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, n).round().astype(int))]


def _measure(probe: Probe, warehouse: Warehouse, published: Published) -> None:
    """Split a partition's bytes into those of its rows and those of its row groups and footers."""
    keys = dict(published.partition.keys)
    table = published.partition.table
    if table in ("embeddings", "activations", "concepts"):
        key = (table, keys["unit"], *([] if table == "embeddings" else [keys["concept_set"]]), keys["layer"])
    else:
        key = (table,)
    data = rows = groups = 0
    for file in published.files:
        metadata = pq.read_metadata(warehouse.root / file.path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            sizes = [group.column(i).total_compressed_size for i in range(group.num_columns)]
            data += sum(max(0, size - CHUNK_BYTES) for size in sizes)
            rows += group.num_rows
            groups += 1
    if rows:
        probe.row_bytes[key] = data / rows
        probe.group_bytes[key] = (published.bytes - data) / groups


def estimate(
    job: Job, recipe: Recipe, embeddings: str = "keep", probe: Probe | None = None, keep: str = "selected"
) -> pl.DataFrame:
    """Rows, bytes and files of every table that an ingest of this job into an empty warehouse leaves: a row a table.

    Columns: table String; rows, bytes, files Int64. Rows and files are counted, but for the rows of token_labels, which like
    all bytes are extrapolated from the probe. A cluster that comes out empty is counted although it will be dropped.
    What eval adds is not in it: the sets that `keep` leaves to it are priced by `estimate_clusters`.
    Errors: BadInput as `pipeline.check_modes`.
    """
    check_modes(recipe, embeddings, keep)
    probe = probe or measure(job, recipe)
    tables = {**_described(job, probe), **_learned(job, recipe, probe), **_scored(job, recipe, probe, keep)}
    if embeddings == "keep":
        tables["embeddings"] = _embedded(job, probe)
    rows = [(name, *(round(number) for number in numbers)) for name, numbers in sorted(tables.items())]
    return pl.DataFrame(
        rows, schema={"table": pl.String} | dict.fromkeys(("rows", "bytes", "files"), pl.Int64), orient="row"
    )


def prices(job: Job, recipe: Recipe, probe: Probe | None = None, keep: str = "selected") -> pl.DataFrame:
    """What each embeddings mode costs: a row a mode that can be had with this recipe.

    Columns: embeddings String; kept_bytes and peak_bytes Int64, of all tables; passes Int64, forward passes over the data;
    seconds Float64, about what those take on this machine.
    """
    probe = probe or measure(job, recipe)
    tables = {name: size for name, _, size, _ in estimate(job, recipe, "keep", probe, keep).iter_rows()}
    held = tables.pop("embeddings")
    rest = sum(tables.values())
    # Train rows lie on the disk while concepts are learned: one (layer, unit) at a time, with none all of them.
    each = [4 * job.model.width * train_rows(job, unit) for unit in job.units]
    largest, together = (size if size > IN_MEMORY else 0 for size in (max(each), sum(each) * len(job.layers)))
    most = held + max(rest, rest - tables.get("activations", 0) + largest)
    forward = probe.seconds_per_sample * job.counts.samples
    share = len(job.train) / max(1, len(job.samples))
    costs = {
        "keep": (rest + held, most, 1, forward),
        "drop": (rest, most, 1, forward),
        # Learning looks at the shards that have a train sample: all of them in most datasets, at least their share.
        "none": (rest, rest + together, 3, forward * (2 + max(share, 1.0 if job.counts.shards < 100 else share))),
    }
    schema = {"embeddings": pl.String, "kept_bytes": pl.Int64, "peak_bytes": pl.Int64, "passes": pl.Int64}
    modes = ("keep",) if recipe.unsupervised and keep != "all" else EMBEDDINGS
    rows = [(mode, *costs[mode]) for mode in modes]
    return pl.DataFrame(rows, schema=schema | {"seconds": pl.Float64}, orient="row")


def train_rows(job: Job, unit: str) -> int:
    """Train rows of a unit, about: the content tokens of the average sample times the train samples."""
    each = job.counts.content / max(1, job.counts.samples) if unit == "token" else 1
    return int(each * len(job.train))


Numbers = tuple[float, float, float]  # rows, bytes, files


def _described(job: Job, probe: Probe) -> dict[str, Numbers]:
    """The tables of the dataset and the model."""
    n, labelled = job.counts.samples, probe.token_label_rows * job.counts.samples

    def scaled(table: str, rows: float, files: int) -> Numbers:
        data = rows * probe.row_bytes.get((table,), 0.0)
        return rows, data + files * probe.group_bytes.get((table,), probe.file_bytes.get(table, 0.0)), files

    return {
        "datasets": (1, probe.file_bytes["datasets"], 1),
        "models": (1, probe.file_bytes["models"], 1),
        "samples": scaled("samples", n, -(-n // SAMPLES_PER_FILE)),
        "labels": scaled("labels", len(job.dataset.labels), 1),
        "sample_labels": scaled("sample_labels", job.dataset.sample_labels.height, 1),
        "tokens": scaled("tokens", job.counts.tokens, job.counts.shards),
        "token_labels": scaled("token_labels", labelled, 1),
    }


def _embedded(job: Job, probe: Probe) -> Numbers:
    rows = size = files = 0.0
    for layer in job.layers:
        for unit in job.units:
            n = job.counts.rows(unit)
            rows, files = rows + n, files + job.counts.shards
            size += probe.bytes("embeddings", (unit,), layer, n, job.counts.shards)
    return rows, size or rows * 4 * job.model.width * EMBEDDING_RATIO, files


def _learned(job: Job, recipe: Recipe, probe: Probe) -> dict[str, Numbers]:
    """layer_stats and concept_sets: small files, each as large as those of the probe; and concepts, a row a vector."""
    pairs = len(job.layers) * len(job.units)
    sets = pairs * len(recipe.methods)
    rows = size = 0.0
    for unit in job.units:
        for method in recipe.methods:
            clustered = method in recipe.unsupervised
            n = clusters(job, recipe, unit) if clustered else len(job.dataset.labels)
            for layer in job.layers:
                rows, size = rows + n, size + probe.bytes("concepts", (unit, recipe.concept_set(method)), layer, n, 1)
    return {
        "layer_stats": (pairs, pairs * probe.file_bytes["layer_stats"], pairs),
        "concept_sets": (sets, sets * probe.file_bytes["concept_sets"], sets),
        "concepts": (rows, size, sets),
    }


def clusters(job: Job, recipe: Recipe, unit: str) -> int:
    """Clusters of a unit at most: what the recipe asks for, or a cluster a train row."""
    return min(recipe.k(unit), train_rows(job, unit))


def _scored(job: Job, recipe: Recipe, probe: Probe, keep: str) -> dict[str, Numbers]:
    rows = size = files = 0.0
    for unit in job.units:
        n = job.counts.rows(unit)
        for method in recipe.methods:
            clustered = method in recipe.unsupervised
            if clustered and keep != "all":
                continue
            concepts = clusters(job, recipe, unit) if clustered else len(_learnable(job, unit, method))
            cuts = max(1, -(-n // shard_tokens(concepts)))
            key = (unit, recipe.concept_set(method))
            for layer in job.layers:
                rows, files = rows + n * concepts, files + cuts
                size += probe.bytes("activations", key, layer, n * concepts, cuts * concepts)
    return {"activations": (rows, size, files)} if files else {}


def _learnable(job: Job, unit: str, method: str) -> set[str]:
    """Labels that have train positives, and for separators train negatives; patches count as labelled where a mask is."""
    dataset = job.dataset
    train = set(job.train.tolist())
    carried: dict[str, set[int]] = {label.name: set() for label in dataset.labels}
    for sample, label in dataset.sample_labels.select("sample", "label").iter_rows():
        if sample in train:
            carried[label].add(sample)
    if unit == "token" and dataset.word_positives is not None:
        words = dataset.word_positives
        held = words.filter(pl.col("sample").is_in(list(train)))["label"].unique().to_list()
        worded = set(words["label"].unique().to_list())
        found = {name for name, samples in carried.items() if (name in held if name in worded else samples)}
    else:
        found = {name for name, samples in carried.items() if samples}
    if method == "linsep" and (unit == "cls" or not dataset.has_token_labels):
        found = {name for name in found if len(carried[name]) < len(train)}
    return found
