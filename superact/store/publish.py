"""Publishing: from staged files to a manifest document, in steps that a kill at any moment cannot tear.

1. The document is written to staging/publish.document, and once more as the journal staging/publish.json, both fsynced:
   from here on the run will be published, and no step needs further disk space.
2. Every staged file is renamed to its place under tables/ or metrics/ (new names only: a published file never changes).
3. The document is renamed into manifest/: this is the moment at which superact's readers see the run, all of it.
4. Files of superseded or removed partitions are deleted.
A writer that finds the journal repeats steps 2 to 4; each step skips what is already done. Where a staged file is gone (only a
hand can do that) it undoes step 2 instead, and what is left in staging is resumed like any interrupted run.
"""

from __future__ import annotations

import json
from pathlib import Path

from superact.errors import Damaged, NewerWarehouse
from superact.schemas import FORMAT
from superact.store.files import (
    disk_errors,
    fsync_directory,
    make_directories,
    move_durably,
    write_atomically,
    write_durably,
)
from superact.store.layout import MANIFEST, ROOMS, STAGING, Partition
from superact.store.manifest import Document, read_state
from superact.store.staging import discard, staging_directory

JOURNAL = "publish.json"
PREPARED = "publish.document"


def document_name(document: Document) -> str:
    """File name of a document: its number, then its run."""
    return f"{document['sequence']:06d}-{document['run']}.json"


def publish(root: Path, document: Document) -> None:
    """Publish a run whose files are all finished in staging. The caller holds the write lock.

    Errors: Damaged where a staged file is gone, NotEnoughDisk; in both cases nothing is published.
    """
    if missing := _missing(root, document):
        raise Damaged(path=missing[0], problem="it was staged to be published, and is gone")
    text = json.dumps(document, indent=1)
    write_durably(root / STAGING / PREPARED, text)
    journal = root / STAGING / JOURNAL
    write_atomically(journal, text, journal.with_suffix(".tmp"))
    _carry_out(root, document)


def journal(root: Path) -> Document | None:
    """The document that is being published, or was when its writer died; None when there is none.

    Errors: Damaged when it is not JSON, NewerWarehouse when a newer superact wrote it.
    """
    path = root / STAGING / JOURNAL
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
        found = int(document["format"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(path=path, problem=f"not a document to publish ({error})") from error
    if found > FORMAT:
        raise NewerWarehouse(path=path, found=found, known=FORMAT)
    return document


def recover(root: Path) -> bool:
    """Finish a publish that was interrupted, or undo it where that cannot be done; True if it was finished.

    The caller holds the write lock.
    """
    document = journal(root)
    if document is None:
        return False
    if not _target(root, document).exists() and _missing(root, document):
        _undo(root, document)
        return False
    _carry_out(root, document)
    return True


def _target(root: Path, document: Document) -> Path:
    return root / MANIFEST / document_name(document)


def _files(root: Path, document: Document) -> list[tuple[Path, Path]]:
    """(staged, published) paths of every file of a document."""
    paths = [file["path"] for entry in document["partitions"] for file in entry["files"]]
    return [(root / STAGING / path, root / path) for path in paths]


def _missing(root: Path, document: Document) -> list[Path]:
    return [staged for staged, target in _files(root, document) if not staged.exists() and not target.exists()]


def _carry_out(root: Path, document: Document) -> None:
    target = _target(root, document)
    if not target.exists():
        _move_files(root, document)
        prepared = root / STAGING / PREPARED
        if not prepared.exists():
            write_durably(prepared, json.dumps(document, indent=1))
        move_durably(prepared, target)
    _delete_superseded(root, document)
    for entry in document["partitions"]:
        staged = staging_directory(root, Partition.of(entry["table"], **entry["keys"]))
        discard(staged)
        remove_empty(root, staged.parent)
    _end(root)


def _move_files(root: Path, document: Document) -> None:
    directories = set()
    for staged, target in _files(root, document):
        directories.add(target.parent)
        if staged.exists():
            with disk_errors(target):
                make_directories(target.parent)
                staged.rename(target)
    for directory in sorted(directories):
        fsync_directory(directory)


def _undo(root: Path, document: Document) -> None:
    for staged, target in _files(root, document):
        if target.exists() and not staged.exists():
            make_directories(staged.parent)
            target.rename(staged)
            remove_empty(root, target.parent)
    _end(root)


def _end(root: Path) -> None:
    (root / STAGING / JOURNAL).unlink()
    fsync_directory(root / STAGING)
    (root / STAGING / PREPARED).unlink(missing_ok=True)


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
        remove_empty(root, root / directory)


def remove_empty(root: Path, directory: Path) -> None:
    """Remove a directory, and its parents below a room or staging, as far as nothing is in them."""
    rooms = {root / room for room in (*ROOMS, STAGING)}
    while directory not in rooms and directory.exists() and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent
