"""The folder of the published files: where it may be, and how a file of it is written."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from superact.errors import BadInput
from superact.published.files import PublishedFile
from superact.store.outward import folder_outside


def check_folder(folder: Path) -> Path:
    """The place where the folder will be, links followed.

    Errors: those of `folder_outside`, and BadInput for a folder that holds something.
    """
    target, filled = folder_outside(folder)
    if filled:
        raise BadInput(what=f"--out {folder} is not empty.", remedy="Name another folder; nothing is written over.")
    return target


class FileWriter:
    """Writes the files of one folder and counts them.

    Errors: BadInput where torch is not installed, before anything is written. Where pandas is not, pickled pandas frames are
    left out and `without_pandas` counts them: the CSV beside each has the same rows.
    """

    def __init__(self) -> None:
        self._save, self._frame = _torch_save(), _pandas_frame()
        self.written, self.without_pandas = 0, 0

    def write(self, folder: Path, file: PublishedFile) -> None:
        """Write one file, which is not there yet, and make it durable."""
        content: Any = file.content
        table = not isinstance(content, dict)
        pickled = file.path.endswith(".pt")
        if table and pickled and self._frame is None:
            self.without_pandas += 1
            return
        # In memory first: what is wrong with the disk is then Python's own error.
        held = io.BytesIO()
        if pickled:
            self._save(self._frame(content) if table and self._frame else content, held)
        else:
            content.write_csv(held)
        self.write_bytes(folder / file.path, held.getbuffer())

    def write_bytes(self, path: Path, content: bytes | memoryview) -> None:
        """Write one file, with the folders it lacks."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise RuntimeError(f"{path} is written twice")
        with path.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        self.written += 1


def _torch_save() -> Callable[[Any, BinaryIO], None]:
    """torch.save, with numpy arrays as tensors. Errors: BadInput where torch is not installed."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise BadInput(
            what="The published layout has .pt files, which need the package torch, and it is not installed.",
            remedy="pip install 'superact[extract]'",
        ) from error

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    return lambda value, sink: torch.save(tensors(value), sink)


def _pandas_frame() -> Callable[[pl.DataFrame], Any] | None:
    """What makes a pandas frame of a Polars one, or None where pandas is not installed.

    Text is held as Python objects, as in the published files, so that pandas before 3 can read the pickle.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return None

    def frame(rows: pl.DataFrame) -> Any:
        columns = {
            series.name: pd.Series(series.to_list(), dtype=object) if series.dtype == pl.String else series.to_numpy()
            for series in rows
        }
        made = pd.DataFrame(columns)
        made.columns = pd.Index(rows.columns, dtype=object)
        return made

    return frame
