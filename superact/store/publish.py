"""Publishing: from staged files to a manifest document, in steps that a kill at any moment cannot tear.

1. The whole document is written to staging/publish.json, fsynced: from here on the run will be published.
2. Every staged file is renamed to its place under tables/ or metrics/ (new names only: a published file never changes).
3. The document is renamed into manifest/: this is the moment at which superact's readers see the run, all of it.
4. Files of superseded or removed partitions are deleted.
A writer that finds staging/publish.json repeats steps 2 to 4; each step skips what is already done.
"""

from __future__ import annotations

import json
from pathlib import Path

from superact.errors import Damaged
from superact.store.files import fsync_directory, write_atomically
from superact.store.layout import MANIFEST, ROOMS, STAGING, Partition
from superact.store.manifest import Document, read_state
from superact.store.staging import discard, staging_directory

JOURNAL = "publish.json"


def document_name(document: Document) -> str:
    """File name of a document: its number, then its run."""
    return f"{document['sequence']:06d}-{document['run']}.json"


def publish(root: Path, document: Document) -> None:
    """Publish a run whose files are all finished in staging. The caller holds the write lock."""
    journal = root / STAGING / JOURNAL
    write_atomically(journal, json.dumps(document, indent=1), journal.with_suffix(".tmp"))
    _carry_out(root, document)


def recover(root: Path) -> bool:
    """Finish a publish that was interrupted; True if there was one. The caller holds the write lock."""
    journal = root / STAGING / JOURNAL
    if not journal.exists():
        return False
    _carry_out(root, json.loads(journal.read_text(encoding="utf-8")))
    return True


def _carry_out(root: Path, document: Document) -> None:
    journal = root / STAGING / JOURNAL
    target = root / MANIFEST / document_name(document)
    if not target.exists():
        _move_files(root, document)
        temporary = journal.with_suffix(".document")
        write_atomically(target, json.dumps(document, indent=1), temporary)
    _delete_superseded(root, document)
    for entry in document["partitions"]:
        discard(staging_directory(root, Partition.of(entry["table"], **entry["keys"])))
    journal.unlink()
    fsync_directory(journal.parent)


def _move_files(root: Path, document: Document) -> None:
    directories = set()
    for entry in document["partitions"]:
        for file in entry["files"]:
            target = root / file["path"]
            staged = root / STAGING / file["path"]
            directories.add(target.parent)
            if staged.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.rename(target)
            elif not target.exists():
                raise Damaged(path=staged, problem="it was staged to be published, and is gone")
    for directory in directories:
        fsync_directory(directory)


def _delete_superseded(root: Path, document: Document) -> None:
    """Delete the files that earlier documents listed for these partitions and no document lists now."""
    state = read_state(root)
    live = {file.path for _, file in state.files()}
    touched = [*document["partitions"], *document["removed"]]
    directories = {str(Partition.of(entry["table"], **entry["keys"]).directory) for entry in touched}
    for earlier in state.documents:
        for entry in earlier["partitions"]:
            for file in entry["files"]:
                directory = file["path"].rpartition("/")[0]
                if directory in directories and file["path"] not in live:
                    (root / file["path"]).unlink(missing_ok=True)
    for directory in directories:
        _remove_empty(root, root / directory)


def _remove_empty(root: Path, directory: Path) -> None:
    rooms = {root / room for room in ROOMS}
    while directory not in rooms and directory.exists() and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent
