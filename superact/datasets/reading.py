"""Reading the files of a dataset: whatever is wrong with one is an UnreadableFile that names it and its row.

Pictures come from downloads, so only the decoders of the formats below may see them: Pillow would start Ghostscript for a
PostScript file of any name, and decode one of any size.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from superact.errors import UnreadableFile

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
_DIGEST_BLOCK = 1 << 20


def row_name(row: int) -> str:
    """Name a 0-based table row the way messages do: with its line in a CSV file that has a header line."""
    return f"{row} (line {row + 2})"


def unreadable(path: Path, sample: int, source: Path, reason: str) -> UnreadableFile:
    """Say what is wrong with the file `path` of a sample that the table `source` lists."""
    return UnreadableFile(path=path, row=row_name(sample), source=source, reason=reason)


def read_text(path: Path, sample: int, source: Path) -> str:
    """Return a text; line ends are read as `\\n`, a byte order mark is dropped.

    Raises UnreadableFile for a text that is missing, blank or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(path, sample, source, f"it is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise unreadable(path, sample, source, str(error)) from error
    if not text.strip():
        raise unreadable(path, sample, source, "the text is empty or blank")
    return text


@contextmanager
def opened_image(path: Path, sample: int, source: Path) -> Iterator[Image.Image]:
    """Open an image file without decoding it; what its decoder finds wrong, now or inside the block, is an UnreadableFile.

    So is a picture of more than Pillow's `Image.MAX_IMAGE_PIXELS`, of which Pillow itself only warns: a few bytes of it can
    take all of the memory.
    """
    from PIL import Image

    # Pillow's decoders report damage with all of these; UnidentifiedImageError is an OSError.
    damage = (
        *(OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, OverflowError, struct.error, zlib.error),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    )
    try:
        with Image.open(path, formats=FORMATS) as image:
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and image.width * image.height > most:
                size = f"it has {image.width} x {image.height} pixels, and more than {most:,} are not read"
                raise unreadable(path, sample, source, size)
            yield image
    except damage as error:
        raise unreadable(path, sample, source, str(error) or type(error).__name__) from error


def read_rgb(path: Path, sample: int, source: Path) -> Image.Image:
    """Return an image as RGB, in raw pixel order: no EXIF orientation is applied. Raises UnreadableFile."""
    with opened_image(path, sample, source) as image:
        if image.mode.startswith(("I", "F")):
            reason = f"pixel mode {image.mode!r} has more than 8 bits a channel"
            raise unreadable(path, sample, source, reason)
        return image.convert("RGB")


def read_mask(path: Path, sample: int, source: Path) -> np.ndarray:
    """Return a single-channel image as bool [height, width], true above 0. Raises UnreadableFile."""
    with opened_image(path, sample, source) as image:
        if len(image.getbands()) != 1:
            reason = f"a mask has one channel and this image has {len(image.getbands())} ({image.mode})"
            raise unreadable(path, sample, source, reason)
        return np.asarray(image) > 0


def file_sha256(path: Path) -> tuple[int, bytes]:
    """Return the size of a file and the sha256 of its bytes, read 1 MB at a time. Raises OSError."""
    size, digest = 0, hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_DIGEST_BLOCK):
            size += len(block)
            digest.update(block)
    return size, digest.digest()
