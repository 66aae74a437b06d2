"""What the tests of reports show: a dataset of texts and one of pictures, two concept sets at two layers, both units.

Labels and texts are what would break careless quoting, in HTML, JavaScript or a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from metrics_tables import arrow, write_table

from superact.metrics.evaluate import Protocol, evaluate
from superact.store import Run, Warehouse

PROTOCOL = Protocol(seed=7, replicates=10)
LABELS = ("__proto__", 'a\'b "c"', "<script>alert(1)</script>")
LAYERS = (1, 3)
SETS = {"avg": "cosine", "linsep": "signed_distance"}
SAMPLES = 60
GRID = 4
SIZE = 28
TEXTS = (
    "<script>document.title = 'broken'</script>",
    "</script><img src=x onerror=alert(1)>",
    "An emoji \U0001f600 of two halves, and \u2028 a line separator",
    "naïve café 日本語 \x1b[31m red",
)
HALVED = 2
"""The text whose emoji is two tokens, as byte-level tokenizers cut it."""
TEXT_AT = {3 * i + 2: text for i, text in enumerate(TEXTS)}
"""The samples with these texts, all of split test."""


@dataclass(frozen=True)
class World:
    """The warehouse, and the data root with the pictures."""

    warehouse: Warehouse
    data_root: Path


def report_world(root: Path, *, samples: int = SAMPLES, images: bool = True, evaluated: bool = True) -> World:
    """Publish both datasets below `root`, evaluated, the pictures as files."""
    warehouse = Warehouse(root / "warehouse")
    rng = np.random.default_rng(11)
    texts = [TEXT_AT.get(i, f"Text number {i} says word{i % 5}") for i in range(samples)]
    tokens = {i: tokens_of(text, halved=text == TEXTS[HALVED]) for i, text in enumerate(texts)}
    patches = {i: [{"row": n // GRID, "col": n % GRID} for n in range(GRID * GRID)] for i in range(samples)}
    with warehouse.run("test") as run:
        _dataset(run, rng, "notes", "reader", "text", tokens, [{"text": text} for text in texts])
        facts = [{"path": f"images/{i}.png", "width": 40, "height": 30} for i in range(samples)]
        _dataset(run, rng, "pics", "viewer", "image", patches, facts)
        run.publish()
    if images:
        draw_pictures(root / "Data" / "pics" / "images", samples)
    if evaluated:
        evaluate(warehouse, protocol=PROTOCOL)
    return World(warehouse, root / "Data")


def tokens_of(text: str, halved: bool = False) -> list[dict[str, Any]]:
    """Words with the blank before them; with `halved`, a character beyond 16 bits is two tokens of the same place."""
    found: list[dict[str, Any]] = []
    start = 0
    for end in [i for i, character in enumerate(text) if character == " " and i] + [len(text)]:
        for _ in range(2 if halved and any(ord(own) > 0xFFFF for own in text[start:end]) else 1):
            found.append({"text": text[start:end], "char_start": start, "char_end": end})
        start = end
    return found


def draw_pictures(folder: Path, n: int) -> None:
    """Small pictures, no two alike."""
    from PIL import Image

    folder.mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (40, 30), (i * 4 % 256, 255 - i * 3 % 256, 90)).save(folder / f"{i}.png")


def _dataset(
    run: Run,
    rng: np.random.Generator,
    name: str,
    model: str,
    modality: str,
    tokens: dict[int, list[dict[str, Any]]],
    facts: list[dict[str, Any]],
) -> None:
    splits = ["train", "cal", "test"]
    keys: dict[str, Any] = {"dataset": name, "model": model}
    describe = {"name": name.title(), "modality": modality}
    write_table(run, "datasets", [{**describe, "source": name, "digest": f"digest of {name}"}], **keys)
    write_table(run, "models", [{"name": model.title(), "modality": modality, "blocks": 4, "width": 8}], **keys)
    samples = [{"sample": i, "split": splits[i % 3], "modality": modality, **facts[i]} for i in range(len(tokens))]
    write_table(run, "samples", samples, **keys)
    write_table(run, "labels", [{"label": one, "source": "test", "evaluated": True} for one in LABELS], **keys)
    carried = [(i, one) for i in tokens for number, one in enumerate(LABELS) if rng.random() < 0.55 - 0.15 * number]
    write_table(run, "sample_labels", [{"sample": i, "label": one} for i, one in carried], **keys)
    rows = [
        {"sample": i, "token": n, **token, "is_content": n > 0 or modality == "image"}
        for i, own in tokens.items()
        for n, token in enumerate(own)
    ]
    part = run.partition("tokens", {"test": "tokens", "model:geometry": "squash", "model:input_size": SIZE}, **keys)
    part.write(0, [arrow("tokens", rows)])
    content = [(row["sample"], row["token"]) for row in rows if row["is_content"]]
    inside = [(i, n, one) for i, one in carried for sample, n in content if sample == i and rng.random() < 0.4]
    inside.sort(key=lambda row: (row[0], row[1]))
    write_table(run, "token_labels", [{"sample": i, "token": n, "label": one} for i, n, one in inside], **keys)
    marked = {(one, i, n) for i, n, one in inside}
    for concept_set, measure in SETS.items():
        for layer in LAYERS:
            for unit, places in (("token", content), ("cls", [(i, -1) for i in tokens])):
                own: dict[str, Any] = {**keys, "layer": layer, "concept_set": concept_set, "unit": unit}
                scores = [
                    {
                        "concept": one,
                        "sample": i,
                        "token": n,
                        "cosine": np.float32(rng.normal() * 0.2 + 0.3 * ((one, i, n) in marked or (i, one) in carried)),
                        "signed_distance": np.float32(rng.normal() + ((one, i, n) in marked or (i, one) in carried)),
                    }
                    for one in sorted(LABELS)
                    for i, n in places
                ]
                write_table(run, "activations", scores, **own)
                vectors = [
                    {"concept": one, "method": concept_set, "bias": 0.0, "norm": 1.0, "status": "ok"} for one in LABELS
                ]
                write_table(run, "concepts", vectors, **own)
                about = {"method": concept_set, "supervised": True, "score": measure}
                write_table(run, "concept_sets", [about], **own)
