"""A model that a plug-in brings (`superact.models.protocol`), as a `TextModel` or `VisionModel` like any other.

What it returns is checked when it is loaded, on one small batch: shapes, and for texts that padding changes nothing. Shapes are
looked at in every batch. What is wrong is a BadInput that names the plug-in; only memory that runs out stays what it is, for
the caller to deal with.
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
from superact.models.base import DTYPES, Identity, Model, Source, is_out_of_memory, slug_of
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
    kinds = [
        kind for name, kind in (("tokenize", "text"), ("pixels", "image")) if plugin.method(network, name) is not None
    ]
    if len(kinds) != 1 or plugin.method(network, "forward") is None:
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
    return Source(
        ref=plugin.value,
        display=plugin.name,
        slug=slug_of(plugin.name),
        origin=str(plugin),
        licence=plugin.licence_of(network),
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
        tokens: int | None = None,
    ) -> None:
        # What identity and `superact models describe` read of a transformers configuration.
        config = SimpleNamespace(model_type=plugin.value, _attn_implementation=given.get("attention"))
        Model.__init__(self, source, SimpleNamespace(config=config), device, dtype)  # type: ignore[arg-type]
        self.network = network
        self._plugin, self._given = plugin, given
        self._states = _States(plugin, network, tokens)  # type: ignore[assignment]

    @property
    def identity(self) -> Identity:
        """As of any model, with the revision that the user asked for, where one was."""
        asked = self._given.get("revision")
        return {**super().identity, **({} if asked is None else {"revision_asked": str(asked)})}

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
        unlimited = plugin.member(network, "max_tokens") is None
        self.max_tokens = None if unlimited else plugin.whole(network, "max_tokens")
        self._check_padding()

    def tokenize(self, text: str) -> TokenizedText:
        """Tokenize one text. Raises BadInput for too many tokens, and for what are no tokens of this text."""
        found = self._ask("tokenize", text)
        if not isinstance(found, TokenizedText):
            raise self._plugin.wrong(f"tokenize gives a {type(found).__name__}, not a TokenizedText")
        with self._plugin.failing("gives from tokenize what are no arrays"):
            ids, start, end = (np.asarray(values) for values in (found.ids, found.char_start, found.char_end))
            content, pieces = np.asarray(found.is_content, bool), list(found.pieces)
        if {values.shape for values in (ids, start, end, content)} != {(len(pieces),)}:
            raise self._plugin.wrong("the parts of what tokenize gives have different lengths")
        strange = [values.dtype for values in (ids, start, end) if len(values) and values.dtype.kind not in "iu"]
        if strange:
            raise self._plugin.wrong(f"tokenize gives ids or offsets that are {strange[0]}, not whole numbers")
        # Looked at before they are narrowed, which would wrap them around.
        if ((start < 0) | (start > end) | (end > len(text)) | (ids < 0) | (ids >= 2**31)).any():
            raise self._plugin.wrong(f"tokenize gives ids or offsets that are not of the text {text[:40]!r}")
        if self.max_tokens is not None and len(ids) > self.max_tokens:
            raise BadInput(
                what=f"A text has {len(ids)} tokens, and {self.name} takes at most {self.max_tokens}.",
                remedy="Shorten the text, or split it into several samples.",
            )
        ids, start, end = (values.astype(np.int32) for values in (ids, start, end))
        return TokenizedText(ids, start, end, pieces, content)

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
        self.input_size, self.patch = plugin.whole(network, "input_size"), plugin.whole(network, "patch")
        if self.input_size % self.patch:
            raise plugin.wrong(f"its input_size {self.input_size} is no multiple of its patch {self.patch}")
        if given.get("input_size") not in (None, self.input_size):
            raise plugin.wrong(f"an input_size of {given['input_size']} is asked for, and it has {self.input_size}")
        self.geometry = _geometry(plugin, network, geometry)
        side = self.input_size // self.patch
        self.grid = (side, side)
        self.resample = _resample(plugin, network)
        self.n_prefix = plugin.whole(network, "n_prefix", least=0, default=0)
        self.cls_index = 0 if self.n_prefix else None
        self._extra = {}
        self._take(plugin, network, source, device, dtype, given, self.n_prefix + side * side)
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
        """Every layer once, before anything is read of a dataset."""
        from PIL import Image

        pixels = self.pixels(Image.new("RGB", (self.input_size, self.input_size), (120, 120, 120)))
        self._probe(self._inputs(torch.from_numpy(pixels[None])))


class _States:
    """The hidden states of a plug-in's network: in place of `superact.models.hidden_states.HiddenStates`.

    `tokens`: prefix and patches of an image; None for texts, whose batches say it.
    """

    def __init__(self, plugin: Plugin, network: Any, tokens: int | None) -> None:
        self._plugin, self._network, self._tokens = plugin, network, tokens
        self.n_blocks, self.width = plugin.whole(network, "n_blocks"), plugin.whole(network, "width")
        self.last_is_normed = plugin.member(network, "last_is_normed", False)
        if not isinstance(self.last_is_normed, bool):
            raise plugin.wrong(f"its last_is_normed is {self.last_is_normed!r}, neither True nor False")

    def __call__(self, inputs: Mapping[str, Any], layers: Sequence[int]) -> dict[int, Tensor]:
        """As HiddenStates. Raises BadInput for what `forward` raises, but for memory that runs out."""
        wanted = sorted(set(layers))
        if not wanted:
            return {}
        with torch.no_grad(), self._plugin.failing("failed in forward", unless=is_out_of_memory):
            found = self._network.forward(dict(inputs), wanted)
            states: dict[int, Any] = {
                layer: found.get(layer) if isinstance(found, Mapping) else None for layer in wanted
            }
        first = inputs["input_ids"] if self._tokens is None else inputs["pixel_values"]
        expected = [len(first), self._tokens or first.shape[1], self.width]
        for layer, state in states.items():
            if not isinstance(state, Tensor) or not state.is_floating_point():
                raise self._plugin.wrong(f"forward gives no tensor for layer {layer}, only {_said(found)}")
            if list(state.shape) != expected:
                counted = "" if self._tokens is None else f": its n_prefix and the patches are {self._tokens} tokens"
                raise self._plugin.wrong(f"forward gives layer {layer} as {list(state.shape)}, not {expected}{counted}")
        return states


def _said(found: Any) -> str:
    return f"the layers {list(found)}" if isinstance(found, Mapping) else f"a {type(found).__name__}"


def _resample(plugin: Plugin, network: Any) -> int:
    from PIL.Image import Resampling

    value = plugin.whole(network, "resample", least=0, default=Resampling.BICUBIC)
    if value not in list(Resampling):
        raise plugin.wrong(f"its resample is {value}, which is no filter of Pillow")
    return value


def _geometry(plugin: Plugin, network: Any, asked: str | None) -> str:
    found: Any = plugin.member(network, "geometry", "squash") if asked is None else asked
    if found in GEOMETRIES:
        return str(found)
    if asked is None:
        raise plugin.wrong(f"its geometry is {found!r}, not one of {', '.join(GEOMETRIES)}")
    raise BadInput(what=f"{asked!r} is not a geometry.", remedy=f"Use one of {', '.join(GEOMETRIES)}.")
