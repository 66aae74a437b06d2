"""Reading and writing PyTorch files (.pt) of data: numbers only, never code.

A .pt file is a pickle, and a pickle can run anything. `torch.load(weights_only=True)` builds tensors and plain containers and
refuses every other name; plain NumPy arrays, of which the published masks may consist, are allowed beside them. A file of a
kilobyte that unpacks to gigabytes is refused as well. This is the one module of `superact.datasets` that uses torch, and only
when a function is called.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from superact.errors import BadInput

_NUMBERS = "?bBhHiIqQefd"
_MOST_REPEATED = 1 << 27
"""Numbers of a tensor that shows the ones it holds several times; as many as Pillow reads pixels of a picture, about."""


def load_tensors(path: Path) -> Any:
    """Return what a .pt file holds: tensors and arrays in lists and dictionaries.

    Tensors are mapped from the file where its format allows, not read into memory. Raises BadInput for a file that is
    missing, damaged or holds anything else, and for a machine without torch.
    """
    if not path.is_file():
        raise BadInput(what=f"{path} does not exist.", remedy="Put the file there.")
    try:
        import torch
    except ModuleNotFoundError as error:
        remedy = "Install what reads it: pip install 'superact[extract]'."
        raise BadInput(what=f"{path} is a PyTorch file, and torch is not installed.", remedy=remedy) from error
    _check_stored(path)
    try:
        with torch.serialization.safe_globals(_numpy_names()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols and old formats, which are read or refused below
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # files of before torch 1.6 cannot be mapped; what is damaged fails here again
                return torch.load(path, map_location="cpu", weights_only=True)
    # Anything at all can stand in the file, so its reader can fail in any way.
    except Exception as error:
        raise BadInput(
            what=f"{path} is no PyTorch file of tensors: {_reason(error)}. Nothing else is read from it, since loading it "
            "could run code.",
            remedy="Replace the file; save tensors, or lists and dictionaries of them, with torch.save.",
        ) from error


def _check_stored(path: Path) -> None:
    """Refuse a file with compressed parts: torch.save makes none, torch.load unpacks them whatever they come to."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [part.filename for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
    except Exception:  # no zip file, or a damaged one: torch.load says so
        return
    if packed:
        raise BadInput(
            what=f"{path} is no PyTorch file of tensors: {packed[0]} in it is compressed, which torch.save never does.",
            remedy="Replace the file; save tensors, or lists and dictionaries of them, with torch.save.",
        )


def save_tensors(path: Path, rows: list[dict[str, np.ndarray]]) -> None:
    """Write arrays by name, one dictionary a row, as `load_tensors` reads them; all arrays of a row have one shape.

    Raises BadInput for a machine without torch.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        remedy = "Install what writes it: pip install 'superact[extract]'."
        raise BadInput(what=f"{path} is a PyTorch file, and torch is not installed.", remedy=remedy) from error
    # One storage a row: a file of a hundred thousand storages takes long to write and to open.
    stacked = [torch.from_numpy(np.stack(list(row.values()))) if row else () for row in rows]
    torch.save([dict(zip(row, values, strict=True)) for row, values in zip(rows, stacked, strict=True)], path)


def as_array(value: Any) -> np.ndarray:
    """Return a tensor or array as NumPy numbers. Raises ValueError saying what it is instead."""
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "detach"):
        try:
            plain = value.detach()
            held = plain.untyped_storage().nbytes() // plain.element_size()
            if plain.numel() > max(held, _MOST_REPEATED):
                raise ValueError(f"a tensor of {plain.numel():,} numbers that holds {held:,}")
            array = (plain.float() if str(plain.dtype) == "torch.bfloat16" else plain).numpy()
        except (TypeError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"a tensor that holds no plain numbers ({_first_line(str(error))})") from error
    else:
        raise ValueError(f"a value of type {type(value).__name__}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of type {array.dtype}")
    return array


def _numpy_names() -> list[Any]:
    """What a pickled plain array names, in files written by NumPy 1 and 2."""
    from numpy._core import multiarray

    build = multiarray._reconstruct
    names = [(build, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    return [*names, np.ndarray, np.dtype, *(type(np.dtype(code)) for code in _NUMBERS)]


def _reason(error: Exception) -> str:
    # Torch's own messages advise to load the file unsafely, so they are not passed on.
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it asks for {found[1]}"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds other objects than tensors"
    return "it is truncated, damaged or of another format"


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].rstrip(".")[:200]
