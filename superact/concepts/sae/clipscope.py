"""CLIP-Scope: a PyTorch checkpoint of the package `clipscope`: k, n_features, d_in, and model_state_dict of pre_b, enc, dec.

Its TopK keeps the k largest of (x - pre_b) enc without a ReLU; of those, negatives count as absent here. The published ones
have k = 32 and 65 536 features over OpenCLIP ViT-L-14. The file is a pickle: only tensors and plain containers are read.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superact.concepts.sae.base import Sae, bad, build

_NAMES = {"pre_b": "b_dec", "enc": "W_enc", "dec": "W_dec"}
_SIZES = ("k", "n_features", "d_in")


def load_clipscope(path: Path, source: str | None = None) -> Sae:
    """Read a CLIP-Scope TopK checkpoint.

    Errors: BadInput for a file that is missing, holds other objects than tensors or lacks what is named above, and what
    `build` checks.
    """
    source = source or str(path)
    checkpoint = _read(path, source)
    state = checkpoint.get("model_state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(checkpoint, dict) or not isinstance(state, dict):
        raise bad(source, "has no model_state_dict", "A CLIP-Scope checkpoint holds k, n_features, d_in and it.")
    for name in _SIZES:
        value = checkpoint.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad(source, f"has {name} {value!r}", "A CLIP-Scope TopK checkpoint says it as a whole number.")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise bad(source, "has a model_state_dict of other things than tensors", "Get the file again.")
    if missing := [name for name in _NAMES if name not in state]:
        raise bad(source, f"lacks the tensor{'s' * (len(missing) > 1)} {', '.join(missing)}", "Get the whole file.")
    tensors = {_NAMES.get(name, str(name)): value for name, value in state.items()}
    sizes = [checkpoint["d_in"], checkpoint["n_features"]]
    if list(tensors["W_enc"].shape) != sizes:
        raise bad(
            source, f"has enc of shape {list(tensors['W_enc'].shape)}", f"By its d_in and n_features it is {sizes}."
        )
    tensors["b_enc"] = torch.zeros(checkpoint["n_features"])
    return build("topk", tensors, name=path.stem, source=source, k=checkpoint["k"])


def _read(path: Path, source: str) -> Any:
    if not path.is_file():
        raise bad(source, "does not exist", "Put the file there.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats, which are read or refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    # Anything at all can stand in the file, so its reader can fail in any way.
    except Exception as error:
        what = "holds other objects than tensors" if isinstance(error, pickle.UnpicklingError) else "is no PyTorch file"
        raise bad(source, what, "Nothing else is read from it, since loading it could run code.") from error
