"""The manifest: one immutable JSON document a published run, and the state of the warehouse that they add up to.

Documents are numbered under the write lock; the newest one that names a partition says which files it has. A reader lists
the folder once and so sees all of a run or nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from superact.errors import Damaged, NewerWarehouse
from superact.schemas import FORMAT
from superact.store.identity import Identity, derived, hash_of
from superact.store.layout import MANIFEST, Partition

Document = dict[str, Any]

_LISTINGS = 5


@dataclass(frozen=True)
class FileRecord:
    """One published Parquet file. `ranges` holds the least and greatest value of its key columns."""

    path: str
    rows: int
    bytes: int
    sha256: str
    ranges: dict[str, list[Any]] = field(default_factory=dict)

    def to_json(self) -> Document:
        """The record as it stands in a document."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Published:
    """What the newest document says about one partition."""

    partition: Partition
    identity: Identity
    files: tuple[FileRecord, ...]
    generation: int
    run: str
    meta: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """Hash of the identity, which partitions made from this one name among their inputs."""
        return hash_of(self.identity)

    @property
    def derived(self) -> bool:
        """True for what eval may recompute by itself when an input changed."""
        return derived(self.identity)

    @property
    def rows(self) -> int:
        """Rows over all files."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes over all files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class State:
    """The warehouse as of one document: its partitions, and the documents up to it."""

    partitions: dict[Partition, Published]
    documents: tuple[Document, ...]
    generations: dict[Partition, int] = field(default_factory=dict)
    """The last generation of every partition there ever was: a name is not used again, even after a removal."""

    @property
    def sequence(self) -> int:
        """Number of the newest document; 0 in an empty warehouse."""
        return self.documents[-1]["sequence"] if self.documents else 0

    def select(self, table: str, **wanted: Any) -> list[Published]:
        """The partitions of a table whose keys match, in key order."""
        found = [p for key, p in self.partitions.items() if key.table == table and key.matches(**wanted)]
        return sorted(found, key=lambda p: p.partition)

    def get(self, table: str, **keys: str | int) -> Published | None:
        """One partition by all of its keys, or None."""
        return self.partitions.get(Partition.of(table, **keys))

    def files(self) -> Iterator[tuple[Published, FileRecord]]:
        """Every live file with its partition."""
        for published in self.partitions.values():
            for file in published.files:
                yield published, file


@lru_cache(maxsize=4096)
def _read_document(path: Path) -> Document:
    # A document never changes once it has its name, so that it is parsed once a process.
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        found = int(document["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(path=path, problem=f"not a manifest document ({error})") from error
    if found > FORMAT:
        raise NewerWarehouse(path=path, found=found, known=FORMAT)
    return document


def read_state(root: Path) -> State:
    """Read every document of the warehouse at `root`, oldest first.

    Errors: Damaged for a document that is not JSON or is missing, NewerWarehouse for a format this superact does not know.
    """
    documents = _documents(root)
    partitions: dict[Partition, Published] = {}
    generations: dict[Partition, int] = {}
    for document in documents:
        for entry in document["removed"]:
            partitions.pop(Partition.of(entry["table"], **entry["keys"]), None)
        for entry in document["partitions"]:
            partition = Partition.of(entry["table"], **entry["keys"])
            generations[partition] = entry["generation"]
            partitions[partition] = Published(
                partition=partition,
                identity=entry["identity"],
                files=tuple(FileRecord(**file) for file in entry["files"]),
                generation=entry["generation"],
                run=document["run"],
                meta=entry["meta"],
            )
    return State(partitions, tuple(documents), generations)


def _documents(root: Path) -> list[Document]:
    """Every document in order. They are numbered without a gap, so that a lost one is noticed.

    A listing that is taken while two runs are published may show the second and not the first: look again.
    """
    numbers: list[int] = []
    for _ in range(_LISTINGS):
        documents = [_read_document(path) for path in sorted((root / MANIFEST).glob("[0-9]*.json"))]
        numbers = [document["sequence"] for document in documents]
        if numbers == list(range(1, len(numbers) + 1)):
            return documents
    lost = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
    problem = f"document {lost[0]} is missing" if lost else "two documents have one number"
    raise Damaged(path=root / MANIFEST, problem=problem)
