"""A process that forks a writer for every line of JSON on its input, and can let it kill itself at a chosen moment.

Forking from a process that has imported everything already makes a crash cost a fraction of a second. The moments are counted
here, by wrapping what the writer calls: the product knows nothing of them.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from pathlib import Path

import duckdb  # noqa: F401
import polars  # noqa: F401

import superact.store.parquet as parquet
from superact.ingest.import_folder import import_folder
from superact.metrics.evaluate import Protocol, evaluate
from superact.store import Warehouse
from superact.store.staging import StagedPartition


class Moments:
    """Counts what happens, and kills the process at the `at`-th event of a kind (any kind when None)."""

    def __init__(self, kind: str | None, at: int, torn: bool) -> None:
        self.kind, self.at, self.torn = kind, at, torn
        self.counted: Counter[str] = Counter()
        self.lock = threading.Lock()

    def happened(self, kind: str) -> None:
        with self.lock:
            self.counted[kind] += 1
            self.counted["any"] += 1
            if self.counted[self.kind or "any"] == self.at and self.kind in (None, kind):
                os.kill(os.getpid(), signal.SIGKILL)

    def watch_tables(self) -> None:
        """Count finished files by their table, under its name; they are no further moments of `any` kind."""
        original = StagedPartition._write

        def call(part, *args):
            original(part, *args)
            with self.lock:
                self.counted[part.partition.table] += 1
                if self.kind == part.partition.table and self.counted[self.kind] == self.at:
                    os.kill(os.getpid(), signal.SIGKILL)

        StagedPartition._write = call

    def watch(self, owner: object, name: str, kind: str) -> None:
        original = getattr(owner, name)

        def call(*args, **kwargs):
            if kind == "write" and self.torn and self.counted["write"] + 1 == self.at:
                original(args[0], memoryview(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            self.happened(kind)
            return result

        setattr(owner, name, call)


def act(command: dict) -> None:
    warehouse = Warehouse(command["warehouse"])
    if command["action"] == "import":
        import_folder(warehouse, Path(command["folder"]), replace=command["replace"])
    else:
        evaluate(warehouse, protocol=Protocol(seed=command["seed"], replicates=20), threads=1)


def child(command: dict, report: int) -> None:
    moments = Moments(command["kind"], command["at"], command["torn"])
    for name in ("rename", "replace", "unlink", "mkdir", "rmdir"):
        moments.watch(Path, name, name)
    moments.watch(os, "fsync", "fsync")
    moments.watch(parquet._HashingFile, "write", "write")
    moments.watch_tables()
    try:
        act(command)
        answer = {"error": None, **moments.counted}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    os.write(report, json.dumps(answer).encode())
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"killed": killed, **json.loads(answer or "{}")}), flush=True)


if __name__ == "__main__":
    main()
