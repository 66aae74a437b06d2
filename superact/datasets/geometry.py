"""How an image of any size meets a model's square grid of patches, for image and mask alike.

The published code let CLIP see a centre crop and labelled its patches from the squashed image (25 % of the cells of a
4:3 photo agree); here one object maps both, and its three kinds are named in a run's identity. Sizes follow reference
sections 1.5 (fit, padding, any-pixel rule) and 2.1 (shortest edge, centre crop).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from superact.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image

GeometryKind = Literal["squash", "crop", "letterbox"]
_LONGEST_CROP = 400  # times as long as wide: resizing a narrower image before it is cropped would take gigabytes


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return (width, height) scaled to the longest edge, by the published float expression, never under 1 pixel.

    The float matters: for many sizes `int(longest / (width / height))` is one less than the exact quotient.
    """
    aspect = width / height
    size = (longest, int(longest / aspect)) if aspect > 1 else (int(longest * aspect), longest)
    return max(size[0], 1), max(size[1], 1)


@dataclass(frozen=True)
class Geometry:
    """The map from original pixels to a [size, size] input and its (size / patch)^2 patches, row-major.

    * `squash`: the whole image resized to the square, without keeping its aspect.
    * `crop`: the shortest edge resized to `size`, then the centre square.
    * `letterbox`: the longest edge resized to `size`, zeros (black) at the right and the bottom.

    Raises BadInput for an unknown kind and for a size that is no multiple of the patch.
    """

    kind: GeometryKind
    size: int
    patch: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(GeometryKind):
            kinds = ", ".join(get_args(GeometryKind))
            raise BadInput(what=f"There is no geometry {self.kind!r}.", remedy=f"Choose one of {kinds}.")
        if self.patch < 1 or self.size < 1 or self.size % self.patch:
            raise BadInput(
                what=f"An input of {self.size} pixels is not a whole number of patches of {self.patch} pixels.",
                remedy="Choose an input size that is a multiple of the model's patch size.",
            )

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the patch grid."""
        return self.size // self.patch, self.size // self.patch

    def image(self, image: Image.Image, resample: int) -> Image.Image:
        """Return the image as RGB [size, size], resized with a Pillow filter (`Image.Resampling`, or its number)."""
        return self._place(image.convert("RGB"), resample)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Return a bool [height, width] mask as bool [size, size], resized by Pillow's own nearest neighbour."""
        from PIL import Image

        pixels = Image.fromarray(np.asarray(mask, dtype=bool).astype(np.uint8) * 255)
        return np.asarray(self._place(pixels, Image.Resampling.NEAREST)) > 0

    def patches(self, mask: np.ndarray) -> np.ndarray:
        """Return bool [rows * columns]: a patch is positive iff any pixel of its window of a [size, size] mask is."""
        rows, columns = self.grid
        if mask.shape != (self.size, self.size):
            raise ValueError(f"expected a mask of {self.size} x {self.size} pixels, got shape {mask.shape}")
        windows = np.asarray(mask, dtype=bool).reshape(rows, self.patch, columns, self.patch)
        return windows.any(axis=(1, 3)).reshape(-1)

    def content(self, width: int, height: int) -> np.ndarray:
        """Return bool [rows * columns]: false for patches that are padding only, for an image of that size."""
        rows, columns = self.grid
        content = np.ones((rows, columns), dtype=bool)
        if self.kind == "letterbox":
            fitted_width, fitted_height = fit(width, height, self.size)
            content[-(-fitted_height // self.patch) :] = False
            content[:, -(-fitted_width // self.patch) :] = False
        return content.reshape(-1)

    def _place(self, image: Image.Image, resample: int) -> Image.Image:
        from PIL import Image

        size, (width, height) = self.size, image.size
        resampling = Image.Resampling(resample)
        if self.kind == "squash":
            return image.resize((size, size), resampling)
        if self.kind == "letterbox":
            canvas = Image.new(image.mode, (size, size))
            canvas.paste(image.resize(fit(width, height, size), resampling), (0, 0))
            return canvas
        longest = int(size * max(width, height) / min(width, height))
        if longest > _LONGEST_CROP * size:
            raise BadInput(
                what=f"An image of {width} x {height} pixels is too narrow for geometry crop, which would keep a square of "
                f"less than 1/{_LONGEST_CROP} of it.",
                remedy="Use --geometry squash or letterbox, or leave the image out.",
            )
        resized = image.resize((size, longest) if width <= height else (longest, size), resampling)
        left, top = (resized.width - size) // 2, (resized.height - size) // 2
        return resized.crop((left, top, left + size, top + size))
