"""What extraction and scoring add to the bare forward pass of the same batches, same process, same threads.

    python benchmarks/bench_extract.py [--images 64] [--texts 336] [--repeat 5]

Passes over the same batches, interleaved and repeated; the ratios are of medians:

bare      the forward pass, the wanted layers captured, nothing else (tokenizing and image decoding included: all three do it)
score     `ingest --embeddings none`, its scoring pass: both units, avg and linsep, written. Target: at most +10 %
fixed     extract of one sample (its forward pass included): declaring, fsyncing and publishing the partitions, which a larger
          dataset pays once, too. Shown for information; the targets are judged by the whole time
extract   every layer's float32 embeddings, both units, and the statistics, written. Target: at most +35 %

It needs the models of `superact models prepare minilm dinov2-small` and `superact data render clevr`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

from superact.datasets import open_dataset
from superact.ingest.ahead import ImagesAhead
from superact.ingest.batches import plan_batches
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe, learn
from superact.ingest.score import score
from superact.models import VisionModel, load_model
from superact.store import Warehouse

TARGETS = {"score": 1.10, "extract": 1.35}


def bare_pass(job: Job) -> None:
    """The batches of `run_forward`, and nothing but the forward pass; images decoded ahead, as there."""
    with ImagesAhead(job) if isinstance(job.model, VisionModel) else nullcontext() as images:
        for shard in job.shards():
            for batch in plan_batches(shard, job):
                with torch.inference_mode():
                    if images is None:
                        states = job.model.forward(job.model.batch([shard.texts[i] for i in batch]), job.layers)
                    else:
                        states = job.model.forward(images.pixels([shard.samples[i] for i in batch]), job.layers)
                assert len(states) == len(job.layers)


def compare(name: str, job: Job, repeat: int) -> bool:
    root = Path(tempfile.mkdtemp(prefix="superact-bench-"))
    try:
        learned = Warehouse(root / "learned")
        extract(learned, job)
        learn(learned, Recipe(), **job.keys)

        def scoring() -> None:
            score(learned, **job.keys, job=job, replace=True)

        def extracting(what: Job = job) -> None:
            shutil.rmtree(root / "fresh", ignore_errors=True)
            extract(Warehouse(root / "fresh"), what)

        one = Job(job.dataset, job.model, job.layers, job.units, subset=job.train[:1].tolist())

        passes: dict[str, Callable[[], None]] = {
            "bare": lambda: bare_pass(job),
            "score": scoring,
            "extract": extracting,
            "fixed": lambda: extracting(one),
        }
        times: dict[str, list[float]] = {key: [] for key in passes}
        for turn in range(repeat + 1):
            for key, run in passes.items():
                started = time.perf_counter()
                run()
                if turn:  # the first turn warms up
                    times[key].append(time.perf_counter() - started)
        return report(name, job, times)
    finally:
        shutil.rmtree(root)


def report(name: str, job: Job, times: dict[str, list[float]]) -> bool:
    medians = {key: statistics.median(values) for key, values in times.items()}
    bare = medians["bare"]
    print(
        f"{name}: {job.counts.samples} samples, {job.counts.content} tokens, layers {job.layers}, {len(times['bare'])} turns"
    )
    met = True
    for key, median in medians.items():
        ratio, fastest = median / bare, min(times[key]) / min(times["bare"])
        turns = " ".join(f"{value / other:.3f}" for value, other in zip(times[key], times["bare"], strict=True))
        notes = f"target {TARGETS[key]:.2f}, {'met' if ratio <= TARGETS[key] else 'missed'}" if key in TARGETS else ""
        if key == "extract":
            notes += f"; without the fixed part {(median - medians['fixed']) / bare:.3f}"
        print(
            f"  {key:8} {median:7.2f} s; ratio of medians {ratio:.3f}, of the fastest {fastest:.3f} (each turn {turns}) {notes}"
        )
        met &= ratio <= TARGETS.get(key, float("inf"))
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("Data"))
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--texts", type=int, default=336)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=("text", "image"))
    chosen = parser.parse_args()
    met = True
    for kind, dataset, ref, n in (
        ("text", "Sarcasm-Mini", "minilm", chosen.texts),
        ("image", "CLEVR-Mini", "dinov2-small", chosen.images),
    ):
        if chosen.only in (None, kind):
            model = load_model(ref, device="cpu")
            data = open_dataset(dataset, chosen.data_root)
            total = len(data.samples)
            subset = [i * total // n for i in range(n)] if n < total else None
            job = Job(data, model, model.resolve_layers("all"), ("token", "cls"), subset=subset)
            met &= compare(f"{dataset} with {ref}", job, chosen.repeat)
    print(f"threads {torch.get_num_threads()}; targets {'met' if met else 'missed'}")


if __name__ == "__main__":
    main()
