"""Tiny random models of the paper's families that keep what is special about each: tiles, cross-attention, special tokens.

Each is a transformers folder with its own processor or tokenizer, as the hub's checkpoints are, in the hub's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tiny import IMAGE_CONFIG, TEXT_CONFIG, WORDS, save_processor
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
CROSS_ATTENTION = (1, 3)
MLLAMA_TEXT = {
    **TEXT_CONFIG,
    "num_hidden_layers": 5,
    "cross_attention_layers": list(CROSS_ATTENTION),
    "rope_parameters": ROPE,
}
MLLAMA_VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_global_layers": 2,
    "attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 56,
    "patch_size": 14,
    "max_num_tiles": 4,
    "vision_output_dim": 64,
    "intermediate_layers_indices": [0],
    "initializer_range": 0.3,
}
"""Real patch size, tiles and aspect ratios (the defaults); 17 tokens a tile get 7 of padding, as the real 1601 do."""

TOKENIZERS = {
    "llama": {"template": "<bos> $A"},
    "gemma": {"template": "<bos> $A"},
    "qwen": {"template": "$A <eos>", "bos": False, "padding_side": "left"},
    "clip": {"template": "<bos> $A <eos>"},
}
"""What each family's own tokenizer puts around a text. Qwen3-Embedding has no BOS, ends in EOS and pads on the left."""


def save_family_tokenizer(folder: Path, family: str) -> None:
    settings: dict[str, Any] = TOKENIZERS[family]
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = [(token, vocabulary[token]) for token in ("<bos>", "<eos>") if token in settings["template"]]
    tokenizer.post_processor = processors.TemplateProcessing(single=settings["template"], special_tokens=named)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>" if settings.get("bos", True) else None,
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side=settings.get("padding_side", "right"),
        model_max_length=64,
    ).save_pretrained(folder)


def randomise_gates(network: nn.Module) -> None:
    """Fresh gates are zero, and hide the tile and position embeddings behind them."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gate" in name.rpartition(".")[2] and parameter.numel() == 1:
                parameter.fill_(0.8)


def save_mllama(
    folder: Path, *, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, shard: str = "5GB"
) -> transformers.MllamaForConditionalGeneration:
    """Llama 3.2 Vision, whole, with tokenizer and image processor; returns the network in evaluation mode."""
    torch.manual_seed(0)
    vision = {**MLLAMA_VISION, **(vision or {})}
    config = transformers.MllamaConfig(vision_config=vision, text_config={**MLLAMA_TEXT, **(text or {})})
    network = transformers.MllamaForConditionalGeneration(config).eval()
    randomise_gates(network)
    network.save_pretrained(folder, max_shard_size=shard)
    save_family_tokenizer(folder, "llama")
    size = vision["image_size"]
    MllamaImageProcessorPil(
        size={"height": size, "width": size}, max_image_tiles=4, image_mean=[0.4] * 3, image_std=[0.2] * 3
    ).save_pretrained(folder)
    return network


def save_text_family(folder: Path, class_name: str, family: str, **changes: Any) -> Any:
    """A causal LM as the hub has it, with its head; returns the network in evaluation mode."""
    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    network = model_class(model_class.config_class(**{**TEXT_CONFIG, **changes})).eval()
    with torch.no_grad():  # with the weights it begins with, a norm of a norm is the norm
        network.model.norm.weight.uniform_(0.5, 2)
    network.save_pretrained(folder)
    save_family_tokenizer(folder, family)
    return network


def save_clip(folder: Path, **vision: Any) -> transformers.CLIPModel:
    """CLIP, whole, with tokenizer and CLIP's own image processor; the position table is that of the image size."""
    torch.manual_seed(0)
    settings = {**IMAGE_CONFIG, **vision}
    config = transformers.CLIPConfig(text_config={**TEXT_CONFIG, "num_hidden_layers": 2}, vision_config=settings)
    network = transformers.CLIPModel(config).eval()
    network.save_pretrained(folder)
    save_family_tokenizer(folder, "clip")
    size = settings["image_size"]
    transformers.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    ).save_pretrained(folder)
    return network


def save_vision(folder: Path, class_name: str, **changes: Any) -> Any:
    """A vision transformer of any class of transformers with an ordinary processor, in evaluation mode."""
    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    network = model_class(model_class.config_class(**{**IMAGE_CONFIG, **changes})).eval()
    network.save_pretrained(folder)
    save_processor(folder)
    return network


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    """Random RGB images of (width, height)."""
    random = np.random.default_rng(3)
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def mllama_inputs(folder: Path, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
    """What the checkpoint's own processor makes of images, each a sample of one image."""
    processor = MllamaImageProcessorPil.from_pretrained(folder)
    return dict(processor([[image] for image in images], return_tensors="pt"))


def hooked_states(tower: Any, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Input of the first local block, then the output of every local and global block, by hooks of our own: [B, n, d]."""
    blocks = [*tower.transformer.layers, *tower.global_transformer.layers]
    states: list[torch.Tensor] = []
    hooks = [
        blocks[0].register_forward_pre_hook(
            lambda block, args, kwargs: states.append(kwargs["hidden_states"] if kwargs else args[0]), with_kwargs=True
        )
    ]
    hooks += [block.register_forward_hook(lambda block, args, output: states.append(output)) for block in blocks]
    with torch.no_grad():
        tower(**inputs)
    for hook in hooks:
        hook.remove()
    return [state[0] if isinstance(state, tuple) else state for state in states]
