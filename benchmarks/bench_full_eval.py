"""The whole of eval at size, on generated data, beside two baselines on numpy. Nothing here is asserted.

    python benchmarks/bench_full_eval.py whole [--rows 50e6]    beside numpy in memory, and the published structure
    python benchmarks/bench_full_eval.py memory [--rows 200e6]  the same without the published structure
    python benchmarks/bench_full_eval.py linear                 seconds and memory from 1M to 200M rows, and the exponent
    python benchmarks/bench_full_eval.py pairs                  1000 clusters x 30 labels x 1M tokens, beside the dense matrix

A row is a score: one (layer, concept, token). Two layers of 40 supervised concepts, 256 tokens a sample, hidden states of width
64; labels on a tenth of the samples and 5 to 30 % of their tokens. Seconds are those of the work, without interpreter and
imports; what the baselines read counts. Every measurement is a fresh process, and its peak memory the process's own
(ru_maxrss). Files are in the page cache. `pairs` has one layer, and hidden states of width 128. Data is written below --folder
(a temporary folder by default; 14 bytes a row) and removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from full_eval_agree import agreement, compare
from full_eval_data import Shape, generate
from full_eval_numpy import detected_layers, summarise
from full_eval_numpy_tokens import distribute, localize
from full_eval_pairs import pairs_differences, pairs_numpy
from full_eval_published import slice_of

from superact.metrics.evaluate import evaluate
from superact.store import Warehouse

SIZES = (1e6, 5e6, 20e6, 50e6, 200e6)
LAYERS, LABELS = 2, 40
MAIN = ("detect", "localize", "layers")
SLICE = 4
"""Labels on which the published structure is run."""


def shape_of(rows: float) -> Shape:
    """The data with about so many rows."""
    return Shape(int(rows / LAYERS / LABELS), LAYERS, LABELS)


PAIRS = Shape(1_000_000, layers=1, labels=30, width=128, clusters=1000)


def peak() -> float:
    """Peak memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # kB on Linux


def timed(measured: dict[str, Any], name: str, clock: float, processor: float) -> None:
    """Note wall and processor seconds since, and the peak so far."""
    measured[f"{name} seconds"] = time.perf_counter() - clock
    measured[f"{name} cpu"] = time.process_time() - processor
    measured[f"{name} peak MB"] = peak()


def run_superact(root: Path, stages: list[str]) -> dict[str, Any]:
    """Stages of eval."""
    measured: dict[str, Any] = {}
    clock, processor = time.perf_counter(), time.process_time()
    written = evaluate(Warehouse(root), stages)
    timed(measured, "+".join(stages), clock, processor)
    return {**measured, "rows written": sum(written.values())}


def run_numpy(root: Path) -> dict[str, Any]:
    """The baseline with everything in memory; its results stand beside the warehouse."""
    measured: dict[str, Any] = {}
    clock, processor = time.perf_counter(), time.process_time()
    data, layers = detected_layers(Warehouse(root))
    timed(measured, "detect", clock, processor)
    located = [{"layer": layer.number, **row} for layer in layers for row in localize(data, layer)]
    selected, summary = summarise(data, layers)
    timed(measured, "+".join(MAIN), clock, processor)
    clock, processor = time.perf_counter(), time.process_time()
    described = [{"layer": layer.number, **row} for layer in layers for row in distribute(data, layer)]
    timed(measured, "distributions", clock, processor)
    arrays = sum(layer.scores.nbytes + layer.hidden.raw.nbytes for layer in layers)
    measured["scores and hidden states MB"] = arrays / 1e6
    named = ("delta", "threshold", "f1_cal")
    chosen = [
        {"layer": layer.number, "detector": detector, "label": label, **{name: row[name] for name in named}}
        for layer in layers
        for detector, rows in layer.chosen.items()
        for label, row in rows.items()
    ]
    keys = ("layer", "label")
    found = {
        "selection": chosen,
        "localization": located,
        "layer_selection": [
            {k: v for k, v in row.items() if k not in ("threshold", "tp", "fp", "fn")} for row in selected
        ],
        "summary": summary,
        "separation": [{k: v for k, v in row.items() if k not in ("histograms", "ratio")} for row in described],
        "histograms": [{**{k: row[k] for k in keys}, "n": row["histograms"]} for row in described],
        "ratio": [{**{k: row[k] for k in keys}, "sums": row["ratio"]} for row in described if "ratio" in row],
    }
    results_of(root).write_text(json.dumps(found, default=float))
    return measured


def results_of(root: Path) -> Path:
    """Where the numpy baseline leaves its rows."""
    return root.parent / "numpy.json"


SOURCES = {"distributions": "histograms", "superactivator_ratio": "ratio"}
"""The baseline's name of a table of which it has sums, a row a layer and label."""


def run_agree(root: Path) -> dict[str, Any]:
    """Differences by table."""
    found = json.loads(results_of(root).read_text())
    report = compare(Warehouse(root), found, distributions=True)
    return {
        table: {"rows": len(found[SOURCES.get(table, table)]), "differing": rows[:5], "n": len(rows)}
        for table, rows in report.items()
    }


def run_published(root: Path, shared: bool) -> dict[str, Any]:
    """The published structure on the first labels."""
    warehouse = Warehouse(root)
    found = slice_of(warehouse, list(range(SLICE)), shared)
    differing = agreement(warehouse, found.pop("chosen"))
    return {**found, "peak MB": peak(), "choices that differ from superact's": differing}


