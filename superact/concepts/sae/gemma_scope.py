"""Gemma Scope: `params.npz` with W_enc, W_dec, b_enc, b_dec and threshold, a JumpReLU whose input is the hidden state as it is.

They were trained on hidden states as Hugging Face reports them: layer_k is the output of block k, so index k + 1 here.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from superact.concepts.sae.base import Sae, bad, build

FILE = "params.npz"


def load_gemma_scope(path: Path, source: str | None = None) -> Sae:
    """Read the parameters of a Gemma Scope autoencoder. Errors: BadInput for a file that is none, and what `build` checks."""
    source = source or str(path)
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("one array, no archive of arrays")
        with file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise bad(source, "does not exist", "Put the file there.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise bad(source, "is no .npz file of arrays", "Get the file again; nothing but arrays is read.") from error
    # The first ones were written with w_enc and w_dec.
    named = {("W_" + name[2:] if name.startswith("w_") else name): array for name, array in arrays.items()}
    if wrong := [name for name, array in named.items() if array.dtype.kind not in "fiu"]:
        raise bad(source, f"has {wrong[0]} of type {named[wrong[0]].dtype}", "Weights are floats.")
    tensors = {name: torch.from_numpy(array) for name, array in named.items()}
    return build("jumprelu", tensors, name=path.parent.name or path.stem, source=source, subtract_b_dec=False)
