"""Looking after a warehouse: verify every file, sweep what interrupted runs left, and list what is stored."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from superact.store.files import sha256_of
from superact.store.layout import ROOMS, STAGING
from superact.store.manifest import FileRecord, State
from superact.store.publish import journal, remove_empty
from superact.store.staging import PROGRESS
from superact.store.warehouse import Warehouse


@dataclass(frozen=True)
class Finding:
    """One file that is not as it was published."""

    path: str
    problem: str


def verify(warehouse: Warehouse) -> Iterator[tuple[str, Finding | None]]:
    """Hash every live file and compare its row count; yields each path with its finding, None where it is whole. Strays last.

    A stray is a Parquet file under tables/ or metrics/ that no document lists; superact does not read it, a bare glob does.
    No lock is taken: a file that a writer supersedes meanwhile is no finding, nor is one that is just being published.
    """
    for _, file in warehouse.state().files():
        finding = _examine(warehouse.root / file.path, file)
        if finding is None or file.path in _live(warehouse):
            yield file.path, finding
    for path in _strays(warehouse):
        yield path, Finding(path, "stray: no published run lists it")


def _live(warehouse: Warehouse) -> set[str]:
    return {file.path for _, file in warehouse.state().files()}


def _strays(warehouse: Warehouse) -> list[str]:
    """Files that no document lists, and that no publish under way moves in or deletes (the next writer finishes it)."""
    found = _parquet_files(warehouse.root)
    document = journal(warehouse.root)
    # The state is read after the journal, which goes only when its document is there.
    state = warehouse.state()
    known = {file.path for _, file in state.files()}
    if document:
        known.update(
            file["path"]
            for each in (*state.documents, document)
            for entry in each["partitions"]
            for file in entry["files"]
        )
    return [path for path in found if path not in known and (warehouse.root / path).exists()]


def _examine(path: Path, record: FileRecord) -> Finding | None:
    try:
        found = path.stat().st_size
        if found != record.bytes:
            return Finding(record.path, f"{found} bytes, {record.bytes} were written")
        if sha256_of(path) != record.sha256:
            return Finding(record.path, "content changed: sha256 differs")
        rows = pq.read_metadata(path).num_rows
        if rows != record.rows:
            return Finding(record.path, f"{rows} rows, the manifest says {record.rows}")
    except FileNotFoundError:
        return Finding(record.path, "missing")
    except pa.ArrowInvalid as error:
        return Finding(record.path, f"not a Parquet file: {error}")
    except OSError as error:
        return Finding(record.path, f"cannot be read: {error.strerror or error}")
    return None


def _parquet_files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for room in ROOMS for path in (root / room).rglob("*.parquet"))


@dataclass(frozen=True)
class Debris:
    """Something a sweep would remove: a staged partition of an interrupted run, or a stray file."""

    path: str
    kind: str
    bytes: int
    age_days: float


def debris(warehouse: Warehouse, older_than_days: float) -> list[Debris]:
    """What interrupted runs left that is older than so many days, by last change."""
    root, now = warehouse.root, time.time()
    found = []
    for progress in sorted((root / STAGING).rglob(PROGRESS)):
        # A writer may end meanwhile: what is gone when it is looked at is no debris.
        with suppress(FileNotFoundError):
            found.append(_debris(root, progress.parent, list(progress.parent.iterdir()), "staged", now))
    for name in _strays(warehouse):
        with suppress(FileNotFoundError):
            found.append(_debris(root, root / name, [root / name], "stray", now))
    return [item for item in found if item.age_days >= older_than_days]


def _debris(root: Path, path: Path, files: list[Path], kind: str, now: float) -> Debris:
    stats = [file.stat() for file in files]
    newest = max((stat.st_mtime for stat in stats), default=now)
    size = sum(stat.st_size for stat in stats)
    return Debris(str(path.relative_to(root)), kind, size, max(0.0, (now - newest) / 86400))


def sweep(warehouse: Warehouse, older_than_days: float) -> list[Debris]:
    """Remove that debris, under the write lock, and return what was removed.

    Errors: Locked while a run is being written.
    """
    with warehouse.lock():
        found = debris(warehouse, older_than_days)
        for item in found:
            path = warehouse.root / item.path
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            remove_empty(warehouse.root, path.parent)
    return found


@dataclass(frozen=True)
class Inventory:
    """What one table holds for one dataset and model."""

    table: str
    dataset: str | None
    model: str | None
    layers: tuple[int, ...]
    partitions: int
    files: int
    rows: int
    bytes: int


def inventory(state: State) -> list[Inventory]:
    """Tables, rows, bytes and layers of a warehouse, one entry a (table, dataset, model)."""
    groups = defaultdict(list)
    for published in state.partitions.values():
        keys = dict(published.partition.keys)
        groups[published.partition.table, keys.get("dataset"), keys.get("model")].append((keys.get("layer"), published))
    found = []
    for (table, dataset, model), members in sorted(groups.items(), key=lambda item: tuple(map(str, item[0]))):
        layers = sorted({int(layer) for layer, _ in members if layer is not None})
        found.append(
            Inventory(
                table=table,
                dataset=None if dataset is None else str(dataset),
                model=None if model is None else str(model),
                layers=tuple(layers),
                partitions=len(members),
                files=sum(len(p.files) for _, p in members),
                rows=sum(p.rows for _, p in members),
                bytes=sum(p.bytes for _, p in members),
            )
        )
    return found
