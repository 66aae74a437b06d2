"""Peak memory of ingest against the number of samples: a fresh process each, a tiny random model, 1 and 8 times the texts.

    python benchmarks/bench_ingest_memory.py [--texts 300]

Buffers that are bounded by design, but larger than this data (the writer's 256 MB, a gigabyte of train rows, remembered
tokens), are cut to a few MB first. Train rows then lie in a mapped file, and its resident pages count in the peak.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
WIDTH = 512


def child(root: Path, name: str, mode: str) -> None:
    import superact.ingest.job as job_module
    import superact.ingest.train_rows as train_rows
    import superact.store.warehouse as store
    from superact.datasets import open_dataset
    from superact.ingest.job import Job
    from superact.ingest.learn import Recipe
    from superact.ingest.pipeline import ingest
    from superact.models import load_model
    from superact.store import Warehouse

    writer = store.BackgroundWriter
    store.BackgroundWriter = lambda budget: writer(4 << 20)  # type: ignore[assignment,misc]
    train_rows.IN_MEMORY = 1 << 20
    job_module.FEWEST_ROWS, job_module.SHARD_BYTES = 256, 1
    job = Job(
        open_dataset(str(root / name), root), load_model(root / "model", device="cpu"), [1, 2, 3], ("token", "cls"), 256
    )
    job._room = 1000
    ingest(Warehouse(root / f"wh-{name}-{mode}"), job, Recipe(("avg",)), embeddings=mode)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, job.counts.content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(Path(chosen.child[0]), *chosen.child[1:])
        return
    from tiny import save_model, text_dataset

    with tempfile.TemporaryDirectory(prefix="superact-bench-") as folder:
        root = Path(folder)
        save_model(root / "model", "BertModel", hidden_size=WIDTH, intermediate_size=64)
        sizes = {"Few": chosen.texts, "Many": 8 * chosen.texts}
        for name, n in sizes.items():
            text_dataset(root / name, n, words=False)
        for mode in ("keep", "none"):
            found = []
            for name in sizes:
                command = [sys.executable, __file__, "--child", str(root), name, mode]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                found.append(tuple(map(float, done.stdout.split())))
            (few, less), (many, more) = found
            rows = (more - less) * WIDTH * 4 * 3 / 2**20
            print(
                f"{mode}: {few:.0f} MiB for {less:.0f} tokens, {many:.0f} MiB for {more:.0f}: {many - few:+.1f} MiB, "
                f"where the further float32 rows are {rows:.0f} MiB"
            )


if __name__ == "__main__":
    main()
