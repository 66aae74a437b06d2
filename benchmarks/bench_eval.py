"""Eval at size, on generated data: ratios, counts and peak memory. Nothing here is asserted.

    python benchmarks/bench_eval.py steps      thresholds + detection over 10M rows, beside a vectorised numpy
    python benchmarks/bench_eval.py whole      peak memory of all of eval over 100M rows, images (256 tokens a sample)
    python benchmarks/bench_eval.py texts      the same with 50 tokens a sample, where sample_scores is large

`whole` and `texts` write about 800 MB under --folder (a temporary folder by default) and remove it afterwards. Every step runs
in a fresh process, so that the memory measured is that of eval alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superact.metrics.evaluate import evaluate
from superact.metrics.partition import add, bind, evaluation_connection, hold, hold_query, query
from superact.schemas import tables
from superact.store import Run, Warehouse
from superact.store.rows import activation_rows, from_columns

CONCEPTS = 80
SHARD = 128 * 1024
SHAPES = {"steps": (125_000, 256), "whole": (1_250_000, 256), "texts": (1_250_000, 50)}
"""Tokens in all, and tokens a sample, of each benchmark; times CONCEPTS gives the rows."""
DATASET = {"dataset": "bench"}
MODEL = {**DATASET, "model": "bench"}
PARTITION = {**MODEL, "layer": 1, "concept_set": "avg", "unit": "token"}
REPEATS = 5


def names() -> list[str]:
    """The labels, which are the concepts too."""
    return [f"label {number:02d}" for number in range(CONCEPTS)]


def write(run: Run, table: str, keys: dict[str, Any], **columns: Any) -> None:
    """Publish a small table whole."""
    part = run.partition(table, {"bench": table}, **keys)
    part.write(0, [from_columns(tables()[table].arrow_schema(), **columns)])


def labelled(rng: np.random.Generator, samples: int, per_sample: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For every label, its positive samples (about a tenth) and its tokens in them (runs of 5 to 30 % of a sample)."""
    sample_rows, token_rows = [], []
    for _ in range(CONCEPTS):
        positive = np.flatnonzero(rng.random(samples) < 0.1)
        lengths = np.maximum(1, (rng.uniform(0.05, 0.3, len(positive)) * per_sample).astype(int))
        starts = (rng.random(len(positive)) * (per_sample - lengths)).astype(int)
        spans = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        sample_rows.append(positive)
        token_rows.append(np.concatenate([s * per_sample + span for s, span in zip(positive, spans, strict=True)]))
    return sample_rows, token_rows


def generate(root: Path, tokens: int, per_sample: int) -> None:
    """Publish a dataset whose positives score a little higher than the rest."""
    rng = np.random.default_rng(0)
    samples = -(-tokens // per_sample)
    tokens = samples * per_sample
    sample = np.repeat(np.arange(samples, dtype=np.int32), per_sample)
    token = np.tile(np.arange(per_sample, dtype=np.int32), samples)
    positive, inside = labelled(rng, samples, per_sample)
    splits = rng.choice(["train", "cal", "test"], samples, p=[0.6, 0.2, 0.2])
    warehouse = Warehouse(root)
    with warehouse.run("bench") as run:
        write(run, "samples", DATASET, sample=np.arange(samples), split=splits, modality=["image"] * samples)
        write(run, "labels", DATASET, label=names(), source=["bench"] * CONCEPTS, evaluated=[True] * CONCEPTS)
        lengths = [len(rows) for rows in positive]
        write(run, "sample_labels", DATASET, sample=np.concatenate(positive), label=np.repeat(names(), lengths))
        write(run, "tokens", MODEL, sample=sample, token=token, is_content=np.ones(tokens, bool))
        rows, lengths = np.concatenate(inside), [len(rows) for rows in inside]
        write(run, "token_labels", MODEL, sample=sample[rows], token=token[rows], label=np.repeat(names(), lengths))
        facts = {"method": ["avg"], "supervised": [True], "score": ["cosine"]}
        write(run, "concept_sets", PARTITION, **facts)
        status = {"status": ["ok"] * CONCEPTS, "bias": np.zeros(CONCEPTS), "method": ["avg"] * CONCEPTS}
        write(run, "concepts", PARTITION, concept=names(), **status)
        part = run.partition("activations", {"bench": "activations"}, **PARTITION)
        for shard, start in enumerate(range(0, tokens, SHARD)):
            stop = min(start + SHARD, tokens)
            scores = rng.standard_normal((CONCEPTS, stop - start), dtype=np.float32) * np.float32(0.1)
            for number, own in enumerate(inside):
                scores[number, own[(own >= start) & (own < stop)] - start] += np.float32(0.1)
            part.write(shard, activation_rows(names(), sample[start:stop], token[start:stop], scores, scores * 3))
        run.publish()


def median(call: Callable[[], Any]) -> float:
    """Median seconds of REPEATS calls after a first one."""
    call()
    seconds = []
    for _ in range(REPEATS):
        clock = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - clock)
    return statistics.median(seconds)


