"""From places to tokens: table `prompt_answers` in, table `prompt_tokens` out, on the token grid of any model in the warehouse.

A box covers every pixel it touches, and a patch is pointed at iff any pixel of it is, by the same map that its masks take
(`superact.datasets.geometry`). A phrase covers its characters, and a text token is pointed at iff it overlaps one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from superact.datasets.geometry import Geometry
from superact.errors import BadInput, MissingTable
from superact.ingest.describe import frame_rows
from superact.prompts.kept import published_rows
from superact.prompts.parse import VERSION, Boxes, parse_boxes, parse_phrases
from superact.prompts.questions import shown_size
from superact.schemas import FORMAT
from superact.store import Warehouse
from superact.store.identity import Identity
from superact.store.manifest import Published

STEP_VERSION = 1
"""Raised when places are mapped differently; not the release number."""

_SAMPLES_AT_ONCE = 4096


@dataclass
class Places:
    """What the localisation replies came to."""

    replies: int = 0
    unparsed: int = 0
    """Replies that name no place and do not say None."""
    places: int = 0
    """Boxes inside their image, or spans found in their text."""
    lost: int = 0
    """Boxes outside of their image, or phrases that are not in their text."""
    tokens: int = 0

    def add(self, parsed: bool, places: int, lost: int) -> None:
        """Count one reply."""
        self.replies += 1
        self.unparsed += not parsed
        self.places += places
        self.lost += lost


def map_places(warehouse: Warehouse, dataset: str, model: str, tokens_of: str) -> Places:
    """Publish the tokens that an answering model points at, among those of another model of the same dataset; slugs.

    What is published for the same answers and tokens is left alone, anything older is superseded.
    Errors: MissingTable without answers or tokens, BadInput for answers without places, for imported tokens of images (their
    geometry is not known).
    """
    state = warehouse.state()
    answers = _needed(warehouse, "prompt_answers", "superact prompt run --localize", dataset=dataset, model=model)
    tokens = _needed(warehouse, "tokens", "superact ingest", dataset=dataset, model=tokens_of)
    samples = _needed(warehouse, "samples", "superact ingest", dataset=dataset)
    if answers.identity["localize"] is None:
        raise BadInput(
            what=f"{model} was not asked where the labels of {dataset} are.", remedy="Run it again with --localize."
        )
    identity: Identity = {
        "step": "prompt",
        "step_version": STEP_VERSION,
        "schema_version": FORMAT,
        "parser": VERSION,
        "input:prompt_answers": answers.hash,
        "input:tokens": tokens.hash,
    }
    keys: dict[str, str | int] = {"dataset": dataset, "model": model, "tokens_of": tokens_of}
    published = state.get("prompt_tokens", **keys)
    if published is not None and published.identity == identity:
        return Places(**published.meta["places"])
    # It is computed from tables alone, and again in seconds: what is older is superseded without being asked.
    with warehouse.run("prompt", replace=True) as run:
        staged = run.partition("prompt_tokens", identity, **keys)
        found, rows = _mapped(warehouse, answers, samples, tokens)
        staged.meta["places"] = asdict(found)
        staged.write(0, [frame_rows("prompt_tokens", rows)])
        run.publish()
    return found


def _needed(warehouse: Warehouse, table: str, command: str, **keys: str | int) -> Published:
    published = warehouse.state().get(table, **keys)
    if published is None:
        where = ", ".join(f"{name} {value}" for name, value in keys.items())
        raise MissingTable(stage="Mapping places", table=table, where=where, warehouse=warehouse.root, command=command)
    return published


def _mapped(
    warehouse: Warehouse, answers: Published, samples: Published, tokens: Published
) -> tuple[Places, pl.DataFrame]:
    """The counts, and rows (label, sample, token) in that order."""
    asked = published_rows(warehouse, answers).filter(pl.col("localization_reply").is_not_null())
    facts = {row["sample"]: row for row in published_rows(warehouse, samples).iter_rows(named=True)}
    found = Places()
    hits: list[tuple[str, int, list[int]]] = []
    wanted = asked["sample"].unique(maintain_order=True).to_list()
    for start in range(0, len(wanted), _SAMPLES_AT_ONCE):
        chosen = wanted[start : start + _SAMPLES_AT_ONCE]
        grids = {grid["sample"][0]: grid for grid in _tokens(warehouse, tokens, chosen).partition_by("sample")}
        part = asked.filter(pl.col("sample").is_in(chosen) & pl.col("sample").is_in(list(grids)))
        for sample, label, reply in part.select("sample", "label", "localization_reply").iter_rows():
            hits.append((label, sample, _hits(reply, facts[sample], grids[sample], tokens.identity, found)))
    columns: dict[str, Any] = {"label": pl.String, "sample": pl.Int32, "token": pl.List(pl.Int32)}
    frame = (
        pl.DataFrame(hits, schema=columns, orient="row").explode("token").drop_nulls().sort("label", "sample", "token")
    )
    found.tokens = len(frame)
    return found, frame


def _tokens(warehouse: Warehouse, published: Published, samples: list[int]) -> pl.DataFrame:
    columns = ["sample", "token", "char_start", "char_end", "row", "col", "is_content"]
    paths = [warehouse.root / file.path for file in published.files]
    frames = [pl.scan_parquet(path, hive_partitioning=False).select(columns) for path in paths]
    return pl.concat(frames).filter(pl.col("sample").is_in(samples)).collect().sort("sample", "token")


def _hits(reply: str, sample: dict[str, Any], grid: pl.DataFrame, tokens: Identity, found: Places) -> list[int]:
    """The content tokens of a sample that a reply points at; counts what it came to."""
    numbers = grid["token"].to_numpy()
    if sample["modality"] == "text":
        phrases = parse_phrases(reply, sample["text"])
        found.add(phrases.parsed, len(phrases.spans), phrases.missing)
        marked = in_spans(grid["char_start"].to_numpy(), grid["char_end"].to_numpy(), phrases.spans)
    else:
        size = sample["width"], sample["height"]
        shown = shown_size(*size)
        boxes = parse_boxes(reply, *shown)
        found.add(boxes.parsed, len(boxes.boxes), boxes.outside)
        marked = in_boxes(boxes, shown, size, _geometry(tokens, grid))[numbers]
    hit: list[int] = numbers[marked & grid["is_content"].to_numpy()].tolist()
    return hit


def in_spans(
    char_start: np.ndarray[Any, Any], char_end: np.ndarray[Any, Any], spans: tuple[tuple[int, int], ...]
) -> np.ndarray[Any, Any]:
    """Bool [tokens]: which tokens [char_start, char_end) overlap one of the spans."""
    marked = np.zeros(len(char_start), dtype=bool)
    for start, end in spans:
        marked |= (char_end > start) & (char_start < end)
    return marked


def in_boxes(boxes: Boxes, shown: tuple[int, int], size: tuple[int, int], geometry: Geometry) -> np.ndarray[Any, Any]:
    """Bool [patches], row-major: which patches have a pixel in one of the boxes.

    `shown` (width, height) is what the boxes are measured in, `size` the image's own.
    """
    width, height = size
    mask = np.zeros((height, width), dtype=bool)
    across, down = width / shown[0], height / shown[1]
    for x1, y1, x2, y2 in boxes.boxes:
        rows = slice(math.floor(y1 * down), math.ceil(y2 * down))
        mask[rows, math.floor(x1 * across) : math.ceil(x2 * across)] = True
    return geometry.patches(geometry.mask(mask))


def _geometry(tokens: Identity, grid: pl.DataFrame) -> Geometry:
    """The map from image to patches by which the tokens were made."""
    kind, size = tokens.get("model:geometry"), tokens.get("model:input_size")
    if kind is None or size is None:
        raise BadInput(
            what="These tokens were imported: how the images were brought to their patch grid is not known.",
            remedy="Name with --tokens-of a model that `superact ingest` read the images with.",
        )
    return Geometry(kind, size, size // (int(grid["row"].max()) + 1))  # type: ignore[arg-type]
