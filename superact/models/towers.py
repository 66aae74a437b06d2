"""Which network of a checkpoint is loaded, by what it is to read, and reading only that network's weights.

Some checkpoints hold a text and a vision network: CLIP, SigLIP, Llama 3.2 Vision. Which of the two is wanted is said by
the dataset's modality. The other network's name in the warehouse gets the modality appended, for the two have different
layers under one hub id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import transformers
from torch import Tensor
from transformers import AutoModel
from transformers.utils.hub import cached_file, extract_commit_hash

from superact.errors import BadInput, ModelUnavailable

Modality = Literal["text", "image"]
MODALITIES: tuple[Modality, ...] = ("text", "image")


@dataclass(frozen=True)
class Tower:
    """One network of a checkpoint: the transformers class that holds it and what that reads."""

    model_class: Any
    modality: Modality | None
    """None where only the loaded network can tell."""
    config_part: str | None = None
    """The part of the checkpoint's configuration that is the network's own; None for the whole."""
    weights_prefix: str | None = None
    """What its tensors' names begin with in the published checkpoint, where they are a small part of it."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Patterns of tensor names and what replaces them, where transformers does not find the tower's own by itself."""
    is_default: bool = True

    @property
    def suffix(self) -> str:
        """What its slug has behind the checkpoint's."""
        return "" if self.is_default else f"-{self.modality}"

    @property
    def title(self) -> str:
        """What its display name has behind the checkpoint's."""
        return "" if self.is_default else f" ({'vision' if self.modality == 'image' else 'text'} tower)"


def _pair(vision: Any, text: Any) -> dict[Modality, Tower]:
    return {
        "image": Tower(vision, "image", "vision_config"),
        "text": Tower(text, "text", "text_config", is_default=False),
    }


_TOWERS: dict[str, dict[Modality, Tower]] = {
    "clip": _pair(transformers.CLIPVisionModel, transformers.CLIPTextModel),
    "clip_vision_model": {"image": Tower(transformers.CLIPVisionModel, "image")},
    "siglip": _pair(transformers.SiglipVisionModel, transformers.SiglipTextModel),
    "siglip_vision_model": {"image": Tower(transformers.SiglipVisionModel, "image")},
    "mllama": {
        # Published checkpoints say language_model.model., transformers itself model.language_model.
        "text": Tower(
            transformers.MllamaTextModel,
            "text",
            "text_config",
            renamed={r"^(model\.)?language_model\.(model\.)?": "language_model.model."},
        ),
        "image": Tower(transformers.MllamaVisionModel, "image", "vision_config", "vision_model.", is_default=False),
    },
    "mllama_vision_model": {"image": Tower(transformers.MllamaVisionModel, "image")},
    # Of T5 the encoder alone: the decoder reads no text of its own.
    "t5": {"text": Tower(transformers.T5EncoderModel, "text")},
    "mt5": {"text": Tower(transformers.MT5EncoderModel, "text")},
    "umt5": {"text": Tower(transformers.UMT5EncoderModel, "text")},
}


def choose_tower(config: Any, modality: str | None, name: str) -> Tower:
    """The network of a checkpoint that reads `modality`; without one, the checkpoint's usual network.

    Raises BadInput for a checkpoint that reads only the other kind, before any weight is read; ModelUnavailable for an
    encoder-decoder that is not of T5's family.
    """
    if modality is not None and modality not in MODALITIES:
        raise BadInput(what=f"{modality!r} is not a modality.", remedy="Use text or image.")
    towers = _TOWERS.get(config.model_type)
    if towers is not None:
        for tower in towers.values():
            if tower.modality == modality or (modality is None and tower.is_default):
                return tower
        check_modality(next(iter(towers)), modality, name)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelUnavailable(
            model=name, reason="encoder-decoder models are not supported, but for the encoders of T5, mT5 and UMT5"
        )
    found = _modality_of(config)
    check_modality(found, modality, name)
    return Tower(AutoModel, found)


def check_modality(found: str | None, wanted: str | None, name: str) -> None:
    """Raise BadInput where a model that reads one modality is wanted for the other; None fits everything."""
    if found is not None and wanted is not None and found != wanted:
        kinds = ", ".join(kind for kind, towers in _TOWERS.items() if len(towers) > 1)
        raise BadInput(
            what=f"{name} reads {found}s, and a model that reads {wanted}s is wanted.",
            remedy=f"Choose a {'vision' if wanted == 'image' else 'text'} model; of checkpoints with both towers these "
            f"are known: {kinds}.",
        )


def _modality_of(config: Any) -> Modality | None:
    """What `AutoModel` would load for a configuration reads, by its class; None for classes that come with the checkpoint."""
    try:
        model_class = AutoModel._model_mapping[type(config)]
    except KeyError:
        return None
    if isinstance(model_class, tuple | list):
        return None
    names = {"pixel_values": "image", "input_ids": "text"}
    found: Any = names.get(getattr(model_class, "main_input_name", ""))
    return found


def hub_commit(ref: str, revision: str | None) -> str | None:
    """The commit that a branch or tag (None: the default branch) of a hub repository is at: the model's revision.

    All files are then taken from it, though the branch may move on meanwhile. The configuration does not say it: since
    version 5 transformers drops the commit from what it loads.
    """
    return extract_commit_hash(cached_file(ref, "config.json", revision=revision), None) or revision


def load_tower(ref: str, config: Any, tower: Tower, options: Mapping[str, Any], hub: Mapping[str, Any]) -> Any:
    """(network, loading information) of a tower. Of a sharded checkpoint only the files that hold the tower are fetched.

    `options` go to `from_pretrained`, `hub` says where from. The errors are those of transformers.
    """
    tensors = _own_tensors(ref, tower.weights_prefix, hub) if tower.weights_prefix else None
    if tensors is None:
        renamed = {"key_mapping": dict(tower.renamed)} if tower.renamed else {}
        return tower.model_class.from_pretrained(ref, output_loading_info=True, **renamed, **options, **hub)
    own = getattr(config, tower.config_part) if tower.config_part else config
    return tower.model_class.from_pretrained(None, config=own, state_dict=tensors, output_loading_info=True, **options)


def _own_tensors(ref: str, prefix: str, hub: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The tensors under a prefix of a safetensors checkpoint, named without it; None where it has no such tensor."""
    from safetensors import safe_open

    where = {key: hub[key] for key in ("revision", "local_files_only") if key in hub}

    def find(name: str) -> str | None:
        return cached_file(ref, name, _raise_exceptions_for_missing_entries=False, **where)

    index = find("model.safetensors.index.json")
    if index is not None:
        listed = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
        files = sorted({file for key, file in listed.items() if _own_name(key, prefix)})
    else:
        files = ["model.safetensors"] if find("model.safetensors") else []
    tensors: dict[str, Tensor] = {}
    for file in files:
        with safe_open(cached_file(ref, file, **where), framework="pt") as opened:
            names = {key: _own_name(key, prefix) for key in opened.keys()}  # noqa: SIM118 (it is no dictionary)
            tensors |= {name: opened.get_tensor(key) for key, name in names.items() if name}
    return tensors or None


def _own_name(key: str, prefix: str) -> str | None:
    """A tensor's name inside the tower, None for other tensors. Some versions of transformers save with `model.` before."""
    inner = key.removeprefix("model.")
    return inner.removeprefix(prefix) if inner.startswith(prefix) else None
