"""`superact report` of a large generated warehouse, beside one scan of all its scores. Nothing here is asserted.

    python benchmarks/bench_report.py [--rows 200e6] [--layers 4] [--labels 40] [--folder FOLDER]

A row is a score: one (layer, concept, token), 256 tokens a sample, random; labels on a tenth of the samples. The warehouse is
evaluated first (stages detect, layers and distributions), which is not measured. Printed are the report's seconds, the bytes
that its process read (`rchar`, whatever is in the page cache), its peak memory and its size, and the same of
`SELECT max(cosine), max(signed_distance) FROM activations`, each in a fresh process; then their ratios. Data is written below
--folder (a temporary folder by default; 7 bytes a row) and removed afterwards.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from full_eval_data import Shape, blocks, describe, labelled, places, write

from superact.metrics.evaluate import evaluate
from superact.store import Run, Warehouse
from superact.store.rows import activation_rows

EVALUATED = ("detect", "layers", "distributions")


def generate(root: Path, shape: Shape) -> None:
    """Publish a dataset with random scores, higher where a token carries the label, and evaluate it."""
    rng = np.random.default_rng(0)
    inside = labelled(rng, shape)
    with Warehouse(root).run("bench") as run:
        describe(run, rng, shape, inside)
        for layer in range(1, shape.layers + 1):
            _write_scores(run, rng, shape, layer, inside)
        run.publish()
    evaluate(Warehouse(root), EVALUATED)


def _write_scores(run: Run, rng: np.random.Generator, shape: Shape, layer: int, inside: list[Any]) -> None:
    keys, names = shape.keys(layer), shape.names()
    n = len(names)
    facts: dict[str, Any] = {"method": [shape.concept_set], "supervised": [True], "score": ["cosine"]}
    write(run, "concept_sets", keys, **facts)
    columns: dict[str, Any] = {
        "concept": names,
        "method": [shape.concept_set] * n,
        "bias": np.zeros(n),
        "norm": np.ones(n),
    }
    write(run, "concepts", keys, **columns, status=["ok"] * n)
    part = run.partition("activations", {"bench": "activations"}, **keys)
    for shard, rows in blocks(shape):
        scores = rng.standard_normal((n, len(rows)), dtype=np.float32) * np.float32(0.1)
        for label, (_, own) in enumerate(inside):
            hit = own[np.searchsorted(own, rows[0]) : np.searchsorted(own, rows[-1] + 1)] - rows[0]
            scores[label, hit] += np.float32(0.05 + 0.1 * layer / shape.layers)
        place = {name: column.astype(np.int32) for name, column in places(rows).items()}
        part.write(shard, activation_rows(names, place["sample"], place["token"], scores, scores))


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds, bytes read and peak memory of some work in this process, and what it returns."""
    before, clock = bytes_read(), time.perf_counter()
    found = work()
    return {
        "seconds": time.perf_counter() - clock,
        "MB read": (bytes_read() - before) / 1e6,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,  # kB on Linux
        **found,
    }


def bytes_read() -> int:
    """Bytes that this process has read by system calls, from disk or page cache."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.partition(": ")[2] for line in lines if line.startswith("rchar")))


def report(root: Path) -> dict[str, Any]:
    """Make the report."""
    import superact
    from superact.figures.extra import require
    from superact.figures.report import build_report

    require("altair")

    def work() -> dict[str, Any]:
        built = build_report(superact.open(root), root.parent / "report", images=False)
        return {"report MB": built.bytes / 1e6, "files": built.files, "notes": list(built.notes)}

    return measured(work)


def scan(root: Path) -> dict[str, Any]:
    """Read every score once."""
    import superact

    query = "SELECT count(*) AS n, max(cosine) AS c, max(signed_distance) AS d FROM activations"
    return measured(lambda: {"rows": int(superact.open(root).sql(query)["n"][0])})


def child(step: str, root: Path, *more: str) -> dict[str, Any]:
    """Run one step in a fresh process and return what it printed."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(root), *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Generate, measure, print, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=200e6)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=["report", "scan"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps({"report": report, "scan": scan}[arguments.step](arguments.folder)))
        return
    shape = Shape(int(arguments.rows / arguments.layers / arguments.labels), arguments.layers, arguments.labels)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.environ["SUPERACT_CACHE"] = str(Path(folder) / "cache")
        root = Path(folder) / "warehouse"
        generate(root, shape)
        stored = sum(published.bytes for published in Warehouse(root).state().select("activations"))
        made, whole = child("report", root), child("scan", root)
        print(f"{whole['rows']:,} rows of activations, {stored / 1e6:,.0f} MB")
        for name, value in made.items():
            beside = f"   scan: {whole[name]:,.2f}" if name in whole else ""
            print(f"{name:<12} {value:,.2f}{beside}" if isinstance(value, float) else f"{name:<12} {value}{beside}")
        print(f"report over scan: seconds {made['seconds'] / whole['seconds']:.2f}, bytes read ", end="")
        print(f"{made['MB read'] / whole['MB read']:.2f}; bytes read over stored {made['MB read'] * 1e6 / stored:.2f}")


if __name__ == "__main__":
    main()
