"""A model that a plug-in brings (`superact.models.protocol`), as a `TextModel` or `VisionModel` like any other.

What it returns is checked when it is loaded, on one small batch: shapes, and for texts that padding changes nothing. Shapes are
looked at in every batch. What is wrong is a BadInput that names the plug-in.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from superact.errors import BadInput
from superact.models.base import DTYPES, Identity, Model, Source, slug_of
from superact.models.registry import LOCAL_MODELS
from superact.models.text import TextModel, TokenizedText
from superact.models.towers import check_modality
from superact.models.vision import GEOMETRIES, VisionModel
from superact.plugins import MODELS, Plugin, clash, find

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULTS = {
    "device_map": None,
    "attention": "sdpa",
    "revision": None,
    "special_tokens": "auto",
    "input_size": None,
    "trust_remote_code": False,
}
"""The options that a plug-in is given where they are another than this. Autocast and geometry are not its business."""
_PROBES = ("The quick brown fox is quick.", "The fox.")
_TOLERANCE = {"float32": 1e-3, "float16": 5e-2, "bfloat16": 1e-1}
"""How far padding may move a hidden state, as a share of the largest component: rounding, not another mask."""


def find_plugin(ref: str | os.PathLike[str]) -> Plugin | None:
    """The model plug-in of that name or slug, or None. Raises BadInput where something else has its name."""
    text = os.fspath(ref)
    plugin = find(MODELS, text, _slug)
    if plugin is None:
        return None
    if _slug(plugin.name) in LOCAL_MODELS:
        raise clash(text, plugin, f"the local model {_slug(plugin.name)}", "Give the path of the prepared folder")
    if (Path(text) / "config.json").is_file():
        raise clash(text, plugin, f"the folder {Path(text).absolute()}", f"Write ./{text} for the folder")
    return plugin


def load_plugin(
    plugin: Plugin,
    device: torch.device,
    dtype: str,
    *,
    modality: str | None,
    autocast: str | None,
    geometry: str | None,
    **options: Any,
) -> TextModel | VisionModel:
    """Load the model of a plug-in. `options` are those of `DEFAULTS`. Raises BadInput for what is not as it should be."""
    given = {name: value for name, value in options.items() if value != DEFAULTS[name]}
    _check_options(plugin, given)
    network = plugin.call(device=device, dtype=DTYPES[dtype], **given)
    kinds = [kind for method, kind in (("tokenize", "text"), ("pixels", "image")) if hasattr(network, method)]
    if len(kinds) != 1 or not callable(getattr(network, "forward", None)):
        raise plugin.wrong(
            f"its {type(network).__name__} needs a method forward, and one of tokenize (texts) and pixels (images)"
        )
    check_modality(kinds[0], modality, plugin.name)
    source = _source(plugin, network, autocast, given.get("device_map"))
    if kinds[0] == "image":
        return PluginVisionModel(plugin, network, source, device, dtype, given, geometry)
    if geometry is not None:
        raise BadInput(what=f"{plugin.name} is a text model.", remedy="Leave out --geometry.")
    return PluginTextModel(plugin, network, source, device, dtype, given)


def _source(plugin: Plugin, network: Any, autocast: str | None, device_map: Any) -> Source:
    licence = getattr(network, "licence", None)
    return Source(
        ref=plugin.value,
        display=plugin.name,
        slug=slug_of(plugin.name),
        origin=str(plugin),
        licence=licence if isinstance(licence, str) else None,
        revision=plugin.revision_of(network),
        device_map=None if device_map is None else str(device_map),
        autocast=autocast,
    )


def _slug(name: str) -> str:
    try:
        return slug_of(name)
    except BadInput:
        return ""


def _check_options(plugin: Plugin, given: Mapping[str, Any]) -> None:
    """Raise BadInput for an option that the plug-in's function does not take: it would be ignored in silence."""
    function = plugin.function()
    with plugin.failing("has no signature"):
        parameters = inspect.signature(function).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in given:
        if not takes_all and name not in parameters:
            option = f"--{name.replace('_', '-')}"
            raise BadInput(what=f"The {plugin} takes no {option}.", remedy=f"Leave out {option}.")


