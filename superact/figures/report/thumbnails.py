"""The images of a report: as the model saw them, small."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superact.errors import BadInput
from superact.figures.pictures import Pictures

if TYPE_CHECKING:
    from superact.figures.report.files import Site
    from superact.query import Session

SIDE = 224
"""Pixels of the side of a thumbnail, at most."""
_QUALITY = 72


def write_thumbnails(
    session: Session, site: Site, dataset: str, model: str, samples: Sequence[int], data_root: Path | str
) -> tuple[str | None, str | None]:
    """Write one WebP a sample; returns the folder they are in, and None, or None and why there are none.

    Models that see an image alike share a folder. A picture that cannot be read leaves out those of its dataset: a report says
    what is missing once.
    """
    try:
        pictures = Pictures(session, dataset, model, data_root)
    except BadInput as error:
        return None, str(error)
    geometry = pictures.geometry
    folder = f"img/{dataset}/{geometry.kind}-{geometry.size}"
    if (site.folder / folder).is_dir():
        return folder, None
    made = []
    try:
        for sample in samples:
            made.append((sample, _small(pictures, sample)))
    except BadInput as error:
        return None, str(error)
    for sample, content in made:
        site.write(f"{folder}/{sample}.webp", content)
    return folder, None


def _small(pictures: Pictures, sample: int) -> bytes:
    from PIL import Image

    image = pictures.input(sample)
    if image.width > SIDE:
        image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    image.save(sink, format="WEBP", quality=_QUALITY, method=4)
    return sink.getvalue()
