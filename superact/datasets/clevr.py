"""CLEVR-Mini: a rendered data set in CLEVR's published layout, with exact masks and nothing to download.

    report = render_clevr(Path("Data/CLEVR-Mini"), n=1000)

Guarantees: a picture depends on (seed, index, size) alone, not on the number of workers or the order of rendering; a
file under its final name is complete; `metadata.csv` appears last, so a folder that has one has every picture; running
again renders only what is missing; a folder made with other settings is refused unless told to replace it. One render
at a time may work in a folder.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from superact.datasets.progress import progress_bar
from superact.datasets.raytrace import COLORS, SHAPES, render, sample_scene
from superact.datasets.splits import cal_tail_split
from superact.errors import BadInput

STEP_VERSION = 1  # raised when the same (seed, index, size) gives another picture
_CHUNK = 16  # scenes a worker renders between two reports
_PNG_LEVEL = 3  # four times as quick as zlib's default on these noisy pictures, for 15 % more bytes
_FOLDERS = ("images", "cal_images/images", "masks/images", "masks/cal_images/images")
_OURS = re.compile(r"CLEVR_new_\d{6,}\.png(\.part)?")


@dataclass(frozen=True)
class RenderReport:
    """What `render_clevr` did: scenes rendered now, scenes that were there already, and the dataset folder."""

    n_rendered: int
    n_skipped: int
    path: Path


def render_clevr(
    out: Path,
    n: int,
    size: int = 224,
    seed: int = 0,
    workers: int | None = None,
    progress: bool | None = None,
    force: bool = False,
) -> RenderReport:
    """Render n scenes of one object, size x size pixels, with masks and metadata.csv, into the folder `out`.

    The first floor(0.8 n) scenes are train or test, the rest cal, by CLEVR's published rule. `workers`: processes
    (None: one a core; 1: this process); they are spawned, so a script that calls this needs the usual
    `if __name__ == "__main__"`. `progress`: a bar on stderr (None: on a terminal only). `force` discards the scenes of
    an earlier render in `out` and renders again.

    Raises BadInput when `out` holds a render of other settings (n is one of them: the split depends on it) and `force`
    is off, when it holds anything else, and for settings that make no sense.
    """
    _check_settings(n, size, seed, workers)
    settings = {"seed": seed, "size": size, "n": n, "step_version": STEP_VERSION}
    _claim(out, settings, force)
    splits = cal_tail_split(n)
    paths = [_image_path(index, split) for index, split in enumerate(splits)]
    missing = [index for index in range(n) if not _is_rendered(out, paths[index])]
    for folder in _FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    jobs = [(index, paths[index]) for index in missing]
    with progress_bar(f"Rendering {out.name}", len(jobs), progress) as advance:
        _render_all(out, jobs, size, seed, workers, advance)
    _write(out / "metadata.csv", _metadata(seed, paths, splits).encode())
    return RenderReport(n_rendered=len(jobs), n_skipped=n - len(jobs), path=out)


def _check_settings(n: int, size: int, seed: int, workers: int | None) -> None:
    for name, value, least in (("n", n, 1), ("size", size, 8), ("seed", seed, 0), ("workers", workers, 1)):
        if value is not None and value < least:
            raise BadInput(what=f"{name} = {value} is too small for a render.", remedy=f"Use at least {least}.")


def _claim(out: Path, settings: dict[str, int], force: bool) -> None:
    """Make `out` a folder of these settings, or refuse it; `render.json` says whose it is before any picture does."""
    note = out / "render.json"
    if out.exists() and not out.is_dir():
        raise BadInput(what=f"{out} is a file.", remedy="Give the folder to render into.")
    if not note.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise BadInput(
                what=f"{out} is not empty and no render made it (it has no render.json).",
                remedy="Give a new or empty folder; files that superact did not make are never replaced.",
            )
    else:
        found = _read_note(note)
        if found != settings and not force:
            fields = sorted(found.keys() | settings.keys())
            differ = [key for key in fields if found.get(key) != settings.get(key)]
            listed = "; ".join(f"{key} {found.get(key)}, not {settings.get(key)}" for key in differ)
            raise BadInput(
                what=f"{out} was rendered with other settings: {listed}.",
                remedy="Use the same settings, render into another folder, or pass force to replace what is there.",
            )
        if force:
            _discard(out)
    out.mkdir(parents=True, exist_ok=True)
    _write(note, (json.dumps(settings, indent=1) + "\n").encode())


def _read_note(note: Path) -> dict[str, object]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(what=f"{note} is damaged: {error}.", remedy="Remove the folder and render again.") from error
    return found if isinstance(found, dict) else {"render.json": found}


def _discard(out: Path) -> None:
    """Remove the files of an earlier render, metadata.csv first, and nothing else."""
    (out / "metadata.csv").unlink(missing_ok=True)
    for folder in _FOLDERS:
        for path in (out / folder).glob("*"):
            if _OURS.fullmatch(path.name):
                path.unlink()


def _image_path(index: int, split: str) -> str:
    folder = "cal_images/images" if split == "cal" else "images"
    return f"{folder}/CLEVR_new_{index:06d}.png"


def _is_rendered(out: Path, image_path: str) -> bool:
    return all(path.is_file() for path in (out / image_path, out / "masks" / image_path))


def _render_all(
    out: Path, jobs: list[tuple[int, str]], size: int, seed: int, workers: int | None, advance: Callable[[int], None]
) -> None:
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    if workers <= 1:
        for job in jobs:
            advance(_render_chunk(out, [job], size, seed))
        return
    # Spawned, not forked: Polars and BLAS threads of this process do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            futures = [pool.submit(_render_chunk, out, chunk, size, seed) for chunk in chunks]
            for future in as_completed(futures):
                advance(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _render_chunk(out: Path, jobs: Iterable[tuple[int, str]], size: int, seed: int) -> int:
    """Render scenes (index, image path); return how many. Runs in a worker."""
    count = 0
    for index, image_path in jobs:
        picture, mask = render(sample_scene(seed, index), size)
        _write(out / "masks" / image_path, _png(mask.astype(np.uint8) * 255))
        _write(out / image_path, _png(picture))
        count += 1
    return count


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _metadata(seed: int, paths: list[str], splits: list[str]) -> str:
    """Return metadata.csv: the published columns, and mask_path."""
    colors, shapes = sorted(COLORS), sorted(SHAPES)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    labels = [*(f"color::{color}" for color in colors), *(f"shape::{shape}" for shape in shapes)]
    writer.writerow(["image_path", "class", *labels, "split", "mask_path"])
    for index, (path, split) in enumerate(zip(paths, splits, strict=True)):
        scene = sample_scene(seed, index)
        flags = [int(color == scene.color) for color in colors] + [int(shape == scene.shape) for shape in shapes]
        writer.writerow([path, f"{scene.color}_{scene.shape}", *flags, split, f"masks/{path}"])
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
