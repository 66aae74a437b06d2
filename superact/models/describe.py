"""What a loaded model is, in words: the facts that decide what is stored of it, without running any data."""

from __future__ import annotations

from superact.models.base import Model
from superact.models.text import TextModel
from superact.models.vision import VisionModel


def describe(model: Model) -> dict[str, str]:
    """Facts of a model by name: family, layers, width, what its tokens are, revision, and the layer at each percent."""
    facts = {
        "name": model.name,
        "model": model.slug,
        "source": model.source,
        "revision": str(model.identity["revision"]),
        "modality": model.modality,
        "family": f"{model.config.model_type} ({type(model.network).__name__})",
        "blocks": str(model.n_blocks),
        "layers": f"0 to {model.n_blocks}: {_layers(model)}",
        "width": str(model.width),
        "dtype": str(model.identity["dtype"]),
        "attention": str(model.identity["attention"]),
        "device": model.provenance["device"],
    }
    if isinstance(model, VisionModel):
        facts |= _vision(model)
    if isinstance(model, TextModel):
        facts |= _text(model)
    return facts | _percents(model)


def _layers(model: Model) -> str:
    last = "the last one after the final norm" if model.last_is_normed else "the last one without the final norm"
    return f"0 before the first block, k after block k, {last}"


def _vision(model: VisionModel) -> dict[str, str]:
    rows, columns = model.grid
    patches = f"{rows * columns} patches ({rows} x {columns} of {model.patch} pixels)"
    prefix = f"{model.n_prefix} before them" if model.n_prefix else "none before them"
    return {
        "input": f"{model.input_size} x {model.input_size} pixels, {model.geometry}",
        "tokens": f"{patches}, {prefix}",
        "unit cls": "no CLS token" if model.cls_index is None else f"token {model.cls_index}",
    }


def _text(model: TextModel) -> dict[str, str]:
    special = model.identity["special_tokens_added"]
    return {
        "tokens": f"at most {model.max_tokens} a text" if model.max_tokens else "any number a text",
        "special tokens": f"{special} (--special-tokens {model.special_tokens})" if special else "none",
        "unit cls": "mean of the content tokens",
    }


def _percents(model: Model) -> dict[str, str]:
    """The whole percents that lead to each layer; a model of more than 100 blocks has layers that none leads to."""
    found: dict[int, list[int]] = {}
    for percent in range(101):
        found.setdefault(model.layer_of_percent(percent), []).append(percent)
    return {
        f"layer {layer}": f"{percents[0]} to {percents[-1]} %" if len(percents) > 1 else f"{percents[0]} %"
        for layer, percents in found.items()
    }