def steps(root: Path) -> dict[str, Any]:
    """Thresholds and detection (cal and test) of one partition, from Parquet, beside numpy on arrays in memory."""
    warehouse = Warehouse(root)
    connection = evaluation_connection()
    evaluate(warehouse, **PARTITION)
    for table in (
        "samples",
        "labels",
        "sample_labels",
        "tokens",
        "token_labels",
        "concepts",
        "activations",
        "sample_scores",
    ):
        bind(connection, table, warehouse.paths(table))
    hold_query(connection, "calibration_tokens", query(connection, "calibration_tokens"))
    ends = {"first": names()[0], "last": names()[-1]}
    shared = {**ends, "measure": "cosine", "supervised": True}

    def thresholds() -> None:
        hold(connection, "thresholds")
        add(connection, "thresholds", query(connection, "thresholds_token", **shared))

    def detection() -> None:
        hold(connection, "detection")
        for split in ("cal", "test"):
            add(connection, "detection", query(connection, "detection", **ends, split=split, chosen_only=False))

    hold(connection, "selection")
    found: dict[str, Any] = {"rows": warehouse.state().select("activations")[0].rows}
    found["thresholds seconds"] = median(thresholds)
    found["detection seconds"] = median(detection)
    found["both seconds"] = found["thresholds seconds"] + found["detection seconds"]
    found["numpy seconds"] = median(numpy_steps(warehouse))
    found["numpy / SQL"] = found["numpy seconds"] / found["both seconds"]
    found["threads"] = connection.execute("SELECT current_setting('threads')").fetchall()[0][0]
    return found


LEVELS = np.array([0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05])
REDUCTIONS = 5  # detectors; two of them read the same roll-up, which changes no time


def numpy_steps(warehouse: Warehouse) -> Callable[[], int]:
    """The same two steps as a hand-written script does them: scores loaded from Parquet, then arrays of masks.

    Everything but the scores is dense and in memory beforehand, which the SQL does not have.
    """
    split = np.array(pq.read_table(warehouse.paths("samples"))["split"].to_pylist())
    samples = len(split)
    number = {name: index for index, name in enumerate(names())}

    def coded(table: str) -> tuple[np.ndarray, np.ndarray, pa.Table]:
        rows = pq.read_table(warehouse.paths(table))
        return np.array([number[name] for name in rows["label"].to_pylist()]), rows["sample"].to_numpy(), rows

    label, sample, rows = coded("token_labels")
    per_sample = pq.read_metadata(warehouse.paths("tokens")[0]).num_rows // samples
    cal = split[sample] == "cal"
    places = (sample * per_sample + rows["token"].to_numpy())[cal]
    order = np.argsort(label[cal], kind="stable")
    inside = np.split(places[order], np.cumsum(np.bincount(label[cal], minlength=CONCEPTS))[:-1])
    truth = np.zeros((CONCEPTS, samples), dtype=bool)
    label, sample, _ = coded("sample_labels")
    truth[label, sample] = True
    rolled = pq.read_table(warehouse.paths("sample_scores"))["score"].to_numpy().reshape(CONCEPTS, samples, 4)
    parts = {name: split == name for name in ("cal", "test")}

    def run() -> int:
        scores = pq.read_table(warehouse.paths("activations"), columns=["cosine"])["cosine"].to_numpy()
        scores = scores.reshape(CONCEPTS, -1)  # one file: concept-major
        hits = 0
        for concept in range(CONCEPTS):
            owners = np.unique(inside[concept] // per_sample)
            for reduction in range(REDUCTIONS):
                own = rolled[concept, :, min(reduction, 3)]
                pool = scores[concept, inside[concept]] if reduction == 4 else own[owners]
                cuts = np.quantile(pool.astype(np.float64), LEVELS).astype(np.float32)
                detected = own[None, :] >= cuts[:, None]
                for part in parts.values():
                    hits += int((detected[:, part] & truth[concept, part]).sum())
                    hits += int((detected[:, part] & ~truth[concept, part]).sum())
        return hits

    return run


def whole(root: Path) -> dict[str, Any]:
    """All of eval, in this process: seconds and peak memory."""
    clock = time.perf_counter()
    counts = evaluate(Warehouse(root))
    seconds = time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # kB on Linux
    return {"seconds": seconds, "peak MB": peak, **counts}


def child(step: str, root: Path, shape: str) -> dict[str, Any]:
    """Run one step in a fresh process and return what it printed."""
    command = [sys.executable, __file__, shape, "--step", step, "--folder", str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Generate, measure, print, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=list(SHAPES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=["generate", "measure"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step == "generate":
        generate(arguments.folder, *SHAPES[arguments.shape])
        print("{}")
    elif arguments.step == "measure":
        print(json.dumps(steps(arguments.folder) if arguments.shape == "steps" else whole(arguments.folder)))
    else:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            os.environ["SUPERACT_CACHE"] = str(Path(folder) / "cache")
            child("generate", Path(folder) / "warehouse", arguments.shape)
            for name, value in child("measure", Path(folder) / "warehouse", arguments.shape).items():
                print(f"{name:<22} {value:,.3f}" if isinstance(value, float) else f"{name:<22} {value:,}")


if __name__ == "__main__":
    main()
