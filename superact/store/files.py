"""Durable files: atomic writes, fsync of files and directories, hashing, and the cache of what was verified."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superact.errors import Damaged, NotEnoughDisk

_BLOCK = 1 << 20


def fsync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Make a directory and the parents it lacks, each of them durable in its own parent."""
    lacking = []
    while not path.is_dir():
        lacking.append(path)
        path = path.parent
    for directory in reversed(lacking):
        directory.mkdir(exist_ok=True)
        fsync_directory(directory.parent)


def write_durably(path: Path, text: str) -> None:
    """Write `text` and fsync the file and its directory. Errors: NotEnoughDisk, and no file is left."""
    try:
        with disk_errors(path), path.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def move_durably(source: Path, target: Path) -> None:
    """Rename a file on one filesystem, over what may be there, and make it durable."""
    source.replace(target)
    fsync_directory(target.parent)


def write_atomically(path: Path, text: str, temporary: Path) -> None:
    """Write `text` under a temporary name on the same filesystem, fsync, and rename: readers see all of it or nothing."""
    write_durably(temporary, text)
    move_durably(temporary, path)


def sha256_of(path: Path) -> str:
    """Sha256 of a file, as hex, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def human(size: float) -> str:
    """A number of bytes for people: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def check_free(path: Path, needed: int) -> None:
    """Raise NotEnoughDisk unless the filesystem of `path` has `needed` bytes free, with a twentieth to spare."""
    free = shutil.disk_usage(path).free
    if needed * 1.05 > free:
        raise NotEnoughDisk(path=path, free=human(free), needed=human(needed * 1.05))


def disk_error(error: OSError, path: Path) -> Exception:
    """The error to raise for a failed write: NotEnoughDisk when the disk, quota or file-size limit was hit."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NotEnoughDisk(path=path, free=f"nothing ({error.strerror})", needed="further bytes")
    return error


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise NotEnoughDisk for what fails inside because the disk, quota or file-size limit was hit."""
    try:
        yield
    except OSError as error:
        named = disk_error(error, path)
        if named is error:
            raise
        raise named from error


class VerifiedFiles:
    """Which files were hashed and found whole, by inode, size and modification time, kept in a cache file.

    DuckDB and Polars ignore Parquet's page checksums, so eval hashes what it reads; a file is hashed again only when its
    inode, size or time changed.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._seen: dict[str, list[Any]] = {}
        if cache.exists():
            try:
                self._seen = json.loads(cache.read_text(encoding="utf-8"))
            except ValueError:
                # A torn cache only costs hashing again.
                self._seen = {}
        self._dirty = False

    def check(self, path: Path, sha256: str, size: int) -> None:
        """Raise Damaged unless the file is there with this size and hash."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise Damaged(path=path, problem="the file is missing") from None
        if stat.st_size != size:
            raise Damaged(path=path, problem=f"it has {stat.st_size} bytes, {size} were written")
        key = [stat.st_ino, stat.st_size, stat.st_mtime_ns, sha256]
        if self._seen.get(str(path)) == key:
            return
        if sha256_of(path) != sha256:
            raise Damaged(path=path, problem="its content is not what was written (sha256 differs)")
        self._seen[str(path)] = key
        self._dirty = True

    def save(self) -> None:
        """Keep what was learned for the next process."""
        if self._dirty:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._cache.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(self._seen), encoding="utf-8")
            temporary.replace(self._cache)
            self._dirty = False
