"""Encoding with a sparse autoencoder, beside the bare matrix product of the same weights on the same rows. Nothing is asserted.

    python benchmarks/bench_sae_encode.py [--rows N] [--shape 384x4096 ...] [--threads T] [--repeats R]

Each shape runs in a process of its own, on generated rows and a TopK autoencoder (k = 32). In turns, R times: the product
x @ W_enc in the same blocks, rows in memory; `encode_sparse` of the same rows; and the whole stage, which reads embeddings from
a warehouse, encodes, reconstructs for the explained variance, sorts, and writes the table. Printed are throughput as a share of
the product's, in processor time of the whole process (which a busy machine does not distort) and by the clock, medians of the
turns; bytes on disk a non-zero; and peak memory of a process that runs the stage alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from superact.concepts.sae import Sae
from superact.concepts.sae.base import build
from superact.ingest.describe import frame_rows
from superact.ingest.encode import encode
from superact.store import Warehouse
from superact.store.rows import embedding_rows

KEYS = {"dataset": "bench", "model": "bench", "layer": 1}
PER_SAMPLE = 256
SHARD = 32 * 1024
K = 32


def random_sae(width: int, features: int) -> Sae:
    """A TopK autoencoder of random unit directions, as it is before training."""
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(features, width, generator=generator), dim=1)
    weights = {
        "W_enc": decoder.T.contiguous(),
        "b_enc": torch.zeros(features),
        "W_dec": decoder,
        "b_dec": torch.zeros(width),
    }
    return build("topk", weights, name="bench", source="bench", k=K)


def generate(root: Path, n: int, width: int, sae: Sae) -> Warehouse:
    """A warehouse with embeddings that are sums of some directions, so that features are as unequal as in a real one."""
    rng = np.random.default_rng(0)
    warehouse = Warehouse(root)
    samples = -(-n // PER_SAMPLE)
    split = [("train", "cal", "test")[sample % 3] for sample in range(samples)]
    frame = pl.DataFrame({"sample": range(samples), "split": split, "path": "", "modality": "image"})
    frame = frame.with_columns(pl.col("sample").cast(pl.Int32))
    with warehouse.run("bench") as run:
        run.partition("samples", {"bench": 1}, dataset="bench").write(0, [frame_rows("samples", frame)])
        part = run.partition("embeddings", {"bench": 1}, **KEYS, unit="token")
        part.meta["width"] = width
        decoder = sae.W_dec.numpy()
        for shard, start in enumerate(range(0, n, SHARD)):
            rows = np.arange(start, min(n, start + SHARD), dtype=np.int32)
            mixed = rng.normal(size=(len(rows), width)).astype(np.float32)
            for _ in range(8):
                mixed += 8 * decoder[(len(decoder) * rng.random(len(rows)) ** 3).astype(int)]
            part.write(shard, [embedding_rows(rows // PER_SAMPLE, rows % PER_SAMPLE, mixed)])
        run.publish()
    return warehouse


def product(x: torch.Tensor, sae: Sae) -> None:
    """The bare matrix product, in the blocks of the encoder."""
    for start in range(0, len(x), sae.block_rows):
        x[start : start + sae.block_rows] @ sae.W_enc


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Processor time of the whole process, and time by the clock, in seconds."""
    clock, used = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - used, time.perf_counter() - clock


def stage(root: Path, shape: str) -> None:
    """Encode, and print the peak memory of this process in MB."""
    encode(Warehouse(root), random_sae(*map(int, shape.split("x"))), **KEYS, units=("token",))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def one(shape: str, n: int, repeats: int) -> None:
    """Measure one shape and print its figures as JSON."""
    width, features = map(int, shape.split("x"))
    sae = random_sae(width, features)
    with tempfile.TemporaryDirectory() as folder:
        warehouse = generate(Path(folder), n, width, sae)
        with torch.no_grad():
            alone = [sys.executable, __file__, "--stage", folder, "--shape", shape]
            memory = int(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
            x = torch.from_numpy(np.random.default_rng(1).normal(size=(min(n, 16 * 1024), width)).astype(np.float32))
            product(x, sae), sae.encode_sparse(x)
            calls: dict[str, Callable[[], object]] = {
                "product": lambda: product(x, sae),
                "encode_sparse": lambda: sae.encode_sparse(x),
                "stage": lambda: encode(warehouse, sae, **KEYS, units=("token",), replace=True),
            }
            turns = [{name: timed(call) for name, call in calls.items()} for _ in range(repeats)]
        stored = warehouse.state().select("sae_activations")[0]
    rows = {"product": len(x), "encode_sparse": len(x), "stage": n}
    found: dict[str, object] = {"shape": shape, "rows": n, "nonzeros": stored.rows, "threads": torch.get_num_threads()}
    for name in ("encode_sparse", "stage"):
        for kind, label in enumerate(("cpu", "clock")):
            shares = [t["product"][kind] / rows["product"] / (t[name][kind] / rows[name]) for t in turns]
            found[f"{name}, share of the product's throughput, {label}"] = round(statistics.median(shares), 3)
    per_row = statistics.median(t["product"][0] for t in turns) / rows["product"]
    found |= {"product, us a row": round(per_row * 1e6, 1), "bytes a non-zero": round(stored.bytes / stored.rows, 2)}
    found |= {"peak MB": memory, "weights MB": 8 * width * features >> 20}
    print(json.dumps(found, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64 * 1024)
    parser.add_argument("--shape", nargs="+", default=["384x4096", "1024x16384"])
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves them as they are")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.stage:
        stage(arguments.stage, arguments.shape[0])
        return
    if arguments.one:
        one(arguments.shape[0], arguments.rows, arguments.repeats)
        return
    for shape in arguments.shape:
        options = ["--one", "--shape", shape, "--rows", str(arguments.rows), "--repeats", str(arguments.repeats)]
        subprocess.run([sys.executable, __file__, *options, "--threads", str(arguments.threads)], check=True)


if __name__ == "__main__":
    main()
