"""Vision models: square RGB images in, hidden states of prefix tokens and patches out.

This module does no resizing. How an image is brought to `input_size` (and its masks with it) is the business of the one
geometry object that the caller uses for both; the model only says which geometry it wants by default.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoImageProcessor

from superact.errors import BadInput, ModelUnavailable
from superact.models.base import Identity, Model, Source, digest
from superact.models.hidden_states import HiddenStates

if TYPE_CHECKING:
    from PIL.Image import Image

GEOMETRIES = ("squash", "crop", "letterbox")


class VisionModel(Model):
    """A vision transformer; see `Model` for the common attributes.

    Attributes
    ----------
    input_size, patch, grid
        Side of the square input in pixels, side of a patch, (rows, columns) of the patch grid.
    geometry
        How images are brought to `input_size`: `squash`, `crop` or `letterbox`.
    resample
        PIL resampling filter of the model's own processor (3 = bicubic).
    n_prefix, cls_index
        Tokens in front of the patches (CLS, registers); index of the CLS token, or None when there is none.
    """

    modality = "image"
    default_geometry: ClassVar[str] = "squash"

    def __init__(
        self,
        source: Source,
        network: nn.Module,
        device: torch.device,
        dtype: str,
        *,
        geometry: str | None = None,
        input_size: int | None = None,
    ) -> None:
        super().__init__(source, network, device, dtype)
        processor = AutoImageProcessor.from_pretrained(source.ref, backend="pil", **source.hub)
        self._read_processor(processor)
        if getattr(self.config, "patch_size", None) is None:
            raise ModelUnavailable(
                model=source.display, reason="it cuts an image into no patches (a vision transformer does)"
            )
        self.patch = _side(self.config.patch_size, source.display, "patch_size")
        self.input_size = input_size or _processor_size(processor, source.display)
        self.geometry = geometry or self.default_geometry
        if self.geometry not in GEOMETRIES:
            raise BadInput(what=f"{geometry!r} is not a geometry.", remedy=f"Use one of {', '.join(GEOMETRIES)}.")
        if self.input_size <= 0 or self.input_size % self.patch:
            raise BadInput(
                what=f"An input of {self.input_size} pixels cannot be cut into patches of {self.patch}.",
                remedy=f"Give --input-size a multiple of {self.patch}.",
            )
        self.grid = (self.input_size // self.patch, self.input_size // self.patch)
        self._extra = self._interpolation()
        probe = self._inputs(torch.zeros(1, 3, self.input_size, self.input_size))
        self._states = self._find_states(probe)
        self.n_prefix = self._count_prefix(probe)
        self.cls_index = 0 if self.n_prefix else None

    def _read_processor(self, processor: Any) -> None:
        self._rescale = float(processor.rescale_factor) if processor.do_rescale else 1.0
        normalise = bool(processor.do_normalize)
        self._mean = np.array(processor.image_mean if normalise else [0.0] * 3, dtype=np.float32)
        self._std = np.array(processor.image_std if normalise else [1.0] * 3, dtype=np.float32)
        self.resample = int(processor.resample)

    def _interpolation(self) -> dict[str, Any]:
        """CLIP and ViT interpolate their position embeddings only when asked; DINOv2 does it by itself."""
        takes = "interpolate_pos_encoding" in inspect.signature(self.network.forward).parameters
        own = getattr(self.config, "image_size", self.input_size)
        return {"interpolate_pos_encoding": True} if takes and own != self.input_size else {}

    def _find_states(self, probe: Mapping[str, Any]) -> HiddenStates:
        return HiddenStates(self.network, probe, self.config.num_hidden_layers, self.name)

    def _count_prefix(self, probe: dict[str, Any]) -> int:
        prefix = int(self._states(probe, [0])[0].shape[1]) - self.grid[0] * self.grid[1]
        if prefix < 0:
            raise ModelUnavailable(
                model=self.name,
                reason=f"it gives fewer tokens than its {self.grid[0]} x {self.grid[1]} grid has patches",
            )
        return prefix

    def _own_identity(self) -> Identity:
        return {
            "processor": digest(
                {"rescale": self._rescale, "mean": self._mean.tolist(), "std": self._std.tolist()}
                | {"resample": self.resample}
            ),
            "input_size": self.input_size,
            "geometry": self.geometry,
        }

    def pixels(self, image: Image) -> np.ndarray:
        """The image as the network reads it: float32 [3, S, S], rescaled and normalised, S = `input_size`.

        The image must be RGB and already S x S. Raises BadInput otherwise.
        """
        if image.mode != "RGB" or image.size != (self.input_size, self.input_size):
            raise BadInput(
                what=f"An image is {image.mode} of {image.size[0]} x {image.size[1]} pixels.",
                remedy=f"{self.name} reads RGB of {self.input_size} x {self.input_size}: apply its geometry first.",
            )
        values = np.asarray(image, dtype=np.float32) * np.float32(self._rescale)
        return np.ascontiguousarray(((values - self._mean) / self._std).transpose(2, 0, 1))

    def forward(self, pixels: Tensor | np.ndarray, layers: Sequence[int]) -> dict[int, Tensor]:
        """One forward pass over `pixels` [B, 3, S, S]: {layer: [B, n_prefix + P, d]}, patches row-major after the prefix.

        On the model's device, in its dtype, without gradient. Raises LayerOutOfRange, and BadInput for another shape.
        """
        batch = torch.as_tensor(pixels)
        expected = (3, self.input_size, self.input_size)
        if batch.ndim != 4 or tuple(batch.shape[1:]) != expected:
            raise BadInput(what=f"A pixel batch has shape {tuple(batch.shape)}.", remedy=f"Give [B, {expected}].")
        return self._forward(self._inputs(batch), layers)

    def _inputs(self, batch: Tensor) -> dict[str, Any]:
        return {"pixel_values": batch.to(self.device, self.dtype), **self._extra}


def _side(value: Any, name: str, what: str) -> int:
    sides = {int(side) for side in value} if isinstance(value, list | tuple) else {int(value)}
    if len(sides) != 1:
        raise ModelUnavailable(model=name, reason=f"its {what} {value} is not square")
    return sides.pop()


def _processor_size(processor: Any, name: str) -> int:
    """Side of the image that the model's own processor hands over: the crop, else the resize, else unknown.

    The configuration's `image_size` does not count: DINOv2 says 518 there and is used at 224.
    """
    cropped = getattr(processor, "do_center_crop", False) and getattr(processor, "crop_size", None)
    size = dict(cropped or processor.size)
    sides = [size.get("height"), size.get("width")]
    if all(sides):
        return _side(sides, name, "input size")
    if size.get("shortest_edge"):
        return int(size["shortest_edge"])
    raise ModelUnavailable(model=name, reason="its processor does not say the input size; give --input-size")
