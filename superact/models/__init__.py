"""Models: load one, turn a sample into tokens, run one forward pass, hand hidden states out.

The names below are imported on first use, because `superact.models.local` (what `superact models list` calls) must work
without importing torch, and importing it runs this file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superact.models.base import Model
    from superact.models.load import load_model
    from superact.models.text import TextModel, TokenizedText
    from superact.models.vision import VisionModel

__all__ = ["Model", "TextModel", "TokenizedText", "VisionModel", "load_model"]

_HOME = {
    "Model": "superact.models.base",
    "TextModel": "superact.models.text",
    "TokenizedText": "superact.models.text",
    "VisionModel": "superact.models.vision",
    "load_model": "superact.models.load",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
