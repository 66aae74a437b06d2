"""`load_chat`: a chat model whole, with its head, its chat template and, for images, its processor."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    GenerationConfig,
)

from superact.errors import BadInput, ModelUnavailable
from superact.models.base import DTYPES, Identity, Source, choose_device, device_name, digest
from superact.models.load import (
    check_complete,
    check_device_map,
    named_errors,
    network_options,
    placed,
    source_of,
)
from superact.models.local import resolve
from superact.models.offline import offline, quiet
from superact.models.towers import hub_commit

# What of an image processor changes what a network sees.
DATE = "26 Jul 2024"
"""What a chat template that writes the date into the question is given (Llama's do): else replies change overnight."""
_PROCESSOR_FACTS = (
    *("size", "crop_size", "min_pixels", "max_pixels", "patch_size", "merge_size", "temporal_patch_size"),
    *("do_resize", "do_rescale", "do_normalize", "rescale_factor", "image_mean", "image_std", "resample"),
    *("max_image_tiles", "do_pad"),
)


class ChatModel:
    """A loaded chat model. Use `load_chat`.

    Attributes
    ----------
    name, slug, source, licence, revision
        As of `superact.models.Model`.
    network, tokenizer, processor
        With a language-model head and set to greedy decoding; padding on the left; None for a model asked about texts.
    template_options
        What its chat template is given beside the turns.
    n_blocks, width, max_tokens
        Blocks and width of the language model; the longest sequence, or None where it does not say.
    """

    def __init__(
        self, source: Source, network: Any, tokenizer: Any, processor: Any, device: torch.device, dtype: str
    ) -> None:
        self.name, self.slug = source.display, source.slug
        self.source, self.licence, self.revision = source.origin, source.licence, source.revision
        self.network, self.tokenizer, self.processor = network, tokenizer, processor
        self.device, self._dtype_name, self._device_map = device, dtype, source.device_map
        config = network.config.get_text_config()
        self.n_blocks, self.width = int(config.num_hidden_layers), int(config.hidden_size)
        limit = getattr(config, "max_position_embeddings", None)
        self.max_tokens = limit if isinstance(limit, int) and limit > 0 else None
        # Others would hand the date on to the processor, which knows no such thing and says so at every batch.
        dated = "date_string" in _chat_template(processor, tokenizer)
        self.template_options = {"date_string": DATE} if dated else {}
        # Before anything is padded: the padding settings would enter the digest.
        self._processing = self._processing_digest()
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        _make_greedy(network, tokenizer.pad_token_id)

    @property
    def identity(self) -> Identity:
        """The flat facts that determine this model's replies, but for the longest reply."""
        return {
            "model": self.slug,
            "revision": self.revision,
            "dtype": self._dtype_name,
            "attention": getattr(self.network.config, "_attn_implementation", None),
            "processor": self._processing,
            "date": DATE,
            "chat_template": hashlib.sha256(_chat_template(self.processor, self.tokenizer).encode()).hexdigest(),
        }

    @property
    def provenance(self) -> dict[str, str]:
        """Device name and library versions: recorded with a run, never compared."""
        placed = {"device_map": self._device_map} if self._device_map else {}
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        return {"device": device_name(self.device), **placed, **versions}

    def _processing_digest(self) -> str:
        images = getattr(self.processor, "image_processor", None)
        facts = {
            name: str(getattr(images, name)) for name in _PROCESSOR_FACTS if getattr(images, name, None) is not None
        }
        backend = self.tokenizer.backend_tokenizer.to_str() if self.tokenizer.is_fast else type(self.tokenizer).__name__
        return digest({"tokenizer": hashlib.sha256(backend.encode()).hexdigest(), **facts})


def load_chat(
    ref: str | os.PathLike[str],
    *,
    modality: str,
    device: str = "auto",
    device_map: str | Mapping[str, int | str] | None = None,
    dtype: str = "float32",
    attention: str = "sdpa",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> ChatModel:
    """Load a chat model to be asked about samples of a modality; the options are those of `load_model`.

    A checkpoint that reads images and text (Llama 3.2 Vision, Qwen2.5-VL) answers about both; any other causal language model
    about texts.

    Raises ModelUnavailable (no such model, weights missing, no chat template) and BadInput (a model that reads no images, an
    unknown device or dtype).
    """
    if dtype not in DTYPES:
        raise BadInput(what=f"{dtype!r} is not a dtype for models.", remedy=f"Use one of {', '.join(DTYPES)}.")
    chosen = choose_device(device)
    path, display, is_local = resolve(ref)
    check_device_map(device, device_map, display)
    with offline() if is_local else nullcontext(), quiet(), named_errors(display):
        hub: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_local}
        if not is_local:
            hub["revision"] = hub_commit(path, revision)
        config = AutoConfig.from_pretrained(path, **hub)
        loader = _loader(config, modality, display)
        source = source_of(os.fspath(ref), path, display, is_local, hub)
        processor = _processor(path, display, hub) if modality == "image" else None
        tokenizer = processor.tokenizer if processor is not None else AutoTokenizer.from_pretrained(path, **hub)
        if not _chat_template(processor, tokenizer):
            raise ModelUnavailable(model=display, reason="it has no chat template, so that it cannot be asked anything")
        options = network_options(dtype, attention, device_map)
        network, info = loader.from_pretrained(path, output_loading_info=True, **options, **hub)
        check_complete(display, info["missing_keys"])
        network, source, chosen = placed(network, source, chosen, device_map)
        return ChatModel(source, network.eval(), tokenizer, processor, chosen, dtype)


def _loader(config: Any, modality: str, display: str) -> Any:
    """The class of transformers that loads a configuration's network with its head."""
    if type(config) in AutoModelForImageTextToText._model_mapping:
        return AutoModelForImageTextToText
    if modality == "image":
        raise BadInput(
            what=f"{display} reads no images ({config.model_type}).",
            remedy="Choose a vision-language model such as Llama-3.2-11B-Vision-Instruct or Qwen2.5-VL-3B-Instruct.",
        )
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise ModelUnavailable(model=display, reason=f"it is no causal language model ({config.model_type})")
    return AutoModelForCausalLM


def _processor(path: str, display: str, hub: dict[str, Any]) -> Any:
    try:
        return AutoProcessor.from_pretrained(path, **hub)
    except Exception as error:
        # transformers says so for some processors only, and "can't load" for others (Qwen2.5-VL's).
        if importlib.util.find_spec("torchvision") is None:
            reason = f"its processor may need the package torchvision (pip install torchvision): {error}".splitlines()[
                0
            ]
            raise ModelUnavailable(model=display, reason=reason[:300].rstrip(".")) from error
        raise


def _chat_template(processor: Any, tokenizer: Any) -> str:
    found = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None) or ""
    return found if isinstance(found, str) else str(found)


def _make_greedy(network: nn.Module, pad: int | None) -> None:
    """Decode greedily, without the sampling and the penalties that a checkpoint recommends; its end tokens stay."""
    own: Any = network.generation_config
    ends = {"bos_token_id": own.bos_token_id, "eos_token_id": own.eos_token_id, "pad_token_id": pad}
    network.generation_config = GenerationConfig(do_sample=False, **ends)  # type: ignore[assignment]
