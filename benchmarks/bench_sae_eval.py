"""Eval of a sparse autoencoder at size, on generated data: time and peak memory. Nothing here is asserted.

    python benchmarks/bench_sae_eval.py            50M non-zeros: 1.5M tokens x 32 of 16384 features, 30 labels
    python benchmarks/bench_sae_eval.py --rare     one label is rare: hardly a unit counts as dead, 20 times as many are kept
    python benchmarks/bench_sae_eval.py --size 8   an eighth of the tokens: memory that does not shrink with it is a constant

Images of 256 tokens, each with a pool of 512 features it draws from (features are active in few images, some in most); every
label has a feature of its own on most of its tokens. `--profile` prints the slowest queries of a run, `--explain TEXT` (to
stderr) what DuckDB did in the first query whose header begins so. Writes about 400 MB under --folder (a temporary folder by
default) and removes it; eval runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

import superact.metrics.evaluate as module
from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.rows import from_columns

SAMPLES, PER_SAMPLE = 5_860, 256
FEATURES, ACTIVE, POOL = 16_384, 32, 512
LABELS = 30
SHARD = 512  # samples of a file
GROUP = 128 * 1024  # rows of a row group
DATASET = {"dataset": "bench"}
MODEL = {**DATASET, "model": "bench"}
PARTITION = {**MODEL, "layer": 1, "concept_set": "sae", "unit": "token"}
SHOWN = 12


def write(run: Run, table: str, keys: dict[str, Any], **columns: Any) -> None:
    """Publish a small table whole."""
    part = run.partition(table, {"bench": table}, **keys)
    part.write(0, [from_columns(tables()[table].arrow_schema(), **columns)])


def label_of(rng: np.random.Generator, samples: int, rare: bool) -> np.ndarray:
    """The label of every token, -1 for none: int [samples, PER_SAMPLE]; about three labels an image, on a tenth of it each.

    Where `rare`, label 0 is on one image in 200.
    """
    found = np.full((samples, PER_SAMPLE), -1)
    for sample in found:
        seldom = [0] if rare and rng.random() < 0.005 else []
        for label in [*rng.permutation(np.arange(int(rare), LABELS))[: rng.integers(1, 6)], *seldom]:
            start, length = rng.integers(PER_SAMPLE - 40), rng.integers(5, 40)
            sample[start : start + length] = label
    return found


def pools(rng: np.random.Generator, samples: int) -> np.ndarray:
    """The features that each image draws from, int [samples, POOL]: some in most images, most in few. Labels' own are not."""
    rank = np.arange(FEATURES - LABELS, dtype=np.float32)
    weight = -0.9 * np.log(rank + 20)
    noise = rng.gumbel(size=(samples, len(rank))).astype(np.float32)
    return np.argpartition(weight + noise, -POOL, axis=1)[:, -POOL:] + LABELS


