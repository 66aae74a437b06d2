"""Hidden states of chosen layers, running only the blocks that are needed.

Layer 0 is the input of the first executed block, layer k the output of the k-th executed block, and the last layer is
whatever Hugging Face reports as `hidden_states[-1]`: for a language model that is after the final norm, for a vision
tower before it. Which of the two holds, and which module list holds the blocks, is found by running the loaded model once
on a tiny input and comparing with `output_hidden_states=True`; a model where nothing fits is refused.

Blocks are watched with forward hooks. The hook of the deepest wanted layer ends the forward pass, so deeper blocks never
run. Hooks are removed however the pass ends. One pass at a time: a model is not to be shared by threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn

from superact.errors import ModelUnavailable


class _DeepestReached(Exception):
    """Raised by the last hook to leave the forward pass; never seen outside this module."""


class HiddenStates:
    """The wanted hidden states of one loaded transformers model.

    Attributes: `n_blocks` (T, blocks executed on the probe), `width` (d), `last_is_normed` (layer T is the model's
    `last_hidden_state`, not the last block's output). Raises ModelUnavailable when the model cannot be watched.
    """

    def __init__(self, model: nn.Module, probe: Mapping[str, Tensor], n_hidden_layers: int, name: str) -> None:
        self._model, self._name = model, name
        self._first_tokens: int | None = None
        reference, last = _reference(model, probe, name)
        for blocks in _candidates(model, n_hidden_layers):
            seen = _watch(model, blocks, probe)
            normed = _compare(seen, reference, last)
            if normed is not None:
                self._blocks, self.last_is_normed = [block for block, _ in seen], normed
                break
        else:
            raise ModelUnavailable(
                model=name, reason=f"no list of {n_hidden_layers} transformer blocks gives the hidden states it reports"
            )
        self.n_blocks = len(self._blocks)
        self.width = int(reference[0].shape[-1])

    @classmethod
    def of_blocks(
        cls, model: nn.Module, blocks: Sequence[nn.Module], probe: Mapping[str, Any], name: str, *, first_tokens: int
    ) -> HiddenStates:
        """The states of a model that reports none itself, its blocks given in the order in which they must run.

        Of every state only the first `first_tokens` tokens are kept, copied so that the others can be freed. Raises
        ModelUnavailable when the blocks do not run once each in that order, or give other shapes than [B, n, d].
        """
        self = cls.__new__(cls)
        self._model, self._name, self._first_tokens = model, name, first_tokens
        seen = _watch(model, blocks, probe)
        shapes = {None if state is None else tuple(state.shape) for _, pair in seen for state in pair}
        shape = shapes.pop() if len(shapes) == 1 else None
        if [block for block, _ in seen] != list(blocks) or shape is None or len(shape) != 3 or shape[1] < first_tokens:
            raise ModelUnavailable(model=name, reason=f"its {len(blocks)} blocks do not run as they are expected to")
        self._blocks, self.last_is_normed = list(blocks), False
        self.n_blocks, self.width = len(blocks), int(shape[2])
        return self

    def __call__(self, inputs: Mapping[str, Any], layers: Sequence[int]) -> dict[int, Tensor]:
        """Run one forward pass without gradients; returns {layer: [B, n, d]}, on the device and in the dtype of the model.

        `layers` holds numbers in 0..T (the caller checks them), in any order. Nothing is copied (but for `of_blocks`):
        the tensors are the ones that the next block would read.
        """
        wanted = sorted(set(layers))
        if not wanted:
            return {}
        taken: dict[int, Tensor] = {}
        last_from_model = self.last_is_normed and wanted[-1] == self.n_blocks
        hooked = wanted[:-1] if last_from_model else wanted
        stop = None if last_from_model else wanted[-1]
        with ExitStack() as hooks, torch.no_grad():
            for layer in hooked:
                hooks.callback(self._hook(layer, taken, stop).remove)
            with suppress(_DeepestReached):
                output = self._model(**inputs)
                if last_from_model:
                    taken[self.n_blocks] = output[0]
        if taken.keys() != set(wanted):
            raise ModelUnavailable(
                model=self._name, reason=f"layers {sorted(set(wanted) - taken.keys())} did not run on this input"
            )
        return taken

    def _hook(self, layer: int, taken: dict[int, Tensor], stop: int | None) -> torch.utils.hooks.RemovableHandle:
        def keep(state: Tensor) -> None:
            taken[layer] = state if self._first_tokens is None else state[:, : self._first_tokens].clone()
            if layer == stop:
                raise _DeepestReached

        if layer == 0:
            return self._blocks[0].register_forward_pre_hook(
                lambda block, args, kwargs: keep(_block_input(args, kwargs)), with_kwargs=True
            )
        return self._blocks[layer - 1].register_forward_hook(lambda block, args, output: keep(_block_output(output)))


def _block_input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    return args[0] if args else kwargs["hidden_states"]


def _block_output(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _reference(model: nn.Module, probe: Mapping[str, Tensor], name: str) -> tuple[Sequence[Tensor], Tensor]:
    with torch.no_grad():
        output = model(**probe, output_hidden_states=True)
    states = getattr(output, "hidden_states", None)
    if not states:
        raise ModelUnavailable(model=name, reason=f"{type(model).__name__} reports no hidden states")
    if len({state.shape for state in states}) != 1:
        raise ModelUnavailable(model=name, reason="its layers have different numbers of tokens or components")
    return states, output[0]


def _candidates(model: nn.Module, n_hidden_layers: int) -> Iterator[nn.ModuleList]:
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_hidden_layers:
            yield module


def _watch(
    model: nn.Module, blocks: Iterable[nn.Module], probe: Mapping[str, Tensor]
) -> list[tuple[nn.Module, tuple[Tensor | None, Tensor | None]]]:
    """Which of the blocks run on the probe, in order, each with its input and output (None where it is no tensor)."""
    seen: list[tuple[nn.Module, tuple[Tensor | None, Tensor | None]]] = []

    def record(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        first = args[0] if args else kwargs.get("hidden_states")
        result = output[0] if isinstance(output, tuple) and output else output
        seen.append((block, (_tensor_or_none(first), _tensor_or_none(result))))

    with ExitStack() as hooks, torch.no_grad():
        for block in blocks:
            hooks.callback(block.register_forward_hook(record, with_kwargs=True).remove)
        model(**probe)
    return seen


def _tensor_or_none(value: Any) -> Tensor | None:
    return value if isinstance(value, Tensor) else None


def _compare(
    seen: Sequence[tuple[nn.Module, tuple[Tensor | None, Tensor | None]]], reference: Sequence[Tensor], last: Tensor
) -> bool | None:
    """None when the blocks do not explain the reported states; else whether the last state is after the final norm."""
    if not seen or len(reference) != len(seen) + 1:
        return None
    states = [seen[0][1][0], *(output for _, (_, output) in seen)]
    if not all(_same(state, wanted) for state, wanted in zip(states[:-1], reference[:-1], strict=True)):
        return None
    if _same(states[-1], reference[-1]):
        return False
    return True if _same(last, reference[-1]) else None


def _tolerance(state: Tensor) -> float:
    """Two passes over one input are bit-equal on CPU; elsewhere some kernels are not, by a few units of the last place."""
    return 0.0 if state.device.type == "cpu" else 64 * torch.finfo(state.dtype).eps


def _same(state: Tensor | None, wanted: Tensor) -> bool:
    if state is None or state.shape != wanted.shape:
        return False
    limit = _tolerance(wanted)
    return torch.allclose(state, wanted, rtol=limit, atol=limit, equal_nan=True)
