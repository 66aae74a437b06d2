"""The warehouse: opening one, reading its state, and the run through which everything is written."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from superact.errors import BadInput, IdentityMismatch, Locked
from superact.schemas import FORMAT
from superact.store.files import check_free, disk_errors, make_directories
from superact.store.identity import Identity, canonical, derived, differences, extends
from superact.store.layout import MANIFEST, ROOMS, STAGING, Partition
from superact.store.manifest import Document, State, read_state
from superact.store.publish import publish, recover
from superact.store.staging import StagedPartition, discard, staged_identity, staging_directory
from superact.store.writer import DEFAULT_BUDGET, BackgroundWriter

_LIBRARIES = ("superact", "duckdb", "numpy", "pyarrow", "torch", "transformers")


class Warehouse:
    """A directory of Parquet files with a manifest. Readers take no lock; one process writes at a time."""

    def __init__(self, root: Path | str) -> None:
        """Name a warehouse, which need not be there yet. Errors: BadInput for a path that Hive readers take for keys."""
        self.root = Path(root).resolve()
        if keyed := next((part for part in self.root.parts if "=" in part), None):
            raise BadInput(
                what=f"The warehouse {self.root} lies below {keyed!r}, which readers of its files take for a path key.",
                remedy=f"Move the warehouse elsewhere, or rename the folder {keyed!r} to have no '='.",
            )

    @classmethod
    def open(cls, root: Path | str) -> Warehouse:
        """Open an existing warehouse for reading.

        Errors: BadInput where there is none, NewerWarehouse where a newer superact made it.
        """
        warehouse = cls(root)
        if not (warehouse.root / MANIFEST).is_dir():
            raise BadInput(
                what=f"There is no warehouse at {warehouse.root}.",
                remedy="Name one with --warehouse, or make one with `superact ingest` or `superact import`.",
            )
        warehouse.state()
        return warehouse

    def state(self) -> State:
        """The partitions and runs published so far."""
        return read_state(self.root)

    def paths(self, table: str, **wanted: Any) -> list[str]:
        """Absolute paths of the live files of a table whose keys match, in key order."""
        return [str(self.root / file.path) for p in self.state().select(table, **wanted) for file in p.files]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the write lock, and finish what an interrupted publish left.

        Errors: Locked, naming the process that holds it.
        """
        staging = self.root / STAGING
        with disk_errors(self.root):
            for folder in (staging, self.root / MANIFEST, *(self.root / room for room in ROOMS)):
                make_directories(folder)
        owner = staging / "owner.json"
        lock = FileLock(staging / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise Locked(warehouse=self.root, owner=_describe(owner)) from None
        try:
            who = {
                "process": os.getpid(),
                "command": " ".join(sys.argv[:4]),
                "since": _now().isoformat(timespec="seconds"),
            }
            # A full disk must not keep `superact gc` from the lock: without a name the lock is held all the same.
            with suppress(OSError):
                owner.write_text(json.dumps(who), encoding="utf-8")
            recover(self.root)
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def run(
        self, stage: str, *, replace: bool = False, expected_bytes: int = 0, budget: int = DEFAULT_BUDGET
    ) -> Iterator[Run]:
        """Begin a run: take the lock, check free disk space, and yield what partitions are written through.

        Nothing is visible to readers until `Run.publish`. Leaving without it keeps the finished files in staging, from
        which the next run with the same identities resumes.
        """
        with self.lock():
            check_free(self.root, expected_bytes)
            with BackgroundWriter(budget) as writer:
                yield Run(self, stage, replace, writer)

    def remove(self, partitions: list[Partition], stage: str) -> None:
        """Publish the removal of partitions (dropping embeddings): readers lose all of them at once."""
        with self.run(stage) as run:
            run.removed = partitions
            run.publish()


class Run:
    """One run of one stage: the partitions it writes and the document that publishes them."""

    def __init__(self, warehouse: Warehouse, stage: str, replace: bool, writer: BackgroundWriter) -> None:
        self.warehouse = warehouse
        self.stage = stage
        self.replace = replace
        self.started = _now()
        self.id = f"{self.started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.provenance: dict[str, Any] = {}
        self.removed: list[Partition] = []
        self.state = warehouse.state()
        self._writer = writer
        self._clock = time.perf_counter()
        self._partitions: dict[Partition, StagedPartition] = {}
        self._declared: set[Partition] = set()
        self._published = False

    def partition(self, table: str, identity: Identity, **keys: str | int) -> StagedPartition:
        """Say that this run wants a partition with this identity.

        Returns it with `current` set when it is published already (and nothing is to be replaced), else ready to be
        written, with the files that an earlier, interrupted run finished in `done`.
        Errors: IdentityMismatch where something else is published or begun under these keys.
        """
        identity = json.loads(canonical(identity))
        partition = Partition.of(table, **keys)
        self._declared.add(partition)
        published = self.state.partitions.get(partition)
        staged = StagedPartition(
            partition=partition,
            identity=identity,
            directory=staging_directory(self.warehouse.root, partition),
            generation=self.state.generations.get(partition, 0) + 1,
        )
        if published and not self.replace:
            if published.identity == identity:
                staged.current = True
                return staged
            self._refuse(partition, "is published", published.identity, identity)
        begun = staged_identity(staged.directory)
        if begun is not None and begun != identity:
            if not self.replace:
                self._refuse(partition, "was begun and not finished", begun, identity)
            begun = None
        if begun is None:
            discard(staged.directory)
        staged.begin(self._writer)
        self._partitions[partition] = staged
        return staged

    def _refuse(self, partition: Partition, state: str, found: Identity, wanted: Identity) -> None:
        if derived(found) or extends(found, wanted):
            return
        raise IdentityMismatch(partition=str(partition), state=state, differences="; ".join(differences(found, wanted)))

    def remove_others(self, *, but: Collection[str] = (), **keys: str | int) -> None:
        """Remove every published partition with all of these keys that this run does not write or find current.

        Those of tables `but` stay.
        """
        for partition in self.state.partitions:
            made = keys.items() <= dict(partition.keys).items() and partition not in self._declared
            if made and partition.table not in but:
                self.removed.append(partition)

    def drain(self) -> None:
        """Wait until every queued file is on disk."""
        self._writer.drain()

    def publish(self) -> Document | None:
        """Publish every partition that this run wrote, and its removals, as one document; None if there is nothing.

        Partitions must be complete: the caller has written every shard. A run publishes once.
        """
        if self._published:
            raise RuntimeError(f"run {self.id} is published already: begin another")
        self.drain()
        if not self._partitions and not self.removed:
            return None
        for staged in self._partitions.values():
            if not staged.done:
                raise RuntimeError(f"{staged.partition} has no file: an empty result is a zero-row file")
        document = self._document()
        publish(self.warehouse.root, document)
        self._published = True
        return document

    def _document(self) -> Document:
        partitions = []
        for staged in sorted(self._partitions.values(), key=lambda s: s.partition):
            files = [record.to_json() for record in staged.files()]
            partitions.append(
                {
                    "table": staged.partition.table,
                    "keys": dict(staged.partition.keys),
                    "generation": staged.generation,
                    "identity": staged.identity,
                    "meta": staged.meta,
                    "rows": staged.rows,
                    "files": files,
                }
            )
        return {
            "format": FORMAT,
            "sequence": self.state.sequence + 1,
            "run": self.id,
            "stage": self.stage,
            # Milliseconds: runs of one second keep their order.
            "started_at": self.started.replace(tzinfo=None).isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - self._clock, 3),
            "versions": versions(),
            "provenance": self.provenance,
            "partitions": partitions,
            "removed": [{"table": p.table, "keys": dict(p.keys)} for p in self.removed],
        }


def versions() -> dict[str, str]:
    """Versions of the libraries that made a run, as far as they are installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def _describe(owner: Path) -> str:
    try:
        who = json.loads(owner.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its owner has not said who it is"
    return f"process {who['process']}, `{who['command']}`, since {who['since']}"
