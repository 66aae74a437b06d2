"""Train a sparse autoencoder on the rows of one layer: TopK (Gao et al. 2024), or L1 (a ReLU with a penalty).

Rows are centred and scaled to mean squared length 1 for training, which is folded into the weights at the end: the result reads
raw embeddings. Decoder directions have length 1 throughout; the encoder begins as the decoder's transpose, b_dec at the mean.
Features that were active in no row for a while are dead. TopK's learn from what is missed (AuxK, Gao et al.); those of
L1, whose gradient is 0, begin again ten times as directions in which badly explained rows are missed (Bricken et al. 2023).
Seeded: on one machine with as many threads, the same rows give the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superact.concepts.base import random_generator
from superact.concepts.sae.base import Sae, build
from superact.concepts.sae.sparse import nonzeros
from superact.errors import BadInput

KINDS = {"topk": "topk", "l1": "standard"}
"""What can be trained, and which kind of autoencoder comes out."""
STEPS = 1500
"""Steps that the default number of epochs makes about."""
_AUXILIARY, _DEAD_BATCHES = 1 / 32, 20  # weight of the AuxK loss; batches without activity after which it counts
_RESAMPLINGS, _LAST_RESAMPLING = 10, 0.8
_WARM_UP, _COOL_DOWN = 0.05, 0.2  # shares of the steps
_CANDIDATES = 8192  # rows among which dead features find a direction
_PART = 16 * 1024

Array = np.ndarray[Any, Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Recipe:
    """How an autoencoder is trained. None: `features` four for each dimension; `epochs` as many as make about STEPS steps.

    `k` counts for topk, `l1` for l1: the weight of the sum of activations beside the squared error, rows of length 1.
    """

    kind: str = "topk"
    features: int | None = None
    k: int = 64
    l1: float = 0.1
    epochs: int | None = None
    batch: int = 512
    lr: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(what=f"--kind {self.kind!r} is unknown.", remedy=f"Choose {' or '.join(KINDS)}.")
        for name in ("features", "k", "epochs", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(what=f"--{name} is {value}.", remedy="Give at least 1.")
        for name in ("l1", "lr"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (name == "lr" and value == 0):
                raise BadInput(what=f"--{name} is {value}.", remedy="Give a number above 0.")

    def resolved(self, n: int, width: int) -> Recipe:
        """The same with numbers for rows [n, width] in place of None. Errors: BadInput for k above the features."""
        batch = min(self.batch, max(n, 1))
        epochs = self.epochs or max(1, round(STEPS / max(1, n // batch)))
        found = replace(self, features=self.features or 4 * width, epochs=epochs, batch=batch)
        if self.kind == "topk" and self.k > int(found.features or 0):
            raise BadInput(what=f"--k {self.k} of {found.features} features.", remedy="Give fewer than --features.")
        return found


def fit(
    rows: Array, recipe: Recipe, *, name: str, source: str, device: str = "cpu", progress: Progress | None = None
) -> Sae:
    """Train on raw rows float32 [n, d], an array or a memory map; the weights end on `device`.

    Errors: BadInput for fewer than two rows, rows that are all one, or not finite.
    """
    recipe = recipe.resolved(*rows.shape)
    mean, scale = _place(rows)
    trainer = _Trainer(rows, mean, scale, recipe, device)
    steps = trainer.steps
    for step in range(steps):
        if progress and step % 10 == 0:
            progress("train the SAE", step, steps)
        trainer.step(step)
    return trainer.result(name, source)


class _Trainer:
    """Weights in training, of rows z = (x - mean) / scale."""

    def __init__(self, rows: Array, mean: Array, scale: float, recipe: Recipe, device: str) -> None:
        self._rows, self._recipe, self._device = rows, recipe, device
        self._mean, self._scale = torch.from_numpy(mean).to(device), scale
        features, width = int(recipe.features or 0), rows.shape[1]
        directions = random_generator(recipe.seed, "sae", "directions").standard_normal((features, width))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        decoder = torch.from_numpy(directions.astype(np.float32)).to(device)
        self._w_dec = decoder.requires_grad_()
        self._w_enc = decoder.detach().T.contiguous().requires_grad_()
        self._b_enc = torch.zeros(features, device=device, requires_grad=True)
        self._b_dec = torch.zeros(width, device=device, requires_grad=True)
        weights = [self._w_enc, self._b_enc, self._w_dec, self._b_dec]
        self._adam = torch.optim.Adam(weights, lr=recipe.lr)
        self._idle = torch.zeros(features, dtype=torch.int64, device=device)  # rows since a feature was active
        self._order = random_generator(recipe.seed, "sae", "batches")
        self._chance = random_generator(recipe.seed, "sae", "resampling")
        self._per_epoch = len(rows) // recipe.batch
        self.steps = self._per_epoch * int(recipe.epochs or 1)
        self._every = max(1, self.steps // _RESAMPLINGS)
        self._numbers: Array = np.empty(0, dtype=np.int64)

    def step(self, step: int) -> None:
        """One step of Adam on the next batch."""
        size, place = self._recipe.batch, step % self._per_epoch
        if place == 0:
            self._numbers = self._order.permutation(len(self._rows))
        z = self._load(self._numbers[place * size : (place + 1) * size])
        pre, acts = self._encode(z)
        missed = z - (acts @ self._w_dec + self._b_dec)
        loss = missed.square().sum(dim=1).mean()
        if self._recipe.kind == "l1":
            loss = loss + self._recipe.l1 * self._ramp(step) * acts.sum(dim=1).mean()
        else:
            loss = loss + self._auxiliary(pre, missed.detach())
        self._adam.zero_grad()
        loss.backward()
        with torch.no_grad():
            self._idle = torch.where((acts > 0).any(dim=0), 0, self._idle + len(z))
            # Only the direction of a decoder row is learned: what would change its length is taken out of the gradient.
            gradient = self._w_dec.grad
            assert gradient is not None
            gradient -= (gradient * self._w_dec).sum(dim=1, keepdim=True) * self._w_dec
            self._adam.param_groups[0]["lr"] = self._recipe.lr * self._ramp(step) * self._cool(step)
            self._adam.step()
            self._w_dec /= self._w_dec.norm(dim=1, keepdim=True)
            if self._recipe.kind == "l1" and (step + 1) % self._every == 0 and step < _LAST_RESAMPLING * self.steps:
                self._resample()

    def result(self, name: str, source: str) -> Sae:
        """What was trained, for raw embeddings: the directions as they are, activations in the embeddings' own unit."""
        tensors = {
            "W_enc": self._w_enc.detach(),
            "b_enc": self._b_enc.detach() * self._scale,
            "W_dec": self._w_dec.detach(),
            "b_dec": self._mean + self._scale * self._b_dec.detach(),
        }
        k = self._recipe.k if self._recipe.kind == "topk" else None
        return build(KINDS[self._recipe.kind], tensors, name=name, source=source, k=k)

    def _encode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What goes into the activation function, and what comes out: [n, features] each."""
        pre = torch.addmm(self._b_enc, z - self._b_dec, self._w_enc)
        return pre, pre.relu() if self._recipe.kind == "l1" else _largest(pre, self._recipe.k)

    def _auxiliary(self, pre: Tensor, missed: Tensor) -> Tensor | float:
        """How badly the largest of the dead features, half as many as dimensions, explain what the others miss."""
        dead = (self._idle >= min(len(self._rows), _DEAD_BATCHES * self._recipe.batch)).nonzero().squeeze(1)
        whole = missed.square().sum()
        if not len(dead) or not whole > 0:
            return 0.0
        acts = _largest(pre[:, dead], max(1, missed.shape[1] // 2))
        return _AUXILIARY * (missed - acts @ self._w_dec[dead]).square().sum() / whole

    def _resample(self) -> None:
        """Let features that were active in no row of a tenth of the training, or of all rows, begin again."""
        longest = min(len(self._rows), self._every * self._recipe.batch)
        dead = (self._idle >= longest).nonzero().squeeze(1)
        chosen = self._chance.choice(len(self._rows), min(len(self._rows), _CANDIDATES), replace=False)
        z = self._load(chosen)
        parts = z.split(self._recipe.batch)
        missed = torch.cat([part - (self._encode(part)[1] @ self._w_dec + self._b_dec) for part in parts])
        badly = missed.square().sum(dim=1).double().cpu().numpy() ** 2
        dead = dead[: min(len(dead), int(np.count_nonzero(badly)))]
        if not len(dead):
            return
        picked = self._chance.choice(len(badly), len(dead), replace=False, p=badly / badly.sum())
        found = missed[torch.from_numpy(picked).to(missed.device)]
        directions = found / found.norm(dim=1, keepdim=True)
        alive = torch.ones(len(self._idle), dtype=torch.bool, device=dead.device)
        alive[dead] = False
        length = self._w_enc[:, alive].norm(dim=0).mean() if alive.any() else 1.0
        length = 0.2 * length  # so that they do not at once push the others away
        self._w_dec[dead], self._w_enc[:, dead], self._b_enc[dead] = directions, (length * directions).T, 0.0
        for weights, where in ((self._w_dec, dead), (self._w_enc, (slice(None), dead)), (self._b_enc, dead)):
            for moment in ("exp_avg", "exp_avg_sq"):
                self._adam.state[weights][moment][where] = 0.0
        self._idle[dead] = 0

    def _load(self, numbers: Array) -> Tensor:
        rows = torch.from_numpy(self._rows[np.sort(numbers)]).to(self._device)
        return (rows - self._mean) / self._scale

    def _ramp(self, step: int) -> float:
        return min(1.0, (step + 1) / max(1.0, _WARM_UP * self.steps))

    def _cool(self, step: int) -> float:
        return min(1.0, (self.steps - step) / max(1.0, _COOL_DOWN * self.steps))


def _largest(pre: Tensor, most: int) -> Tensor:
    """The largest so many of each row where positive, 0 elsewhere; gradients go through what is kept."""
    row, feature, _ = nonzeros(pre.detach(), most)
    places = torch.from_numpy(row * pre.shape[1] + feature).to(pre.device)
    return torch.zeros_like(pre).view(-1).scatter(0, places, pre.reshape(-1)[places]).view_as(pre)


def _place(rows: Array) -> tuple[Array, float]:
    """Mean [d] of rows, and the root of their mean squared distance from it, in float64 part by part."""
    if len(rows) < 2:
        raise BadInput(what=f"There are {len(rows)} train rows for an SAE.", remedy="It takes at least two.")
    parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
    mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / len(rows)
    variance = sum(float(np.square(part - mean).sum()) for part in parts) / len(rows)
    if not math.isfinite(variance):
        remedy = "The embeddings hold NaN or infinity: extract them again with --dtype float32."
        raise BadInput(what="The train rows for an SAE are not finite.", remedy=remedy)
    if variance == 0.0:
        raise BadInput(what="The train rows for an SAE are all one.", remedy="Take another layer.")
    return mean.astype(np.float32), math.sqrt(variance)