class _PluginModel(Model):
    """What both kinds have in common: names, the identity, and the states that `forward` gives."""

    def _take(
        self,
        plugin: Plugin,
        network: Any,
        source: Source,
        device: torch.device,
        dtype: str,
        given: Mapping[str, Any],
    ) -> None:
        # What identity and `superact models describe` read of a transformers configuration.
        config = SimpleNamespace(model_type=plugin.value, _attn_implementation=given.get("attention"))
        Model.__init__(self, source, SimpleNamespace(config=config), device, dtype)  # type: ignore[arg-type]
        self.network = network
        self._plugin = plugin
        self._states = _States(plugin, network)  # type: ignore[assignment]

    @property
    def provenance(self) -> dict[str, str]:
        """Device, library versions, and the package that the plug-in is of."""
        return {**super().provenance, "plugin": self._plugin.distribution}

    def _ask(self, method: str, argument: Any) -> Any:
        with self._plugin.failing(f"failed in {method}"):
            return getattr(self.network, method)(argument)

    def _probe(self, inputs: dict[str, Tensor]) -> dict[int, Tensor]:
        with self._plugin.failing("failed in forward"), torch.inference_mode():
            return self._forward(inputs, self.layers)


class PluginTextModel(_PluginModel, TextModel):
    """A text model of a plug-in."""

    def __init__(
        self,
        plugin: Plugin,
        network: Any,
        source: Source,
        device: torch.device,
        dtype: str,
        given: Mapping[str, Any],
    ) -> None:
        self._take(plugin, network, source, device, dtype, given)
        self.special_tokens = given.get("special_tokens", "auto")
        self.max_tokens = _whole(plugin, network, "max_tokens") if hasattr(network, "max_tokens") else None
        self._check_padding()

    def tokenize(self, text: str) -> TokenizedText:
        """Tokenize one text. Raises BadInput for too many tokens, and for what are no tokens of this text."""
        found = self._ask("tokenize", text)
        if not isinstance(found, TokenizedText):
            raise self._plugin.wrong(f"tokenize gives a {type(found).__name__}, not a TokenizedText")
        ids, start, end = (np.asarray(values, np.int32) for values in (found.ids, found.char_start, found.char_end))
        content = np.asarray(found.is_content, bool)
        if {values.shape for values in (ids, start, end, content)} != {(len(found.pieces),)}:
            raise self._plugin.wrong("the parts of what tokenize gives have different lengths")
        if ((start < 0) | (start > end) | (end > len(text))).any() or (ids < 0).any():
            raise self._plugin.wrong(f"tokenize gives ids or offsets that are not of the text {text[:40]!r}")
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            raise BadInput(
                what=f"A text has {len(ids)} tokens, and {self.name} takes at most {self.max_tokens}.",
                remedy="Shorten the text, or split it into several samples.",
            )
        return TokenizedText(ids, start, end, list(found.pieces), content)

    def _pad_id(self) -> int:
        return 0

    def _own_identity(self) -> Identity:
        probe = self.tokenize(_PROBES[0])
        added = [piece for piece, content in zip(probe.pieces, probe.is_content, strict=True) if not content]
        return {"special_tokens": self.special_tokens, "special_tokens_added": " ".join(added) or None}

    def _check_padding(self) -> None:
        """A network that does not heed the mask would give every text other numbers in every batch."""
        long, short = (self.tokenize(text) for text in _PROBES)
        if not 0 < len(short) < len(long):
            raise self._plugin.wrong(
                f"tokenize gives {len(long)} tokens for {_PROBES[0]!r}, {len(short)} for {_PROBES[1]!r}"
            )
        tolerance = _TOLERANCE[self._source.autocast or self._dtype_name]
        alone, together = self._probe(self.batch([short])), self._probe(self.batch([long, short]))
        for layer in self.layers:
            one, other = alone[layer][0].float(), together[layer][1, : len(short)].float()
            if not bool(torch.isfinite(one).all() & torch.isfinite(other).all()):
                continue  # said of its sample when a hidden state is stored
            if (one - other).abs().max() > tolerance * one.abs().max():
                raise self._plugin.wrong(
                    f"a longer text in the batch changes layer {layer}: forward must heed attention_mask"
                )


