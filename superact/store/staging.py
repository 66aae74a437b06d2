"""Staged partitions: files that are written but not yet published, and the record by which a killed run resumes.

staging/<table>/<keys>/ holds finished files and `progress.jsonl`: the identity on its first line, then one line a finished
file, appended after the file is on disk. A file without a line was being written when the process died; it is written again.
A shard that is written anew is first struck out by a line of its own, so that no line ever speaks of other bytes than its file.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from superact.store.files import disk_errors, fsync_directory, make_directories, write_atomically
from superact.store.identity import Identity, canonical
from superact.store.layout import STAGING, Partition
from superact.store.manifest import FileRecord
from superact.store.parquet import write_file
from superact.store.writer import BackgroundWriter

PROGRESS = "progress.jsonl"


@dataclass(frozen=True)
class StagedFile:
    """A finished file in staging, and what its stage wanted to remember about it (partial sums, row ranges)."""

    record: FileRecord
    note: dict[str, Any]


@dataclass
class StagedPartition:
    """A partition being written. `current` says that the published one is already what is wanted: nothing to do."""

    partition: Partition
    identity: Identity
    directory: Path
    generation: int
    current: bool = False
    meta: dict[str, Any] = field(default_factory=dict)
    done: dict[int, StagedFile] = field(default_factory=dict)
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)
    _listed: set[int] = field(default_factory=set)
    _writer: BackgroundWriter | None = None

    def begin(self, writer: BackgroundWriter) -> None:
        """Make the directory with its identity, or take up the finished files that are there."""
        self._writer = writer
        progress = self.directory / PROGRESS
        if progress.exists():
            for line in _take_up(progress)[1:]:
                if line.get("redo"):
                    self._listed.discard(line["shard"])
                    self.done.pop(line["shard"], None)
                    continue
                if "file" not in line:
                    self.notes[line["shard"]] = line["note"]
                    continue
                self._listed.add(line["shard"])
                record = FileRecord(**line["file"])
                path = self.directory / record.path
                if path.exists() and path.stat().st_size == record.bytes:
                    self.done[line["shard"]] = StagedFile(record, line["note"])
            return
        with disk_errors(self.directory):
            make_directories(self.directory)
        self._append(canonical(self.identity))
        fsync_directory(self.directory)

    def write(self, shard: int, groups: Sequence[pa.Table], note: dict[str, Any] | None = None) -> None:
        """Queue file number `shard`: one row group for each table of `groups`, zero rows where there is none.

        Returns at once unless the byte budget is spent. A failure is raised by the next call or when the run drains.
        """
        assert self._writer is not None, "begin() comes first"
        size = 1 + sum(group.nbytes for group in groups)  # 1: a file without rows is in flight, too
        self._writer.submit(lambda: self._write(shard, groups, note or {}), size)

    def strike_out(self, shard: int) -> None:
        """Queue that a finished file is none: it is not published unless it is written anew."""
        assert self._writer is not None, "begin() comes first"
        self._writer.submit(lambda: self._strike_out(shard), 1)

    def remember(self, shard: int, note: dict[str, Any]) -> None:
        """Queue a note about a shard that has no file here: partial sums, which a resumed run need not compute again."""
        assert self._writer is not None, "begin() comes first"

        def append() -> None:
            self._append(json.dumps({"shard": shard, "note": note}))
            self.notes[shard] = note

        self._writer.submit(append, 1)

    def _write(self, shard: int, groups: Sequence[pa.Table], note: dict[str, Any]) -> None:
        suffix = "" if self.generation == 1 else f"-{self.generation}"
        path = self.directory / f"part-{shard:05d}{suffix}.parquet"
        self._strike_out(shard)
        record = write_file(path, self.partition.schema, groups)
        self._append(json.dumps({"shard": shard, "file": record.to_json(), "note": note}))
        self._listed.add(shard)
        self.done[shard] = StagedFile(record, note)

    def _strike_out(self, shard: int) -> None:
        if shard in self._listed:
            self._append(json.dumps({"shard": shard, "redo": True}))
            self._listed.remove(shard)
            self.done.pop(shard, None)

    def _append(self, line: str) -> None:
        progress = self.directory / PROGRESS
        with disk_errors(progress), progress.open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    @property
    def rows(self) -> int:
        """Rows in the finished files."""
        return sum(file.record.rows for file in self.done.values())

    def files(self) -> list[FileRecord]:
        """Finished files in shard order, with the paths they will have once published."""
        published = [self.done[shard].record for shard in sorted(self.done)]
        directory = self.partition.directory
        return [FileRecord(**{**record.to_json(), "path": str(directory / record.path)}) for record in published]


def staging_directory(root: Path, partition: Partition) -> Path:
    """Where a partition is staged."""
    return root / STAGING / Path(*partition.directory.parts)


def staged_identity(directory: Path) -> Identity | None:
    """Identity of what is staged in a directory, or None when nothing usable is."""
    progress = directory / PROGRESS
    lines = _whole_lines(progress) if progress.exists() else []
    return lines[0] if lines else None


def staged_notes(directory: Path) -> list[dict[str, Any]]:
    """What a staged partition remembers without a file, in the order in which it was noted."""
    return [line["note"] for line in _whole_lines(directory / PROGRESS)[1:] if "note" in line and "file" not in line]


def begin_otherwise(directory: Path, identity: Identity, note: dict[str, Any]) -> None:
    """Give a staged partition another identity, with one note in place of all its notes and files.

    At once: a process that dies leaves the one or the other, whole. Errors: NotEnoughDisk, and what was there stays.
    """
    progress = directory / PROGRESS
    text = f"{canonical(identity)}\n{json.dumps({'shard': 0, 'note': note})}\n"
    write_atomically(progress, text, progress.with_suffix(".tmp"))


def discard(directory: Path) -> None:
    """Remove a staged partition, if there is one."""
    if directory.exists():
        shutil.rmtree(directory)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a progress file, up to one that a kill or a full disk tore."""
    return _parse(path)[0]


def _take_up(path: Path) -> list[dict[str, Any]]:
    """The same, and cut the torn rest off, so that what is appended next begins a line."""
    lines, size = _parse(path)
    if size < path.stat().st_size:
        with path.open("rb+") as handle:
            handle.truncate(size)
            os.fsync(handle.fileno())
    return lines


def _parse(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines and how many bytes they take."""
    lines: list[dict[str, Any]] = []
    size = 0
    for text in path.read_bytes().splitlines(keepends=True):
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not text.endswith(b"\n") or not isinstance(line, dict):
            break
        lines.append(line)
        size += len(text)
    return lines, size
