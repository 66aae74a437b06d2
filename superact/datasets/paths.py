"""Where the files that a path column names are, and which paths it may name.

* A relative path is looked up under the image or text root where one is given, then in the dataset's folder.
* An absolute path must lie under one of these: a table that was downloaded cannot name other files of the machine.
* `..` is refused wherever it stands. Symbolic links are followed: links are made by the owner of the folder (a link to the disk
  that holds the images is common), not by a table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Roots:
    """The folder of a dataset, and the one that the user maps its path column to (None: no other)."""

    dataset: Path
    mapped: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where a relative path is looked up, in order."""
        return (self.dataset,) if self.mapped is None else (self.mapped, self.dataset)

    def locate(self, written: str) -> tuple[str, Path]:
        """Return the path that a table names, relative to the root it is under, and the file it stands for.

        The file need not exist: without one, it is where it is first looked for. Raises ValueError saying why the table may
        not name it.
        """
        path = PurePosixPath(written)
        if "\0" in written:
            raise ValueError("the path holds a NUL character")
        if ".." in path.parts:
            raise ValueError(f"{written} steps out of a folder with '..'")
        if not path.is_absolute():
            found = [folder / path for folder in self.folders]
            return str(path), next((file for file in found if file.is_file()), found[0])
        for folder in self.folders:
            for base in (folder.absolute(), folder.resolve()):
                if path.is_relative_to(base):
                    return str(path.relative_to(base)), Path(path)
        raise ValueError(f"{written} is not below {' or '.join(str(folder.absolute()) for folder in self.folders)}")


def name_from(root: Path, path: Path) -> str:
    """The name of a file that may lie beside the folder `root`: its path from there."""
    return Path(os.path.relpath(path, root)).as_posix()
