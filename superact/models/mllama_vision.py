"""The vision tower of Llama 3.2 Vision (transformers' `MllamaVisionModel`): 32 local and 8 global blocks, 560 pixels.

An image is one tile: letterboxed into a 1 x 1 canvas, the three other tiles zero and masked, and only tile 1's tokens are
kept: row 0 the class token, rows 1 to 1600 the patches of a 40 x 40 grid, row-major. The other tiles are still computed.
The network's mask only cuts attention between two masked tokens, so the tokens of tile 1 do attend to masked ones, and a
run without them would give other numbers.

Layers are counted over the 40 executed blocks: 0 is the input of the first local block, k the output of block k. Between
block 32 (the last local one) and block 33 (the first global one) stand a layer norm and the post-tile embedding: layer 32
is the output of block 32, **before** both, as the published code took it. Layer 40 is the last global block's output.
transformers reports no hidden states for this tower, so the blocks are taken from its two encoders by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from superact.errors import BadInput, ModelUnavailable
from superact.models.base import Identity
from superact.models.hidden_states import HiddenStates
from superact.models.vision import VisionModel

_ONE_TILE = [1, 1]


class MllamaVision(VisionModel):
    """The vision tower of Llama 3.2 Vision; see `VisionModel`, and above for what a layer and a token are."""

    default_geometry = "letterbox"

    @property
    def n_tiles(self) -> int:
        """Tiles that the network computes for an image; the first is kept."""
        return int(self.config.max_num_tiles)

    def _interpolation(self) -> dict[str, Any]:
        if self.input_size != self.config.image_size:
            raise BadInput(
                what=f"{self.name} reads images of {self.config.image_size} pixels only, not of {self.input_size}.",
                remedy="Leave out --input-size.",
            )
        return {}

    def _find_states(self, probe: Mapping[str, Any]) -> HiddenStates:
        network: Any = self.network
        blocks = [*network.transformer.layers, *network.global_transformer.layers]
        tokens = 1 + self.grid[0] * self.grid[1]
        return HiddenStates.of_blocks(self.network, blocks, probe, self.name, first_tokens=tokens)

    def _own_identity(self) -> Identity:
        return {**super()._own_identity(), "tiles": f"1 of {self.n_tiles}"}

    def _inputs(self, batch: Tensor) -> dict[str, Any]:
        """One image of one tile a sample. What the network's own processor fills the other tiles with is zero."""
        n = len(batch)
        tiles = batch.new_zeros(n, 1, self.n_tiles, *batch.shape[1:])
        tiles[:, 0, 0] = batch
        mask = torch.zeros(n, 1, self.n_tiles, dtype=torch.long, device=self.device)
        mask[..., 0] = 1
        return {
            "pixel_values": tiles.to(self.device, self.dtype),
            "aspect_ratio_ids": torch.full((n, 1), self._aspect_ratio_id(), device=self.device),
            "aspect_ratio_mask": mask,
        }

    def _aspect_ratio_id(self) -> int:
        """Id of the 1 x 1 canvas; 0 stands for no image."""
        ratios = [list(ratio) for ratio in self.config.supported_aspect_ratios]
        if _ONE_TILE not in ratios:
            raise ModelUnavailable(model=self.name, reason="it knows no canvas of one tile")
        return ratios.index(_ONE_TILE) + 1