class PluginVisionModel(_PluginModel, VisionModel):
    """A vision model of a plug-in."""

    def __init__(
        self,
        plugin: Plugin,
        network: Any,
        source: Source,
        device: torch.device,
        dtype: str,
        given: Mapping[str, Any],
        geometry: str | None,
    ) -> None:
        self._take(plugin, network, source, device, dtype, given)
        self.input_size, self.patch = _whole(plugin, network, "input_size"), _whole(plugin, network, "patch")
        if self.input_size % self.patch:
            raise plugin.wrong(f"its input_size {self.input_size} is no multiple of its patch {self.patch}")
        if given.get("input_size") not in (None, self.input_size):
            raise plugin.wrong(f"an input_size of {given['input_size']} is asked for, and it has {self.input_size}")
        self.geometry = str(geometry or getattr(network, "geometry", "squash"))
        if self.geometry not in GEOMETRIES:
            raise BadInput(what=f"{self.geometry!r} is not a geometry.", remedy=f"Use one of {', '.join(GEOMETRIES)}.")
        side = self.input_size // self.patch
        self.grid = (side, side)
        self.resample = int(getattr(network, "resample", 3))
        self.n_prefix = int(getattr(network, "n_prefix", 0))
        self.cls_index = 0 if self.n_prefix else None
        self._extra = {}
        self._check_shapes()

    def pixels(self, image: Image) -> np.ndarray:
        """The image as the network reads it: float32 [3, S, S]. Raises BadInput for anything else."""
        found = self._ask("pixels", image)
        expected = (3, self.input_size, self.input_size)
        if not isinstance(found, np.ndarray) or found.shape != expected or found.dtype != np.float32:
            what = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
            raise self._plugin.wrong(f"pixels gives {what}, not an array float32 {list(expected)}")
        return found

    def _own_identity(self) -> Identity:
        return {
            "input_size": self.input_size,
            "patch": self.patch,
            "geometry": self.geometry,
            "resample": self.resample,
        }

    def _check_shapes(self) -> None:
        from PIL import Image

        pixels = self.pixels(Image.new("RGB", (self.input_size, self.input_size), (120, 120, 120)))
        found = self._probe(self._inputs(torch.from_numpy(pixels[None])))[0].shape[1]
        patches = self.grid[0] * self.grid[1]
        if found != self.n_prefix + patches:
            raise self._plugin.wrong(
                f"forward gives {found} tokens, and {self.n_prefix} before {patches} patches are {self.n_prefix + patches}"
            )


class _States:
    """The hidden states of a plug-in's network: in place of `superact.models.hidden_states.HiddenStates`."""

    def __init__(self, plugin: Plugin, network: Any) -> None:
        self._plugin, self._network = plugin, network
        self.n_blocks, self.width = _whole(plugin, network, "n_blocks"), _whole(plugin, network, "width")
        self.last_is_normed = bool(getattr(network, "last_is_normed", False))

    def __call__(self, inputs: Mapping[str, Any], layers: Sequence[int]) -> dict[int, Tensor]:
        """As HiddenStates. What `forward` raises stays as it is: memory that runs out is for the caller to deal with."""
        wanted = sorted(set(layers))
        if not wanted:
            return {}
        with torch.no_grad():
            found = self._network.forward(dict(inputs), wanted)
        first = inputs["input_ids"] if "input_ids" in inputs else inputs["pixel_values"]
        tokens = first.shape[1] if "input_ids" in inputs else None
        for layer in wanted:
            state = found.get(layer) if isinstance(found, Mapping) else None
            if not isinstance(state, Tensor) or not state.is_floating_point():
                raise self._plugin.wrong(f"forward gives no tensor for layer {layer}, only {_said(found)}")
            shape, expected = list(state.shape), f"[{len(first)}, {tokens or 'tokens'}, {self.width}]"
            right = state.ndim == 3 and shape[0] == len(first) and shape[2] == self.width and tokens in (None, shape[1])
            if not right:
                raise self._plugin.wrong(f"forward gives layer {layer} as {shape}, not {expected}")
        return {layer: found[layer] for layer in wanted}


def _said(found: Any) -> str:
    return f"the layers {list(found)}" if isinstance(found, Mapping) else f"a {type(found).__name__}"


def _whole(plugin: Plugin, network: Any, name: str) -> int:
    """A positive whole number that the network states."""
    value = getattr(network, name, None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise plugin.wrong(f"its {name} is {value!r}, not a whole number above 0")
    return value
