"""What a dataset plug-in returns: one of two small protocols, by whether its samples are texts or images.

A plug-in is a function `(data_root: Path) -> TextSource | ImageSource` named in the entry-point group `superact.datasets`;
`superact.datasets.plugins` checks what it returns and makes a `Dataset` of it. Samples are asked for by their row in
`metadata`, counted from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import polars as pl

if TYPE_CHECKING:
    from PIL import Image


class _Source(Protocol):
    revision: str
    """Changes whenever a sample may have changed. It enters the identity of all that is made of the dataset, as do the names,
    splits and labels of the samples and the texts themselves."""

    metadata: pl.DataFrame
    """Reads as a metadata.csv would: `text_path` or `image_path` (String, a name of its own for every sample), `split`
    (`train`, `cal`, `test`), and a column of 0 and 1 (whole numbers or booleans) for every label."""


class TextSource(_Source, Protocol):
    """Texts. Optional members: `licence`, one line, and

    `word_labels(sample: int) -> Mapping[str, Sequence[int]]`: label -> positions of its words, counted from 0 among the runs of
    non-blank characters (`\\S+`) of the text. Without it, only whole texts are labelled.
    """

    def text(self, sample: int) -> str:
        """The text of a sample: not blank, the same at every call."""


class ImageSource(_Source, Protocol):
    """Images. Optional members: `licence`, one line, and

    `masks(sample: int) -> Mapping[str, np.ndarray]`: label -> bool [height, width] of the image, or of its shape at another
    resolution; labels without a pixel are left out. Without it, only whole images are labelled.
    """

    def image(self, sample: int) -> Image.Image:
        """The image of a sample, of 8 bits a channel, the same at every call. Several threads may ask at the same time.

        What `PIL.Image.open` returns will do: it is decoded when its pixels are needed, and closed.
        """
