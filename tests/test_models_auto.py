"""Any Hugging Face text or vision transformer: many architectures at tiny size against transformers, the others refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny import IMAGE_CONFIG, TEXT_CONFIG, save_model, save_processor, save_tokenizer
from tiny_families import save_vision

from superact.errors import ModelUnavailable
from superact.models import TextModel, VisionModel, load_model

LINES = ["the quick brown fox", "a", "a dog laughs at all of it and then some more words", "is it"]
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 3,
    "num_heads": 4,
    "vocab_size": 40,
    "initializer_factor": 3.0,
}
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
TEXT: dict[str, tuple[dict[str, Any], bool, bool]] = {
    # class: (settings beside the usual ones, whether it is a decoder, whether layer T is after a final norm)
    "BertForMaskedLM": ({}, False, False),
    "RobertaModel": ({"max_position_embeddings": 67}, False, False),
    "XLMRobertaModel": ({"max_position_embeddings": 67}, False, False),
    "ElectraModel": ({"embedding_size": 32}, False, False),
    "MPNetModel": ({"max_position_embeddings": 67, "pad_token_id": 1}, False, False),
    "DistilBertModel": ({"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48}, False, False),
    "DebertaV2Model": ({}, False, False),
    "ModernBertModel": ({"local_attention": 8, "sep_token_id": 2, "cls_token_id": 1}, False, True),
    "GPT2LMHeadModel": (GPT2, True, True),
    "OPTForCausalLM": ({"ffn_dim": 48, "word_embed_proj_dim": 32}, True, True),
    "GPTNeoXForCausalLM": ({}, True, True),
    "LlamaForCausalLM": ({}, True, True),
    "MistralForCausalLM": ({"sliding_window": 8}, True, True),
    "Gemma3ForCausalLM": ({"sliding_window": 8}, True, True),
    "Qwen2ForCausalLM": ({}, True, True),
    "Phi3ForCausalLM": ({}, True, True),
    "T5ForConditionalGeneration": (T5, False, True),
    "MT5EncoderModel": (T5, False, True),
}
IMAGE: dict[str, tuple[dict[str, Any], int]] = {
    # class: (settings, tokens before the patches)
    "ViTForImageClassification": ({}, 1),
    "Dinov2Model": ({}, 1),
    "Dinov2WithRegistersModel": ({"num_register_tokens": 4}, 5),
    "DINOv3ViTModel": ({"num_register_tokens": 4}, 5),
    "SiglipVisionModel": ({}, 0),
    "BeitModel": ({"use_absolute_position_embeddings": True}, 1),
    "DeiTModel": ({}, 2),
    "CLIPVisionModelWithProjection": ({}, 1),
}


def save_qwen2_tokenizer(folder: Path) -> None:
    """transformers reads whatever tokenizer stands beside a Qwen 2 as its own kind: bytes, here without any merge."""
    letters = ["<pad>", "<s>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyzTĠ."]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[], **special).save_pretrained(folder)


@pytest.mark.parametrize("class_name", TEXT)
def test_text_architectures(tmp_path: Path, class_name: str) -> None:
    settings, is_decoder, is_normed = TEXT[class_name]
    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    network = model_class(model_class.config_class(**{**TEXT_CONFIG, **settings})).eval()
    network.save_pretrained(tmp_path / "m")
    if class_name == "Qwen2ForCausalLM":
        save_qwen2_tokenizer(tmp_path / "m")
    else:
        save_tokenizer(tmp_path / "m", encoder=not is_decoder)
    model = load_model(tmp_path / "m", modality="text", device="cpu")
    assert isinstance(model, TextModel)
    assert (model.n_blocks, model.width, model.last_is_normed) == (3, 32, is_normed)
    texts = [model.tokenize(line) for line in LINES]
    assert texts[0].pieces[0] == "<s>"  # by the tokenizer, or because it is a decoder
    inputs = model.batch(texts)
    base = network.get_encoder() if class_name.startswith(("T5", "MT5")) else network.base_model
    with torch.no_grad():
        wanted = base(**inputs, output_hidden_states=True).hidden_states
    assert len(wanted) == 4
    together = model.forward(inputs, range(4))
    for layer, state in enumerate(wanted):
        assert torch.equal(together[layer], state)
        assert torch.equal(model.forward(inputs, [layer])[layer], state)
    for row, text in enumerate(texts):
        alone = model.forward(model.batch([text]), range(4))
        for layer, state in alone.items():
            padded = together[layer][row, : len(text)]
            # Tolerance: 1e-5 of the largest value, in float32 on CPU.
            assert (padded - state[0]).abs().max() <= 1e-5 * state.abs().max()


@pytest.mark.parametrize("class_name", IMAGE)
def test_vision_architectures(tmp_path: Path, class_name: str) -> None:
    settings, n_prefix = IMAGE[class_name]
    network = save_vision(tmp_path / "m", class_name, **settings)
    model = load_model(tmp_path / "m", modality="image", device="cpu")
    assert isinstance(model, VisionModel)
    assert (model.n_blocks, model.width, model.grid, model.n_prefix) == (3, 32, (4, 4), n_prefix)
    assert model.cls_index == (0 if n_prefix else None)
    batch = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    base = next((getattr(network, part) for part in ("vision_model", "vit") if hasattr(network, part)), network)
    with torch.no_grad():
        wanted = base(batch, output_hidden_states=True).hidden_states
    together = model.forward(batch, range(4))
    for layer, state in enumerate(wanted):
        assert together[layer].shape == (3, n_prefix + 16, 32)
        assert torch.equal(together[layer], state)
        assert torch.equal(model.forward(batch, [layer])[layer], state)
        alone = model.forward(batch[1:2], [layer])[layer][0]
        assert (together[layer][1] - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_text_part_of_a_vision_language_model(tmp_path: Path) -> None:
    """Gemma 3 with its vision tower: texts run through its language model; images are refused, for want of a tower."""
    torch.manual_seed(0)
    text = {**TEXT_CONFIG, "sliding_window": 8}
    vision = {**IMAGE_CONFIG, "num_hidden_layers": 2}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_id=39)
    network = transformers.Gemma3ForConditionalGeneration(config).eval()
    network.save_pretrained(tmp_path / "m")
    save_tokenizer(tmp_path / "m", encoder=False)
    model = load_model(tmp_path / "m", modality="text", device="cpu")
    assert isinstance(model, TextModel)
    inputs = model.batch([model.tokenize(line) for line in LINES])
    with torch.no_grad():
        wanted = network(**inputs, output_hidden_states=True).hidden_states
    assert len(wanted) == 4
    assert all(torch.equal(model.forward(inputs, [layer])[layer], state) for layer, state in enumerate(wanted))


REFUSED_TEXT = {
    "AlbertModel": ({"embedding_size": 32, "num_hidden_layers": 3}, "no list of 3 transformer blocks"),
    "BartModel": ({}, "encoder-decoder models are not supported"),
}
REFUSED_IMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "ViTMAEModel": ({}, "fewer tokens than its 4 x 4 grid"),
    "ConvNextV2Model": ({"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}, "'m' cannot be loaded"),
    "Siglip2VisionModel": ({"num_patches": 16}, "'m' cannot be loaded"),
}


@pytest.mark.parametrize("class_name", REFUSED_TEXT)
def test_text_architectures_that_are_refused(tmp_path: Path, class_name: str) -> None:
    settings, said = REFUSED_TEXT[class_name]
    model_class = getattr(transformers, class_name)
    model_class(model_class.config_class(**{**TEXT_CONFIG, **settings})).save_pretrained(tmp_path / "m")
    save_tokenizer(tmp_path / "m", encoder=True)
    with pytest.raises(ModelUnavailable, match=said):
        load_model(tmp_path / "m", modality="text", device="cpu")


@pytest.mark.parametrize("class_name", REFUSED_IMAGE)
def test_vision_architectures_that_are_refused(tmp_path: Path, class_name: str) -> None:
    settings, said = REFUSED_IMAGE[class_name]
    save_vision(tmp_path / "m", class_name, **settings)
    with pytest.raises(ModelUnavailable, match=said):
        load_model(tmp_path / "m", modality="image", device="cpu")


def test_a_tokenizer_that_drops_the_text_is_refused(tmp_path: Path) -> None:
    """A word-level tokenizer beside a Qwen 2 is read as one of bytes, and knows none of them."""
    config = transformers.Qwen2Config(**TEXT_CONFIG)
    transformers.Qwen2ForCausalLM(config).save_pretrained(tmp_path / "m")
    save_tokenizer(tmp_path / "m", encoder=False)
    with pytest.raises(ModelUnavailable, match="its tokenizer Qwen2Tokenizer drops most of 'The quick brown fox"):
        load_model(tmp_path / "m", device="cpu")


def test_a_vision_model_without_a_processor_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m", "ViTModel")
    (tmp_path / "m" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelUnavailable, match="'m' cannot be loaded"):
        load_model(tmp_path / "m", device="cpu")
    save_processor(tmp_path / "m")
    assert load_model(tmp_path / "m", device="cpu").n_blocks == 3
