"""The files that a dataset is built from: looked for in the usual places, named when they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from superact.datasets.reading import file_sha256
from superact.errors import BadInput


def source_folder(source: Path) -> Path:
    """The folder of the sources. Raises BadInput when there is none."""
    if not source.is_dir():
        raise BadInput(
            what=f"There is no folder {source}.", remedy="Name the folder of downloaded files with --source."
        )
    return source.absolute()


def find_source(source: Path, name: str, folders: Sequence[str], origin: str) -> Path:
    """The file `name` in `source` or one of its `folders`. Raises BadInput that says where to get it (`origin`)."""
    found = look_for(source, name, folders)
    if found is None:
        looked = ", ".join(str(source / folder) for folder in ("", *folders))
        raise BadInput(what=f"There is no {name} in {looked}.", remedy=f"Get it from {origin}.")
    return found


def look_for(source: Path, name: str, folders: Sequence[str]) -> Path | None:
    """The same, None where it is missing."""
    places = [source / folder / name for folder in ("", *folders)]
    return next((path for path in places if path.is_file()), None)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex. Raises BadInput for one that cannot be read."""
    try:
        return file_sha256(path)[1].hex()
    except OSError as error:
        raise BadInput(what=f"{path} cannot be read: {error}.", remedy="Restore the file.") from error


def text_of(path: Path) -> str:
    """The text of a source file, line ends as they are. Raises BadInput unless it is UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(what=f"{path} is not UTF-8 text (byte {error.start}).", remedy="Download it again.") from error
    except OSError as error:
        raise BadInput(what=f"{path} cannot be read: {error}.", remedy="Restore the file.") from error
