"""What is written outside of a warehouse: a file or a folder that appears complete or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from superact.errors import BadInput, SuperactError
from superact.store.files import disk_error, fsync_directory
from superact.store.layout import MANIFEST


@contextmanager
def whole_file(path: Path, named: str) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes its name when the block ends well and is removed when it does not.

    `named` is what an error calls it. Errors: BadInput where it cannot be written, NotEnoughDisk.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(path)
    except PermissionError as error:
        raise BadInput(what=f"{named} cannot be written: {error.strerror}.", remedy="Name another file.") from error
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def folder_outside(folder: Path) -> tuple[Path, bool]:
    """The place where a folder will be, links followed, and whether there is one that holds something.

    Errors: BadInput for a place in a warehouse, which a folder with `manifest/` in it is; a file; a place in a folder that is
    not there.
    """
    target = Path(os.path.realpath(folder))
    # As the system follows it and as it is typed: a room of a warehouse may be a link.
    for place in (target, *target.parents, *Path(os.path.normpath(folder.absolute())).parents):
        if (place / MANIFEST).is_dir():
            raise BadInput(what=f"--out {folder} lies in the warehouse {place}.", remedy="Name a folder outside of it.")
    if target.exists() and not target.is_dir():
        raise BadInput(what=f"--out {folder} is a file.", remedy="Name a folder.")
    if not target.parent.is_dir():
        raise BadInput(what=f"--out {folder}: there is no folder {target.parent}.", remedy="Make it first.")
    try:
        return target, target.exists() and any(target.iterdir())
    except OSError as error:
        raise _named(error, target) from error


@contextmanager
def whole_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a folder beside `target` to write to, which takes its name when the block ends well and is removed otherwise.

    With `replace` it takes the place of a folder that holds something, which stays until then. Errors: BadInput where it cannot
    be written, or where the place was filled meanwhile; NotEnoughDisk.
    """
    tag = f"{os.getpid()}-{secrets.token_hex(4)}"
    part, old = (target.with_name(f".{target.name}.{tag}.{what}") for what in ("part", "old"))
    try:
        part.mkdir()
        yield part
        if replace and target.exists():
            _swap(part, target, old)
        else:
            part.rename(target)
        fsync_directory(target.parent)
    except OSError as error:
        raise _named(error, target) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _swap(part: Path, target: Path, old: Path) -> None:
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise


def _named(error: OSError, target: Path) -> Exception:
    named = disk_error(error, target)
    if isinstance(named, SuperactError):
        return named
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return BadInput(what=f"--out {target} was filled meanwhile.", remedy="Name another folder.")
    return BadInput(what=f"--out {target} cannot be written: {error.strerror}.", remedy="Name another folder.")
