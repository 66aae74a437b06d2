"""Tiny chat models of real transformers classes for the tests: a text model, Llama 3.2 Vision, with chat templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tiny import TEXT_CONFIG, save_model
from tiny_families import save_family_tokenizer, save_mllama
from transformers import AutoTokenizer

TEXT_TEMPLATE = (
    "{% for message in messages %}<s> {{ message['content'] }} </s>{% endfor %}"
    "{% if add_generation_prompt %}a {% endif %}"
)
IMAGE_TEMPLATE = (
    "{% for message in messages %}<bos> {% if message['content'] is string %}{{ message['content'] }} {% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<|image|> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}a {% endif %}"
)


def save_chat_text(folder: Path, **changes: Any) -> Path:
    """A random Llama with its head and a chat template; its tokenizer pads on the right, as many do."""
    save_model(folder, "LlamaForCausalLM", **{"max_position_embeddings": 512, **changes})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEXT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def save_chat_mllama(folder: Path) -> Path:
    """Llama 3.2 Vision, whole, with its processor and a chat template."""
    save_mllama(folder, text={"max_position_embeddings": 512, "vocab_size": 40})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    images = transformers.models.mllama.image_processing_pil_mllama.MllamaImageProcessorPil.from_pretrained(folder)
    processor = transformers.MllamaProcessor(images, tokenizer, chat_template=IMAGE_TEMPLATE)
    processor.save_pretrained(folder)
    return folder


QWEN_TEMPLATE = (
    "{% for message in messages %}<eos> {% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}a {% endif %}"
)


def save_chat_qwen(folder: Path) -> Path:
    """Qwen2.5-VL, whole, with its processor and a chat template. Needs torchvision, as its processor does."""
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    text = {**TEXT_CONFIG, "vocab_size": 48, "max_position_embeddings": 512, "rope_parameters": rope}
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 4,
        "intermediate_size": 48,
        "patch_size": 14,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
        "window_size": 56,
        "initializer_range": 0.3,
    }
    folder.mkdir(parents=True)
    save_family_tokenizer(folder, "qwen")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = {f"{name}_token_id": f"<|{token}|>" for name, token in QWEN_TOKENS.items()}
    tokenizer.add_special_tokens({"additional_special_tokens": list(special.values())})
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in special.items()}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    transformers.Qwen2_5_VLForConditionalGeneration(config).eval().save_pretrained(folder)
    images, videos = transformers.Qwen2VLImageProcessor(), transformers.Qwen2VLVideoProcessor()
    transformers.Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=QWEN_TEMPLATE).save_pretrained(folder)
    return folder


QWEN_TOKENS = {
    "vision_start": "vision_start",
    "vision_end": "vision_end",
    "image": "image_pad",
    "video": "video_pad",
}
