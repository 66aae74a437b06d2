"""Captured hidden states equal `output_hidden_states=True`, layer by layer, for every model family we promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny import DECODERS, IMAGE_CLASSES, TEXT_CLASSES, reference, save_model
from torch import nn

from superact.errors import BadInput, LayerOutOfRange, ModelUnavailable
from superact.models import TextModel, VisionModel, load_model
from superact.models.hidden_states import HiddenStates


@pytest.mark.parametrize("class_name", TEXT_CLASSES)
def test_text_layers_equal_transformers(tmp_path: Path, class_name: str) -> None:
    folder = save_model(tmp_path / "tiny", class_name)
    model = load_model(folder, device="cpu")
    assert isinstance(model, TextModel)
    assert (model.n_blocks, model.width, list(model.layers)) == (3, 32, [0, 1, 2, 3])
    inputs = model.batch([model.tokenize("the quick brown fox"), model.tokenize("a dog laughs at all of it")])
    wanted = reference(folder, class_name, inputs)
    assert len(wanted) == 4
    together = model.forward(inputs, [3, 0, 2, 1])
    assert sorted(together) == [0, 1, 2, 3]
    for layer, state in enumerate(wanted):
        assert torch.equal(together[layer], state)
        alone = model.forward(inputs, [layer])
        assert list(alone) == [layer]
        assert torch.equal(alone[layer], state)
        assert not alone[layer].requires_grad


@pytest.mark.parametrize("class_name", IMAGE_CLASSES)
def test_image_layers_equal_transformers(tmp_path: Path, class_name: str) -> None:
    folder = save_model(tmp_path / "tiny", class_name)
    model = load_model(folder, device="cpu")
    assert isinstance(model, VisionModel)
    assert (model.n_blocks, model.width, model.grid, model.n_prefix, model.cls_index) == (3, 32, (4, 4), 1, 0)
    batch = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    wanted = reference(folder, class_name, {"pixel_values": batch})
    together = model.forward(batch, [0, 1, 2, 3])
    for layer, state in enumerate(wanted):
        assert together[layer].shape == (2, 17, 32)
        assert torch.equal(together[layer], state)
        assert torch.equal(model.forward(batch, [layer])[layer], state)


@pytest.mark.parametrize("class_name", DECODERS)
def test_last_layer_of_a_decoder_is_after_the_final_norm(tmp_path: Path, class_name: str) -> None:
    model = load_model(save_model(tmp_path / "tiny", class_name), device="cpu")
    assert isinstance(model, TextModel)
    inputs = model.batch([model.tokenize("the quick brown fox")])
    with torch.no_grad():
        assert torch.equal(model.forward(inputs, [3])[3], model.network(**inputs).last_hidden_state)


def test_only_the_blocks_up_to_the_deepest_wanted_layer_run(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "tiny", "LlamaForCausalLM"), device="cpu")
    assert isinstance(model, TextModel)
    ran: list[int] = []
    for number, block in enumerate(model.network.layers, start=1):
        block.register_forward_hook(lambda module, args, output, number=number: ran.append(number))
    inputs = model.batch([model.tokenize("the quick brown fox")])
    for layers, expected in (([0], []), ([1], [1]), ([0, 2], [1, 2]), ([3], [1, 2, 3]), ([], [])):
        ran.clear()
        model.forward(inputs, layers)
        assert ran == expected  # the hook of this test is older, so it runs before the one that leaves the pass


def test_hooks_are_gone_after_a_pass_and_after_a_failure(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "tiny", "BertModel"), device="cpu")
    assert isinstance(model, TextModel)
    inputs = model.batch([model.tokenize("the quick brown fox")])
    blocks = list(model.network.encoder.layer)

    def hooks() -> int:
        return sum(len(block._forward_hooks) + len(block._forward_pre_hooks) for block in blocks)

    before = hooks()
    model.forward(inputs, [0, 2])
    with pytest.raises(IndexError):
        model.forward({"input_ids": torch.full((1, 3), 4000), "attention_mask": torch.ones(1, 3)}, [0, 1, 2])
    assert hooks() == before
    assert model.forward(inputs, [3])[3].shape == (1, 6, 32)


def test_a_model_whose_blocks_do_not_explain_its_states_is_refused() -> None:
    class Deceiver(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, x: torch.Tensor, output_hidden_states: bool = False) -> Any:
            first = self.blocks[0](x)
            last = self.blocks[1](first)
            return transformers.modeling_outputs.BaseModelOutput(
                last_hidden_state=last, hidden_states=(x, first + 1, last) if output_hidden_states else None
            )

    with pytest.raises(ModelUnavailable, match="no list of 2 transformer blocks"):
        HiddenStates(Deceiver(), {"x": torch.ones(1, 2, 4)}, 2, "deceiver")


def test_blocks_that_do_not_run_do_not_count() -> None:
    class Skipper(nn.Module):
        """Like Llama 3.2 Vision without an image: its cross-attention blocks are skipped."""

        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])

        def forward(self, x: torch.Tensor, output_hidden_states: bool = False) -> Any:
            states = [x]
            for number in (0, 2, 3):
                states.append(self.blocks[number](states[-1]))
            return transformers.modeling_outputs.BaseModelOutput(
                last_hidden_state=states[-1], hidden_states=tuple(states)
            )

    states = HiddenStates(Skipper(), {"x": torch.ones(1, 2, 4)}, 4, "skipper")
    assert (states.n_blocks, states.last_is_normed) == (3, False)
    x = torch.randn(1, 2, 4)
    assert torch.equal(states({"x": x}, [2])[2], states({"x": x}, [0, 1, 2, 3])[2])


@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("class_name", TEXT_CLASSES)
def test_padding_and_batch_size_do_not_change_content_tokens(
    tmp_path: Path, class_name: str, padding_side: str
) -> None:
    model = load_model(save_model(tmp_path / "tiny", class_name, padding_side=padding_side), device="cpu")
    assert isinstance(model, TextModel)
    lines = ["the quick brown fox", "a", "a dog laughs at all of it and then some more words", "is it"]
    texts = [model.tokenize(line) for line in lines]
    together = model.forward(model.batch(texts), [0, 1, 2, 3])
    for row, text in enumerate(texts):
        alone = model.forward(model.batch([text]), [0, 1, 2, 3])
        for layer, state in alone.items():
            padded = together[layer][row, : len(text)][text.is_content]
            # Tolerance: 1e-5 of the largest value, in float32 on CPU.
            assert (padded - state[0][text.is_content]).abs().max() <= 1e-5 * state.abs().max()


def test_image_batch_size_does_not_change_states(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "tiny", "Dinov2Model"), device="cpu")
    assert isinstance(model, VisionModel)
    batch = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    together = model.forward(batch, [3])[3]
    for row in range(3):
        alone = model.forward(batch[row : row + 1], [3])[3][0]
        assert (together[row] - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_layers_by_percent_and_number(tmp_path: Path) -> None:
    model = load_model(save_model(tmp_path / "tiny", "BertModel", num_hidden_layers=24, hidden_size=8), device="cpu")
    # Blocks 0 5 10 15 20 23 of 24 in the published table; layer = block + 1.
    assert [model.layer_of_percent(p) for p in (4, 25, 46, 67, 88, 100)] == [1, 6, 11, 16, 21, 24]
    assert model.layer_of_percent(0) == 1
    assert model.resolve_layers() == model.resolve_layers("all") == list(range(25))
    assert model.resolve_layers([5, 0, 5], [100, 25]) == [0, 5, 6, 24]
    assert model.resolve_layers(percents=[50]) == [12]
    for wrong in (-1, 25):
        with pytest.raises(LayerOutOfRange, match=rf"layers 0 to 24 \(24 blocks\); layer {wrong} "):
            model.resolve_layers([wrong])
    with pytest.raises(LayerOutOfRange):
        model.forward({}, [25])  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="percentage"):
        model.resolve_layers(percents=[101])
    with pytest.raises(BadInput, match="does not name layers"):
        model.resolve_layers("most")  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "expected"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_states_come_in_the_dtype_of_the_model(tmp_path: Path, dtype: str, expected: torch.dtype) -> None:
    model = load_model(save_model(tmp_path / "tiny", "Dinov2Model"), device="cpu", dtype=dtype)
    assert isinstance(model, VisionModel)
    state = model.forward(np.zeros((1, 3, 56, 56), np.float32), [2])[2]
    assert state.dtype == model.dtype == expected
    assert model.identity["dtype"] == dtype