STEPS = {
    "superact": lambda root: run_superact(root, list(MAIN)),
    "distributions": lambda root: run_superact(root, ["distributions"]),
    "numpy": run_numpy,
    "agree": run_agree,
    "published": lambda root: run_published(root, shared=False),
    "shared": lambda root: run_published(root, shared=True),
    "pairs": lambda root: run_superact(root, ["detect"]),
    "pairs numpy": lambda root: {**pairs_numpy(root, results_of(root)), "peak MB": peak()},
    "pairs agree": lambda root: {"differing": pairs_differences(root, results_of(root))},
}

ONE_THREAD = ("numpy", "published", "shared")
"""Baselines whose products are small: OpenBLAS is faster on one thread, by far so where processors are shared."""


def child(step: str, root: Path, rows: float) -> dict[str, Any]:
    """Run one step in a fresh process and return what it printed."""
    command = [sys.executable, __file__, "whole", "--step", step, "--folder", str(root), "--rows", str(rows)]
    environment = {**os.environ, **({"OPENBLAS_NUM_THREADS": "1"} if step in ONE_THREAD else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(done.stdout))


def say(what: str, measured: dict[str, Any]) -> None:
    """One measurement, as it comes."""
    figures = [
        f"{name} {value:,.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in measured.items()
    ]
    print(f"{what}: {', '.join(figures)}", flush=True)


def whole(root: Path, rows: float, published: bool) -> None:
    """Superact beside the baselines."""
    n = shape_of(rows).rows
    print(f"{n:,} rows; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    child("generate", root, rows)
    found = {step: child(step, root, rows) for step in ("superact", "distributions", "numpy")}
    for step, measured in found.items():
        say(step, measured)
    for table, differing in child("agree", root, rows).items():
        said = "agree" if not differing["n"] else f"{differing['n']} differ: {differing['differing']}"
        print(f"results, {table}: {differing['rows']} rows {said}")
    name = "+".join(MAIN)
    ours, theirs = found["superact"], found["numpy"]
    ratios = [ours[f"{name} {what}"] / theirs[f"{name} {what}"] for what in ("seconds", "cpu", "peak MB")]
    print("superact / numpy: {:.2f} of the time (processor {:.2f}), {:.2f} of the memory".format(*ratios))
    seconds = [found[step]["distributions seconds"] for step in ("distributions", "numpy")]
    print(f"distributions, superact / numpy: {seconds[0] / seconds[1]:.2f} of the time")
    for step in ("published", "shared") if published else ():
        measured = child(step, root, rows)
        scaled = measured["own"] * LABELS / SLICE + measured["once"]
        say(f"{step}, {SLICE} of {LABELS} labels, unscaled", measured)
        print(f"{step}, scaled to all: {scaled:.1f} s, {scaled / ours[name + ' seconds']:.1f} times superact's")


def linear(folder: Path) -> None:
    """Detect, localize and layers at growing sizes."""
    found = []
    for rows in SIZES:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            root = Path(own) / "warehouse"
            child("generate", root, rows)
            measured = child("superact", root, rows)
        found.append(
            [shape_of(rows).rows, *(measured["+".join(MAIN) + what] for what in (" seconds", " cpu", " peak MB"))]
        )
        print("{:>12,} rows {:8.2f} s, processor {:8.2f} s, {:6.0f} MB".format(*found[-1]), flush=True)
    counts, seconds, processor, peaks = np.array(found).T
    for what, values in (("wall", seconds), ("processor", processor)):
        exponents = [np.polyfit(np.log(counts[i:]), np.log(values[i:]), 1)[0] for i in (0, 1, 2)]
        print(
            f"exponent of {what} time, all sizes {exponents[0]:.3f}, from 5M {exponents[1]:.3f}, from 20M {exponents[2]:.3f}"
        )
    spread = [max(peaks[i:]) / min(peaks[i:]) for i in (0, 2)]
    print("peak memory, greatest to least: all sizes {:.2f}, from 20M {:.2f}".format(*spread))


def pairs(root: Path) -> None:
    """All pairs of clusters and labels, beside the dense matrix."""
    print(f"{PAIRS.rows:,} scores of {PAIRS.clusters} clusters, {PAIRS.labels} labels each")
    child("generate pairs", root, 0)
    found = {step: child(step, root, 0) for step in ("pairs", "pairs numpy")}
    for step, measured in found.items():
        say(step, measured)
    ours, theirs = found["pairs"]["detect seconds"], found["pairs numpy"]["seconds"]
    print(
        f"superact {PAIRS.rows / ours:,.0f} scores/s, numpy {PAIRS.rows / theirs:,.0f}: {ours / theirs:.2f} of the time,",
        end=" ",
    )
    print(f"{found['pairs']['detect peak MB'] / found['pairs numpy']['peak MB']:.2f} of the memory")
    differing = child("pairs agree", root, 0)["differing"]
    print(
        "results, selection: agree"
        if not differing
        else f"results, selection: {len(differing)} differ: {differing[:5]}"
    )


def main() -> None:
    """Generate, measure, print, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["whole", "memory", "linear", "pairs"])
    parser.add_argument("--rows", type=float)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step in ("generate", "generate pairs"):
        generate(arguments.folder, PAIRS if arguments.step == "generate pairs" else shape_of(arguments.rows))
        print("{}")
        return
    if arguments.step:
        print(json.dumps(STEPS[arguments.step](arguments.folder), default=float))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ["SUPERACT_CACHE"] = str(Path(folder) / "cache")
        root = Path(folder) / "warehouse"
        if arguments.what == "linear":
            linear(Path(folder))
        elif arguments.what == "pairs":
            pairs(root)
        else:
            whole(root, arguments.rows or (50e6 if arguments.what == "whole" else 200e6), arguments.what == "whole")


if __name__ == "__main__":
    main()