def active(rng: np.random.Generator, label: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """feature and activation of every token of some samples, [samples * PER_SAMPLE, ACTIVE]."""
    samples = len(label)
    start = rng.integers(POOL, size=(samples, PER_SAMPLE, 1))
    step = 2 * rng.integers(POOL // 2, size=(samples, PER_SAMPLE, 1)) + 1  # odd: no place twice
    place = (start + step * np.arange(ACTIVE)) % POOL
    feature = np.take_along_axis(pools(rng, samples)[:, None, :], place, axis=2)
    own = (label >= 0) & (rng.random(label.shape) < 0.7)
    feature[own, 0] = label[own]
    feature = feature.reshape(-1, ACTIVE)
    values = rng.exponential(size=feature.shape).astype(np.float32) * scale[feature] + np.float32(0.01)
    return feature.astype(np.uint16), values


def shard(first: int, feature: np.ndarray, values: np.ndarray) -> list[pa.Table]:
    """Row groups of one file, in (feature, sample, token) order."""
    rows = np.repeat(np.arange(len(feature), dtype=np.int32), ACTIVE)
    order = np.argsort(feature.reshape(-1), kind="stable")
    columns = {
        "sample": rows[order] // PER_SAMPLE + np.int32(first),
        "token": rows[order] % PER_SAMPLE,
        "feature": feature.reshape(-1)[order].astype(np.int32),
        "activation": values.reshape(-1)[order],
    }
    table = pa.table(columns)
    return [table.slice(start, GROUP) for start in range(0, len(table), GROUP)]


def generate(root: Path, samples: int, rare: bool) -> None:
    """Publish the dataset, its labels, and what the autoencoder says of it."""
    rng = np.random.default_rng(0)
    label, names = label_of(rng, samples, rare), np.array([f"label {number:02d}" for number in range(LABELS)])
    splits = rng.choice(["train", "cal", "test"], samples, p=[0.4, 0.3, 0.3])
    sample, token = np.nonzero(label >= 0)
    carried = np.unique(np.stack([sample, label[sample, token]]), axis=1)
    every = np.indices(label.shape).reshape(2, -1)
    concepts = [str(number) for number in sorted(range(FEATURES), key=str)]
    warehouse = Warehouse(root)
    with warehouse.run("bench") as run:
        write(run, "samples", DATASET, sample=np.arange(samples), split=splits, modality=["image"] * samples)
        write(run, "labels", DATASET, label=names, source=["bench"] * LABELS, evaluated=[True] * LABELS)
        write(run, "sample_labels", DATASET, sample=carried[0], label=names[carried[1]])
        write(run, "tokens", MODEL, sample=every[0], token=every[1], is_content=np.ones(label.size, bool))
        write(run, "token_labels", MODEL, sample=sample, token=token, label=names[label[sample, token]])
        facts = {"method": ["sae"], "supervised": [False], "score": ["activation"], "k": [FEATURES]}
        write(run, "concept_sets", PARTITION, **facts)
        columns = {"method": ["sae"] * FEATURES, "bias": np.zeros(FEATURES), "norm": np.ones(FEATURES)}
        write(run, "concepts", PARTITION, concept=concepts, status=["ok"] * FEATURES, **columns)
        part = run.partition("sae_activations", {"bench": "sae_activations"}, **PARTITION)
        scale = rng.lognormal(sigma=0.5, size=FEATURES).astype(np.float32)
        scale[:LABELS] = 8
        for number, first in enumerate(range(0, samples, SHARD)):
            part.write(number, shard(first, *active(rng, label[first : first + SHARD], scale)))
        run.publish()
    stored = warehouse.state().select("sae_activations")[0]
    size = sum(file.bytes for file in stored.files)
    print(json.dumps({"non-zeros": stored.rows, "bytes a non-zero": size / stored.rows, "files": len(stored.files)}))


class Timed:
    """A connection that notes how long each statement took."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, explain: str | None) -> None:
        self._connection, self._explain = connection, explain
        self.seconds: dict[str, list[Any]] = {}

    def __enter__(self) -> Timed:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _timed(self, text: str, call: Any, parameters: Any) -> Any:
        name = next(iter(re.findall(r"^-- (.{1,60})", text, re.MULTILINE)), text[:60])
        if self._explain and name.startswith(self._explain):
            self._explain = None
            query = re.sub(r"(?s)^(?:INSERT|CREATE)[^\n]*\(\n(.*)\)$", r"\1", text)
            print(self._connection.execute(f"EXPLAIN ANALYZE {query}", parameters).fetchall()[0][1], file=sys.stderr)
        clock = time.perf_counter()
        found = call()
        entry = self.seconds.setdefault(name, [0.0, 0])
        entry[0] += time.perf_counter() - clock
        entry[1] += 1
        return found

    def execute(self, text: str, parameters: Any = None) -> Any:
        return self._timed(text, lambda: self._connection.execute(text, parameters), parameters)

    def sql(self, text: str, params: Any = None) -> Any:
        relation = self._connection.sql(text, params=params)
        rows = self._timed(text, relation.to_arrow_table, params)
        return self._connection.from_arrow(rows)


def measure(root: Path, profile: bool, explain: str | None) -> dict[str, Any]:
    """All of eval, stage by stage, in this process: seconds and peak memory."""
    timers: list[Timed] = []
    original = module.evaluation_connection
    if profile or explain:

        def connect(threads: int | None = None) -> Any:
            timers.append(Timed(original(threads), explain))
            return timers[-1]

        module.evaluation_connection = connect  # type: ignore[assignment]
    found: dict[str, Any] = {}
    for stage in module.STAGES:
        clock, own = time.perf_counter(), time.process_time()
        counts = module.evaluate(Warehouse(root), [stage])
        found[f"{stage} seconds"] = time.perf_counter() - clock
        found[f"{stage} processor seconds"] = time.process_time() - own
        found[f"{stage} peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # kB on Linux
        found |= counts
    for kind in ("seconds", "processor seconds"):
        found[kind] = sum(found[f"{stage} {kind}"] for stage in module.STAGES)
    slowest = sorted(((s, n, name) for t in timers for name, (s, n) in t.seconds.items()), reverse=True)
    found |= {f"{name} (x{n})": seconds for seconds, n, name in slowest[:SHOWN]}
    return found


def child(step: str, root: Path, *more: str) -> dict[str, Any]:
    """Run one step in a fresh process and return what it printed."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(root), *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Generate, measure, print, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1, help="divide the samples by this")
    parser.add_argument("--rare", action="store_true", help="one rare label: many units are kept")
    parser.add_argument("--profile", action="store_true", help="the slowest queries, too")
    parser.add_argument("--explain", metavar="TEXT", help="what DuckDB did in a query")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=["generate", "measure"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    more = ["--size", str(arguments.size), *(["--profile"] if arguments.profile else [])]
    more += ["--rare"] if arguments.rare else []
    more += ["--explain", arguments.explain] if arguments.explain else []
    if arguments.step == "generate":
        generate(arguments.folder, SAMPLES // arguments.size, arguments.rare)
    elif arguments.step == "measure":
        print(json.dumps(measure(arguments.folder, arguments.profile, arguments.explain)))
    else:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            os.environ["SUPERACT_CACHE"] = str(Path(folder) / "cache")
            root = Path(folder) / "warehouse"
            for name, value in {**child("generate", root, *more), **child("measure", root, *more)}.items():
                print(f"{name:<70} {value:,.3f}" if isinstance(value, float) else f"{name:<70} {value:,}")


if __name__ == "__main__":
    main()
