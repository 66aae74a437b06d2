"""Small warehouses of samples for the tests of their figures: texts with awkward characters, and images of every geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from metrics_tables import write_table
from PIL import Image

from superact.metrics.evaluate import Protocol, evaluate
from superact.store import Warehouse

TEXTS = {"dataset": "notes", "model": "reader", "layer": 2, "concept_set": "linsep", "unit": "token"}
IMAGES = {"dataset": "toys", "model": "eye", "layer": 2, "concept_set": "avg", "unit": "token"}
PROTOCOL = Protocol(seed=0, replicates=5)
SPLITS = ("train", "cal", "test")
EVIL = '<script>alert(1)</script> \x1b[31mred\x1b]0;x\x07 & "q"'
"""Text that would run in a page and steer a terminal."""
WORDS = {
    0: "a good dog",
    1: "the good old dog barks",
    2: "a good dog barks at it",
    3: "no cat at all",
    4: "a cat or good dogs",
    5: EVIL,
    6: "good\nnight",
    7: "日本 good",
}
"""The texts; 2 and 5 are of test, as 8 would be; `good` is what the label `praise` is about."""


def text_world(root: Path) -> Warehouse:
    """Texts of word tokens; the label praise lies on the word good, which scores 4, other words score less or below 0."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("samples", "tokens", "token_labels", "activations")}
    carried = []
    for sample, text in WORDS.items():
        rows["samples"].append({"sample": sample, "split": SPLITS[sample % 3], "modality": "text", "text": text})
        for token, (start, end, word) in enumerate(_words(text)):
            place = {"sample": sample, "token": token}
            rows["tokens"].append({**place, "text": word, "char_start": start, "char_end": end, "is_content": True})
            if word == "good":
                rows["token_labels"].append({**place, "label": "praise"})
            score = {"good": 4.0, "dog": 4.5 if sample == 2 else 1.5, "<script>alert(1)</script>": 6.0}.get(word, -1.5)
            rows["activations"].append({"concept": "praise", **place, "cosine": 0.0, "signed_distance": score})
        if "good" in text:
            carried.append({"sample": sample, "label": "praise"})
    return _publish(root, rows, carried, ["praise"], TEXTS, {"test": "tokens"}, "signed_distance", "text")


def _words(text: str) -> list[tuple[int, int, str]]:
    """(start, end, word) of the words of a text, the blank before a word being part of its characters."""
    found, end = [], 0
    for word in text.split():
        start, end = end, text.index(word, end) + len(word)
        found.append((start, end, word))
    return found


SIZES = {"squash": (60, 30), "crop": (60, 40), "letterbox": (40, 20)}
"""Width and height of the images of a world, by geometry: the model sees 56 x 56 pixels in 4 x 4 patches of 14."""


def image_world(root: Path, kind: str = "squash", samples: int = 9) -> Warehouse:
    """Images whose label spot is on the patches (1, 1) and (1, 2) of every other sample; padding is no content.

    The images lie in root/Data/Toys/images.
    """
    width, height = SIZES[kind]
    (root / "Data/Toys/images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("samples", "tokens", "token_labels", "activations")}
    carried = []
    for sample in range(samples):
        path = f"images/{sample}.png"
        pixels = np.full((height, width, 3), 20 * sample % 256, np.uint8)
        Image.fromarray(pixels).save(root / "Data/Toys" / path)
        facts = {"path": path, "split": SPLITS[sample // 2 % 3], "modality": "image", "width": width, "height": height}
        rows["samples"].append({"sample": sample, **facts})
        for token in range(16):
            place = {"sample": sample, "token": token}
            is_content = kind != "letterbox" or token < 8
            rows["tokens"].append({**place, "row": token // 4, "col": token % 4, "is_content": is_content})
            inside = sample % 2 == 0 and token in (5, 6)
            if inside:
                rows["token_labels"].append({**place, "label": "spot"})
            if is_content:
                score = float(rng.integers(4, 9) if inside else rng.integers(-6, 6)) / 8
                rows["activations"].append({"concept": "spot", **place, "cosine": score, "signed_distance": 0.0})
        if sample % 2 == 0:
            carried.append({"sample": sample, "label": "spot"})
    identity = {"test": "tokens", "model:geometry": kind, "model:input_size": 56}
    return _publish(root, rows, carried, ["spot"], IMAGES, identity, "cosine", "image")


def _publish(
    root: Path,
    rows: dict[str, list[dict[str, Any]]],
    carried: list[dict[str, Any]],
    labels: list[str],
    keys: dict[str, Any],
    tokens: dict[str, Any],
    measure: str,
    modality: str,
) -> Warehouse:
    """Publish the tables, and evaluate as far as figures of samples need it."""
    from metrics_tables import arrow

    warehouse = Warehouse(root / "wh")
    rows["sample_labels"] = carried
    rows["labels"] = [{"label": name, "source": "mask", "evaluated": True} for name in [*labels, "never"]]
    facts = {"method": keys["concept_set"], "bias": 0.0, "norm": 1.0, "status": "ok"}
    rows["concepts"] = [{"concept": name, **facts} for name in labels]
    rows["concept_sets"] = [{"method": keys["concept_set"], "supervised": True, "score": measure}]
    rows["datasets"] = [
        {"name": keys["dataset"].title(), "source": keys["dataset"].title(), "modality": modality, "digest": "x"}
    ]
    rows["models"] = [{"name": f"{keys['model'].title()} 1B", "modality": modality, "width": 2, "blocks": 4}]
    with warehouse.run("test") as run:
        part = run.partition("tokens", tokens, dataset=keys["dataset"], model=keys["model"])
        if not part.current:
            part.write(0, [arrow("tokens", rows.pop("tokens"))])
        for table, own in rows.items():
            write_table(run, table, own, **keys)
        run.publish()
    evaluate(warehouse, ("detect", "layers"), protocol=PROTOCOL, threads=1, dataset=keys["dataset"])
    return warehouse
