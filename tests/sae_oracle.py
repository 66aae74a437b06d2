"""An oracle for sparse autoencoders in NumPy, float64 and dense, that imports nothing from superact; and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]

NAMES = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
}


def random_weights(kind: str, width: int, features: int, seed: int = 0) -> Weights:
    """Weights of a kind, float32, so that a good part of the activations is 0."""
    rng = np.random.default_rng(seed)
    found = {
        "W_enc": rng.normal(size=(width, features)) / width**0.5,
        "W_dec": rng.normal(size=(features, width)),
        "b_dec": rng.normal(size=width),
        **{name: 0.3 * rng.normal(size=features) for name in ("b_enc", "b_gate", "b_mag", "r_mag")},
        "threshold": rng.uniform(-0.2, 0.8, size=features),
    }
    return {name: found[name].astype(np.float32) for name in NAMES[kind]}


def encode(
    kind: str, weights: Weights, x: np.ndarray, *, k: int = 0, subtract: bool = True, normalise: str = "none"
) -> np.ndarray:
    """Activations float64 [n, features]."""
    w: Any = {name: values.astype(np.float64) for name, values in weights.items()}
    rows = x.astype(np.float64)
    if normalise == "layer_norm":
        rows = (rows - rows.mean(1, keepdims=True)) / (rows.std(1, ddof=1, keepdims=True) + 1e-5)
    if normalise == "constant_norm_rescale":
        rows = rows * rows.shape[1] ** 0.5 / np.linalg.norm(rows, axis=1, keepdims=True)
    if subtract:
        rows = rows - w["b_dec"]
    if kind == "gated":
        gate = rows @ w["W_enc"] + w["b_gate"] > 0
        return gate * np.maximum(rows @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"], 0)
    pre = rows @ w["W_enc"] + w["b_enc"]
    if kind == "jumprelu":
        return np.where(pre > w["threshold"], np.maximum(pre, 0), 0)
    return largest(pre, k) if kind == "topk" else np.maximum(pre, 0)


def largest(values: np.ndarray, most: int) -> np.ndarray:
    """The `most` largest of each row where positive, the first of equal ones; 0 elsewhere."""
    found = np.zeros_like(values)
    for row, own in enumerate(values):
        for place in sorted(range(len(own)), key=lambda i: (-own[i], i))[:most]:
            found[row, place] = max(own[place], 0)
    return found


def decode(weights: Weights, acts: np.ndarray, x: np.ndarray, normalise: str = "none") -> np.ndarray:
    """Reconstructions float64 [n, width]."""
    rows = acts @ weights["W_dec"].astype(np.float64) + weights["b_dec"].astype(np.float64)
    x = x.astype(np.float64)
    if normalise == "layer_norm":
        rows = rows * x.std(1, ddof=1, keepdims=True) + x.mean(1, keepdims=True)
    if normalise == "constant_norm_rescale":
        rows = rows * np.linalg.norm(x, axis=1, keepdims=True) / x.shape[1] ** 0.5
    return rows
