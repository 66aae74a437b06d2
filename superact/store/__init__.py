"""The warehouse on disk: layout, manifest, staged writer, publish, resume, verify and sweep."""

from superact.store.layout import Partition
from superact.store.manifest import FileRecord, Published, State
from superact.store.warehouse import Run, Warehouse

__all__ = ["FileRecord", "Partition", "Published", "Run", "State", "Warehouse"]
