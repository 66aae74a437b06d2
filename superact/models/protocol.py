"""What a model plug-in returns: one of two small protocols, by whether it reads texts or images.

A plug-in is a function `(device: torch.device, dtype: torch.dtype, **options) -> TextNetwork | VisionNetwork` named in the
entry-point group `superact.models`; `superact.models.plugins` checks what it returns and makes a model of it. It is given an
option of `load_model` only where the user asked for another than the default, and only if it takes one of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

    from superact.models.text import TokenizedText


class _Network(Protocol):
    revision: str
    """Changes whenever a hidden state may change: a digest of the weights (and of the vocabulary), say. It enters the
    identity."""

    n_blocks: int
    """T: layers are numbered 0 (what enters the first block) to T (what leaves the last)."""

    width: int
    """d: components of a hidden state."""

    def forward(self, inputs: Mapping[str, Tensor], layers: Sequence[int]) -> Mapping[int, Tensor]:
        """One pass over a batch: layer -> [B, n, d] for every number in `layers` (ascending), without gradient.

        Blocks beyond the last of `layers` need not run. Evaluation mode; the result for a sample must not depend on the rest
        of its batch.
        """


class TextNetwork(_Network, Protocol):
    """A model of texts. `forward` is given `input_ids` and `attention_mask`, int64 [B, n], padded on the right with 0.

    Optional members: `max_tokens: int`, the longest text; `last_is_normed: bool`, layer T is after a final norm; `licence`, one
    line.
    """

    def tokenize(self, text: str) -> TokenizedText:
        """Tokens of one text, without padding. Their offsets say which words they are of; special tokens are no content."""


class VisionNetwork(_Network, Protocol):
    """A model of images. `forward` is given `pixel_values` [B, 3, S, S], in the dtype asked for.

    It returns `n_prefix` tokens, of which the first is the CLS token, and then the patches, row-major. Optional members:
    `n_prefix: int` (default 0), `geometry: str` (how images are brought to the square: `squash`, the default, `crop` or
    `letterbox`), `resample: int` (Pillow's filter, default 3), `last_is_normed`, `licence`.
    """

    input_size: int
    """S: side of the square input in pixels, a multiple of `patch`."""

    patch: int
    """Side of a patch in pixels."""

    def pixels(self, image: Image) -> np.ndarray:
        """An RGB image of S x S pixels as the network reads it: float32 [3, S, S]. Several threads may ask at the same time."""
