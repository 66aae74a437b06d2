"""A process that ingests and kills itself before it writes the n-th file of a table; see test_ingest_resume."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import superact.ingest.job as job_module
import superact.ingest.targets as targets_module
import superact.store.staging as staging
from superact.datasets import open_dataset
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.models import load_model
from superact.store import Warehouse


def main(root: Path, mode: str, table: str, at: int, methods: tuple[str, ...]) -> None:
    job_module.FEWEST_ROWS, job_module.SHARD_BYTES = 20, 1
    targets_module.shard_tokens = lambda n: 17
    write_file, written = staging.write_file, 0

    def killing(path: Path, schema: Any, groups: Any) -> Any:
        nonlocal written
        if schema.name == table:
            written += 1
            if written == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return write_file(path, schema, groups)

    staging.write_file = killing
    dataset = open_dataset(str(root / "Tiny-Text"), root)
    job = Job(dataset, load_model(root / "model", device="cpu"), [1, 3], ("token", "cls"), 64)
    ingest(Warehouse(root / "wh"), job, Recipe(methods, clusters=6, cls_clusters=3), embeddings=mode)


if __name__ == "__main__":
    methods = tuple(sys.argv[5].split(",")) if len(sys.argv) > 5 else Recipe().methods
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), methods)
