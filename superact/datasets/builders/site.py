"""Where a dataset folder is built: beside its place until it is whole, and never over anything that no build made."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superact.errors import BadInput

NOTE = "build.json"
Recipe = dict[str, Any]


@dataclass(frozen=True)
class BuildReport:
    """What a build did: files written now, files that were there already, and what the user should know."""

    path: Path
    rows: int
    written: int
    kept: int
    notes: tuple[str, ...] = ()


@dataclass
class Site:
    """The folder that a build writes into, file by file; every file appears complete or not at all."""

    root: Path
    written: int = 0
    kept: int = 0
    made: set[str] = field(default_factory=set)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, unless it holds these bytes already."""
        path = self._path(name)
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            self.kept += 1
            return
        self._put(path, lambda part: part.write_bytes(content))

    def write_table(self, name: str, rows: Iterable[Sequence[object]]) -> None:
        """Write a CSV file."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        self.write(name, buffer.getvalue().encode())

    def place(self, name: str, source: Path, link: bool) -> None:
        """Copy a file into the folder, or link it (to its absolute path)."""
        path = self._path(name)
        if path.is_file() and path.is_symlink() == link and path.stat().st_size == source.stat().st_size:
            self.kept += 1
        elif link:
            self._put(path, lambda part: part.symlink_to(source.resolve()))
        else:
            self._put(path, lambda part: shutil.copyfile(source, part))

    def make(self, name: str, write: Callable[[Path], object]) -> None:
        """Have `write` make a file at the path it is given, unless the file is there already."""
        path = self._path(name)
        if path.is_file():
            self.kept += 1
        else:
            self._put(path, write)

    def report(self, path: Path, rows: int, notes: Sequence[str] = ()) -> BuildReport:
        """What was done so far, for the folder at its final `path`."""
        return BuildReport(path, rows, self.written, self.kept, tuple(notes))

    def _path(self, name: str) -> Path:
        self.made.add(name.split("/")[0])
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _put(self, path: Path, write: Callable[[Path], object]) -> None:
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        write(part)
        part.replace(path)
        self.written += 1


@contextmanager
def building(out: Path, recipe: Recipe, force: bool = False) -> Iterator[Site]:
    """Yield the site of a build; when the block ends well, the whole folder is at `out`.

    After an error or an interruption `out` is as it was, and the next build of the same recipe goes on from `.NAME.building`.
    `force` replaces a folder of another recipe; files at its top that no build makes are kept. Raises BadInput for an `out`
    that must not be replaced.
    """
    out = out.absolute()
    found = _claimed(out, recipe, force)
    note = (json.dumps(recipe, indent=1, ensure_ascii=False) + "\n").encode()
    if found == recipe:
        yield Site(out)
        return
    work = out.with_name(f".{out.name}.building")
    _reuse(work, recipe)
    work.mkdir(parents=True, exist_ok=True)
    site = Site(work)
    site.write(NOTE, note)
    site.written = site.kept = 0
    yield site
    _publish(work, out, site.made)


def _claimed(out: Path, recipe: Recipe, force: bool) -> Recipe | None:
    """The recipe of the build at `out`; None where nothing is there."""
    if out.exists() and not out.is_dir():
        raise BadInput(what=f"{out} is a file.", remedy="Name the folder to build.")
    if not out.is_dir() or not any(out.iterdir()):
        return None
    if not (out / NOTE).is_file():
        raise BadInput(
            what=f"{out} is not empty and no build made it (it has no {NOTE}).",
            remedy="Name a new or empty folder; files that superact did not make are never replaced.",
        )
    found = _read(out / NOTE)
    if found != recipe and not force:
        raise BadInput(
            what=f"{out} was built by another recipe or from other files: {'; '.join(_differences(found, recipe))}.",
            remedy="Use the same options and files, build another folder, or pass --force to replace what is there.",
        )
    return found


def _reuse(work: Path, recipe: Recipe) -> None:
    """Discard what an interrupted build of another recipe left."""
    if not work.exists():
        return
    if not (work / NOTE).is_file() and any(work.iterdir()):
        raise BadInput(what=f"{work} is no interrupted build (it has no {NOTE}).", remedy="Remove or rename it.")
    if (work / NOTE).is_file() and _read(work / NOTE) != recipe:
        shutil.rmtree(work)


def _publish(work: Path, out: Path, made: set[str]) -> None:
    if not out.is_dir():
        work.rename(out)
        return
    old = out.with_name(f".{out.name}.replaced")
    for path in list(out.iterdir()):
        if path.name not in made and not path.name.endswith(".part") and _is_foreign(path, out):
            path.rename(work / path.name)
    out.rename(old)
    work.rename(out)
    shutil.rmtree(old)


def _is_foreign(path: Path, out: Path) -> bool:
    """Whether a user put it there: what a build makes is listed in its recipe."""
    made = _read(out / NOTE).get("makes", []) if (out / NOTE).is_file() else []
    return path.name not in made


def _read(path: Path) -> Recipe:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BadInput(what=f"{path} is damaged: {error}.", remedy="Remove its folder and build again.") from error
    return found if isinstance(found, dict) else {NOTE: found}


def _differences(found: Recipe, wanted: Recipe) -> list[str]:
    flat = [_flat(one) for one in (found, wanted)]
    keys = dict.fromkeys([*flat[0], *flat[1]])
    return [f"{key} {flat[0].get(key)}, not {flat[1].get(key)}" for key in keys if flat[0].get(key) != flat[1].get(key)]


def _flat(recipe: Recipe) -> dict[str, str]:
    flat = {}
    for key, value in recipe.items():
        for name, inner in value.items() if isinstance(value, dict) else ((None, value),):
            text = str(inner)
            flat[key if name is None else f"{key} {name}"] = text if len(text) <= 20 else text[:12] + "..."
    return flat


def display(path: Path) -> str:
    """A path as messages show it: from the current folder where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
