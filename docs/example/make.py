"""Write the import folder that the pages under docs/metrics work through: `python docs/example/make.py [FOLDER]`.

Ten sentences, every token a hidden state of two whole numbers and length 25, so that its cosine with an axis is a coordinate
over 25, exact in float32. The embeddings are called normalised: xhat is the row itself. Label `dog` is the first axis at
layer 2; the bulk of its tokens overlaps with other words, the tail does not. Label `mood` is noise outside train, and `night`
is carried by no cal sample. At layer 1 the axes are blurred. A token is: its word, its state at layer 2 and at layer 1, and
the label it carries, if any. Folder `sae` holds a sparse autoencoder of five features for layer 2, as Gemma Scope stores one.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Token = tuple[str, tuple[int, int], tuple[int, int], str]

SAMPLES: list[tuple[str, list[Token]]] = [
    ("train", [
        ("good", (7, 24), (7, 24), "mood"),
        ("dog", (24, 7), (20, 15), "dog"),
        ("ran", (15, -20), (20, -15), "dog"),
        ("late", (0, -25), (0, -25), "night"),
    ]),
    ("train", [
        ("glad", (-7, 24), (-7, 24), "mood"),
        ("dogs", (24, -7), (20, -15), "dog"),
        ("bark", (15, 20), (20, 15), "dog"),
    ]),
    ("cal", [
        ("the", (0, 25), (0, 25), ""),
        ("old", (7, -24), (7, -24), "mood"),
        ("dog", (25, 0), (20, 15), "dog"),
        ("barked", (15, 20), (15, 20), "dog"),
    ]),
    ("cal", [
        ("a", (0, -25), (0, -25), ""),
        ("puppy", (24, 7), (15, -20), "dog"),
        ("slept", (7, 24), (7, 24), "dog"),
    ]),
    ("cal", [
        ("cats", (15, 20), (20, 15), "mood"),
        ("sat", (-15, 20), (-15, 20), ""),
        ("still", (0, 25), (0, 25), ""),
    ]),
    ("cal", [
        ("rain", (-20, 15), (-20, 15), "mood"),
        ("all", (0, -25), (0, -25), ""),
        ("day", (7, -24), (7, -24), ""),
    ]),
    ("test", [
        ("my", (0, -25), (0, -25), ""),
        ("dog", (25, 0), (20, -15), "dog"),
        ("ran", (15, 20), (15, 20), "dog"),
        ("home", (7, 24), (7, 24), ""),
    ]),
    ("test", [
        ("the", (0, 25), (0, 25), ""),
        ("hound", (24, -7), (15, -20), "dog"),
        ("woke", (7, -24), (7, -24), "dog"),
        ("up", (-15, -20), (-15, -20), "mood"),
    ]),
    ("test", [
        ("a", (0, -25), (0, -25), ""),
        ("whelp", (20, 15), (7, 24), "dog"),
        ("out", (-15, 20), (-15, 20), ""),
        ("late", (0, -25), (0, -25), "night"),
    ]),
    ("test", [
        ("hot", (15, 20), (20, 15), ""),
        ("day", (7, -24), (7, -24), ""),
        ("ends", (-20, 15), (-20, 15), "mood"),
    ]),
]  # fmt: skip
CENTRES = {"0": (0, -25), "1": (25, 0), "2": (0, 25)}
"""The three centres of concept set kmeans, at layer 2."""
FEATURES = [((1, 0), 0, 0.5), ((-1, 0), 0, 0.5), ((0, 1), 0, 0.0), ((0, 0), 1, 0.0), ((-0.6, -0.8), 0, 0.9)]
"""Direction, bias and threshold of the features of the autoencoder: active is a cosine plus the bias above the threshold."""
COLUMN = {2: 1, 1: 2}
"""Where a token has its state at each layer."""


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def prototype(label: str, layer: int) -> list[float]:
    """The mean of the train tokens that carry the label, as method avg has it."""
    rows = [t[COLUMN[layer]] for split, tokens in SAMPLES if split == "train" for t in tokens if t[3] == label]
    return [float(value) for value in np.mean(rows, axis=0)]


def autoencoder() -> dict[str, np.ndarray]:
    """Its parameters: encoder [2, 5], decoder [5, 2], biases and thresholds; a state has length 25."""
    directions = np.array([direction for direction, _, _ in FEATURES], dtype=np.float32)
    return {
        "W_enc": directions.T / np.float32(25),
        "W_dec": directions * np.float32(25) + np.array([[0, 0]] * 3 + [[25, 0], [0, 0]], dtype=np.float32),
        "b_enc": np.array([bias for _, bias, _ in FEATURES], dtype=np.float32),
        "b_dec": np.zeros(2, dtype=np.float32),
        "threshold": np.array([threshold for _, _, threshold in FEATURES], dtype=np.float32),
    }


def main(folder: Path) -> None:
    """Write every file of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"dataset": "toy", "model": "tiny", "embeddings": "normalised"}
    (folder / "protocol.json").write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
    tokens = [(s, t, token) for s, (_, tokens) in enumerate(SAMPLES) for t, token in enumerate(tokens)]
    labelled = [(s, t, token[3]) for s, t, token in tokens if token[3]]
    texts = [" ".join(word for word, *_ in tokens) for _, tokens in SAMPLES]
    samples = [(s, split, "text", text) for s, ((split, _), text) in enumerate(zip(SAMPLES, texts, strict=True))]
    write(folder / "samples.csv", ["sample", "split", "modality", "text"], samples)
    write(folder / "tokens.csv", ["sample", "token", "text", "is_content"], [(s, t, x[0], 1) for s, t, x in tokens])
    write(folder / "token_labels.csv", ["sample", "token", "label"], labelled)
    write(folder / "sample_labels.csv", ["sample", "label"], sorted({(s, label) for s, _, label in labelled}))
    index = [(row, s, t) for row, (s, t, _) in enumerate(tokens)]
    write(folder / "embeddings_token_index.csv", ["row", "sample", "token"], index)
    for layer, column in sorted(COLUMN.items()):
        states = np.array([token[column] for _, _, token in tokens], dtype=np.float32)
        np.save(folder / f"embeddings_token_layer{layer}.npy", states)
    concepts: list[tuple[object, ...]] = [
        (layer, "avg", "token", label, *prototype(label, layer))
        for layer in (1, 2)
        for label in ("dog", "mood", "night")
    ]
    concepts += [(2, "kmeans", "token", name, *centre) for name, centre in CENTRES.items()]
    (folder / "sae").mkdir(exist_ok=True)
    np.savez(folder / "sae" / "params.npz", **autoencoder())
    write(folder / "concepts.csv", ["layer", "method", "unit", "concept", "v0", "v1"], concepts)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
