"""A sparse autoencoder, whatever file it came from: raw embeddings in, activations of features out, and back.

Embeddings go in raw, neither centred nor scaled by layer statistics; what the autoencoder's own configuration says about its
input is honoured. Activations are never negative. CLIP-Scope's TopK has no ReLU behind it, so that its 32 largest of a row may
hold a negative: it counts as absent here, since everything published later reads activations above 0 only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superact.concepts.sae.blocks import in_order, workers_on
from superact.concepts.sae.sparse import NonZeros, nonzeros
from superact.errors import BadInput

KINDS = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
}
"""The tensors of each kind."""

NORMALISATIONS = ("none", "constant_norm_rescale", "layer_norm")
_EPSILON = 1e-5  # of layer_norm, as SAELens has it
_BLOCK_BYTES = {"cpu": 8 << 20}  # activations at a time: on a processor as many as its cache holds
_FEWEST_ROWS = 256  # under which reading the weights would cost as much as the product


@dataclass(frozen=True, eq=False)
class Sae:
    """A sparse autoencoder. Tensors are float32: W_enc [d_in, d_sae], W_dec [d_sae, d_in], b_dec [d_in], others [d_sae].

    `kind` says what follows pre = (x - b_dec) W_enc + b_enc (x itself where not `subtract_b_dec`):
    `standard` max(pre, 0); `topk` the `k` largest of a row, where positive; `jumprelu` pre where it exceeds `threshold`
    and 0; `gated` max((x - b_dec) W_enc exp(r_mag) + b_mag, 0) where (x - b_dec) W_enc + b_gate > 0, without b_enc.
    `normalise` is what is done to an input row first, and undone by `decode`. `source` says where it came from, `about`
    what its configuration says of model and place. Made by `build`, which checks it.
    """

    name: str
    kind: str
    source: str
    W_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    b_enc: Tensor | None = None
    k: int | None = None
    threshold: Tensor | None = None
    b_gate: Tensor | None = None
    b_mag: Tensor | None = None
    r_mag: Tensor | None = None
    subtract_b_dec: bool = True
    normalise: str = "none"
    about: Mapping[str, Any] | None = None

    @property
    def d_in(self) -> int:
        """Width of the embeddings that it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.W_enc.shape[1]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of its kind by name."""
        return {name: getattr(self, name) for name in KINDS[self.kind]}

    @property
    def settings(self) -> dict[str, Any]:
        """What determines its numbers beside the tensors."""
        own = {"kind": self.kind, "d_in": self.d_in, "d_sae": self.d_sae, "normalise": self.normalise}
        return {**own, "subtract_b_dec": self.subtract_b_dec, "k": self.k}

    @cached_property
    def digest(self) -> str:
        """Sha256 over settings and tensors, as hex: equal for the same autoencoder in another format."""
        found = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for name, tensor in sorted(self.tensors.items()):
            found.update(name.encode())
            found.update(tensor.cpu().contiguous().numpy().data)
        return found.hexdigest()

    @property
    def block_rows(self) -> int:
        """How many rows are encoded at a time: their activations [block_rows, d_sae] are all that is held of the dense ones."""
        return max(_FEWEST_ROWS, _BLOCK_BYTES.get(self.W_enc.device.type, 256 << 20) // (4 * self.d_sae))

    def to(self, device: torch.device | str) -> Sae:
        """The same on another device."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, **moved)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Activations [n, d_sae], none negative, of raw embeddings x [n, d_in]; dense, so for a few rows."""
        acts = self._activations(x)
        if self.kind != "topk":
            return acts
        row, feature, activation = nonzeros(acts, self.k)
        dense = torch.zeros_like(acts)
        dense[torch.from_numpy(row), torch.from_numpy(feature).long()] = torch.from_numpy(activation).to(dense.device)
        return dense

    def encode_sparse(self, x: Tensor, top_k: int | None = None) -> NonZeros:
        """Non-zeros of `encode` for raw embeddings x [n, d_in]; with `top_k` the largest so many of every row.

        Returns NumPy arrays row int64 [m], feature int32 [m] and activation float32 [m], in (row, feature) order. Rows are
        encoded `block_rows` at a time; on a CPU, each of torch's threads has blocks of its own.
        """
        most = min((limit for limit in (self.k, top_k) if limit is not None), default=None)
        starts = range(0, max(1, len(x)), self.block_rows)
        if len(starts) == 1:
            return self._found(x, 0, most)
        parts = in_order(lambda start: self._found(x, start, most), starts, workers_on(self.W_enc.device))
        row, feature, activation = (np.concatenate(part) for part in zip(*parts, strict=True))
        return row, feature, activation

    @torch.no_grad()
    def decode(self, acts: Tensor, x: Tensor | None = None) -> Tensor:
        """Reconstructions [n, d_in] of activations [n, d_sae]; `x` are their embeddings, needed where rows are normalised."""
        return self._restore(acts @ self.W_dec + self.b_dec, x)

    @torch.no_grad()
    def decode_sparse(self, found: NonZeros, n: int, x: Tensor | None = None) -> Tensor:
        """Reconstructions [n, d_in] from the non-zeros of n rows."""
        row, feature, activation = found
        device = self.W_dec.device
        starts = torch.from_numpy(np.searchsorted(row, np.arange(n)).astype(np.int32)).to(device)
        features, weights = torch.from_numpy(feature).to(device), torch.from_numpy(activation).to(device)
        bags = torch.nn.functional.embedding_bag(features, self.W_dec, starts, mode="sum", per_sample_weights=weights)
        return self._restore(bags + self.b_dec, x)

    @torch.no_grad()  # here: it holds for the thread that calls
    def _found(self, x: Tensor, start: int, most: int | None) -> NonZeros:
        """The non-zeros of the block of rows that begins at `start`."""
        row, feature, activation = nonzeros(self._activations(x[start : start + self.block_rows]), most)
        return row + start, feature, activation

    def _activations(self, x: Tensor) -> Tensor:
        """Activations [n, d_sae] of rows; for `topk` before the selection."""
        rows = self._prepare(x.to(self.W_enc.device, torch.float32))
        if self.kind == "gated":
            assert self.b_gate is not None and self.r_mag is not None and self.b_mag is not None
            product = rows @ self.W_enc
            magnitude = (product * self.r_mag.exp()).add_(self.b_mag).relu_()
            return magnitude.mul_(product + self.b_gate > 0)
        assert self.b_enc is not None
        pre = torch.addmm(self.b_enc, rows, self.W_enc)
        if self.kind == "standard":
            return pre.relu_()
        if self.threshold is not None:
            above = pre > self.threshold
            return pre.relu_().mul_(above)
        return pre

    def _prepare(self, x: Tensor) -> Tensor:
        shift, scale = self._place(x)
        rows = x if shift is None else x - shift
        rows = rows if scale is None else rows / scale
        return rows - self.b_dec if self.subtract_b_dec else rows

    def _restore(self, rows: Tensor, x: Tensor | None) -> Tensor:
        if self.normalise == "none":
            return rows
        if x is None:
            raise ValueError(f"decode of an autoencoder with {self.normalise} needs the embeddings")
        x = x.to(rows.device, torch.float32)
        if self.normalise == "layer_norm":
            return rows * x.std(dim=-1, keepdim=True) + x.mean(dim=-1, keepdim=True)
        _, scale = self._place(x)
        assert scale is not None
        return rows * scale

    def _place(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """What is subtracted from each row, and what it is divided by."""
        if self.normalise == "layer_norm":
            return x.mean(dim=-1, keepdim=True), x.std(dim=-1, keepdim=True) + _EPSILON
        if self.normalise == "constant_norm_rescale":
            return None, x.norm(dim=-1, keepdim=True).clamp_min(1e-8) / self.d_in**0.5
        return None, None


def build(kind: str, tensors: Mapping[str, Tensor], *, name: str, source: str, **settings: Any) -> Sae:
    """An autoencoder of a kind from its tensors by name, in any floating type.

    Errors: BadInput for an unknown kind, tensors that are missing, not of this kind, of another shape, no numbers or not
    finite, and for settings that cannot be (k, normalise).
    """
    if kind not in KINDS:
        raise bad(source, f"has the architecture {kind!r}", f"Read are {', '.join(KINDS)}.")
    wanted = KINDS[kind]
    if missing := [each for each in wanted if each not in tensors]:
        raise bad(source, f"({kind}) lacks {_tensors(missing)}", "Get the whole file.")
    if extra := sorted(set(tensors) - set(wanted)):
        raise bad(source, f"({kind}) has {_tensors(extra)} beside its own", "What they would do is not known here.")
    _check_tensors(tensors, wanted, source)
    weights: dict[str, Any] = {each: tensors[each].float().contiguous() for each in wanted}
    sae = Sae(name, kind, source, **weights, **settings)
    if kind == "topk" and (sae.k is None or not 0 < sae.k <= sae.d_sae):
        raise bad(source, f"has k {sae.k} for {sae.d_sae} features", "k is from 1 to the number of features.")
    if sae.normalise not in NORMALISATIONS:
        raise bad(
            source, f"normalises its input by {sae.normalise!r}, which is not honoured", "Fold it into the weights."
        )
    return sae


def bad(source: str, problem: str, remedy: str) -> BadInput:
    """The error for an autoencoder that cannot be used."""
    return BadInput(what=f"The SAE {source} {problem}.", remedy=remedy)


def _check_tensors(tensors: Mapping[str, Tensor], wanted: tuple[str, ...], source: str) -> None:
    if tensors["W_enc"].dim() != 2 or 0 in tensors["W_enc"].shape:
        raise bad(source, f"has W_enc of shape {list(tensors['W_enc'].shape)}", "It is [d_in, d_sae].")
    d_in, d_sae = tensors["W_enc"].shape
    shapes = {"W_enc": [d_in, d_sae], "W_dec": [d_sae, d_in], "b_dec": [d_in]}
    for name in wanted:
        tensor, shape = tensors[name], shapes.get(name, [d_sae])
        if list(tensor.shape) != shape:
            raise bad(source, f"has {name} of shape {list(tensor.shape)}", f"With W_enc {[d_in, d_sae]} it is {shape}.")
        if not tensor.is_floating_point():
            raise bad(source, f"has {name} of type {str(tensor.dtype).removeprefix('torch.')}", "Weights are floats.")
        if not bool(torch.isfinite(tensor.float().sum(dtype=torch.float64))):
            raise bad(source, f"has NaN or infinity in {name}", "Its weights are damaged: get the file again.")


def _tensors(names: list[str]) -> str:
    return f"the tensor{'s' * (len(names) > 1)} {', '.join(names)}"
