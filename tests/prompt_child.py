"""A process that prompts and kills itself when the n-th batch of answers has been noted; see test_prompts_resume."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from superact.datasets import open_dataset
from superact.prompts.backends.openai import OpenAIBackend
from superact.prompts.plan import Plan
from superact.prompts.run import prompt
from superact.store import Warehouse
from superact.store.staging import StagedPartition


def main(root: Path, url: str, at: int, where: str, labels: tuple[str, ...]) -> None:
    original, noted = StagedPartition.remember, 0

    def remember(self: StagedPartition, shard: int, note: dict[str, Any]) -> None:
        nonlocal noted
        noted += 1
        if where == "before" and noted == at:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, shard, note)
        if noted == at:
            assert self._writer is not None
            self._writer.drain()
            os.kill(os.getpid(), signal.SIGKILL)

    StagedPartition.remember = remember  # type: ignore[method-assign]
    dataset = open_dataset(str(root / "Tiny-Text"), root)
    backend = OpenAIBackend("tiny", url, first_pause=0.001, concurrency=3)
    prompt(Warehouse(root / "wh"), dataset, backend, Plan(labels, localize=True), batch=4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], tuple(sys.argv[5].split(",")))
