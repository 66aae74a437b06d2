"""The folder of a report: what is written into it, how many bytes that is, and how it gets its name."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from superact.errors import BadInput
from superact.store.outward import folder_outside

MARKER = "report.json"
"""The file by which a folder is known to be a report."""
KIND = "superact report"


def payload(name: str, value: Any) -> bytes:
    """A data file: a script that hands `value` to the page. Pages opened from a folder may run scripts, but read no JSON.

    Every character beyond ASCII is escaped, so that nothing in a text can end the script or the line. Keys of objects are ours:
    names that come from data stand in values alone, because a key `__proto__` would not be one.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"superact.receive({json.dumps(name)},{text});\n".encode("ascii")


def floats(values: np.ndarray[Any, Any]) -> str:
    """Float32 [n], little-endian, in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def floats_size(n: int) -> int:
    """Characters that `floats` of n values has."""
    return (4 * n + 2) // 3 * 4


class Site:
    """Writes the files of one report below `folder` and counts their bytes; `budget` is the most they may come to."""

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = budget
        self.used = 0
        self.files = 0

    @property
    def left(self) -> int:
        """Bytes that may still be written."""
        return self.budget - self.used

    def write(self, path: str, content: bytes) -> int:
        """Write one file, with the folders it lacks; returns its bytes."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as sink:
            sink.write(content)
        self.used += len(content)
        self.files += 1
        return len(content)

    def data(self, name: str, value: Any) -> int:
        """Write the data file that the page asks for by `name`."""
        return self.write(f"data/{name}.js", payload(name, value))


def check_target(out: Path | str, replace: bool) -> Path:
    """The place where the report will be, links followed.

    Errors: BadInput for a place in a warehouse; a file; a folder that is no report, or is one and `replace` was not given; a
    place in a folder that is not there.
    """
    folder = Path(out)
    target, filled = folder_outside(folder)
    if filled and not is_report(target):
        raise BadInput(what=f"--out {folder} is not empty, and no report of superact.", remedy="Name another folder.")
    if filled and not replace:
        raise BadInput(
            what=f"--out {folder} holds an earlier report.", remedy="Name another folder, or give --replace."
        )
    return target


def is_report(folder: Path) -> bool:
    """Whether a folder holds a report."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and marker.get("kind") == KIND
