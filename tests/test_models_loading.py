"""Loading: names, identity, tokens and their offsets, pixels, and what is said about bad input."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny import IMAGE_CONFIG, TEXT_CONFIG, save_model, save_processor, save_tokenizer

from superact.errors import BadInput, ModelUnavailable
from superact.models import TextModel, VisionModel, load_model
from superact.models.base import slug_of


def text_model(folder: Path, class_name: str = "BertModel", **options: Any) -> TextModel:
    model = load_model(save_model(folder, class_name) if not folder.exists() else folder, device="cpu", **options)
    assert isinstance(model, TextModel)
    return model


def test_encoder_keeps_the_special_tokens_of_its_tokenizer(tmp_path: Path) -> None:
    text = text_model(tmp_path / "tiny").tokenize("the  dog, laughs")
    assert text.pieces == ["<s>", "the", "dog", ",", "laughs", "</s>"]
    assert text.is_content.tolist() == [False, True, True, True, True, False]
    assert text.char_start.tolist() == [0, 0, 5, 8, 10, 0]
    assert text.char_end.tolist() == [0, 3, 8, 9, 16, 0]
    assert (text.ids.dtype, text.char_start.dtype, text.char_end.dtype) == (np.int32, np.int32, np.int32)
    assert text.ids[[0, -1]].tolist() == [1, 2]


def test_decoder_without_special_tokens_gets_one_in_front(tmp_path: Path) -> None:
    model = text_model(tmp_path / "tiny", "LlamaForCausalLM")
    text = model.tokenize("the dog")
    assert text.pieces == ["<s>", "the", "dog"]
    assert text.is_content.tolist() == [False, True, True]
    assert text.char_start.tolist() == [0, 0, 4]
    assert model.identity["special_tokens_added"] == "<s>"
    published = text_model(tmp_path / "tiny", special_tokens="none")
    assert published.tokenize("the dog").pieces == ["the", "dog"]
    assert published.tokenize("the dog").is_content.all()
    assert published.identity["special_tokens_added"] is None
    assert published.identity != model.identity


def test_decoder_without_bos_gets_eos(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny", "Qwen3Model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("bos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert text_model(folder).tokenize("the dog").pieces == ["</s>", "the", "dog"]


def test_encoder_without_special_tokens_is_left_alone(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny", "BertModel")
    save_tokenizer(folder, encoder=False)
    model = text_model(folder)
    assert model.tokenize("the dog").pieces == ["the", "dog"]
    assert model.forward(model.batch([model.tokenize("dog")]), [3])[3].shape == (1, 1, 32)


def test_one_token_and_empty_texts(tmp_path: Path) -> None:
    model = text_model(tmp_path / "tiny", special_tokens="none")
    one, none = model.tokenize("dog"), model.tokenize("")
    assert (len(one), len(none)) == (1, 0)
    assert none.char_start.shape == (0,)
    states = model.forward(model.batch([none, one]), [0, 3])
    assert states[3].shape == (2, 1, 32)
    assert all(bool(torch.isfinite(state).all()) for state in states.values())
    assert model.forward(model.batch([none]), [3])[3].shape == (1, 1, 32)


def test_too_long_a_text_names_the_limit(tmp_path: Path) -> None:
    model = text_model(tmp_path / "tiny")
    assert model.max_tokens == 64
    assert len(model.tokenize("dog " * 62)) == 64
    with pytest.raises(BadInput, match="65 tokens, and tiny takes at most 64"):
        model.tokenize("dog " * 63)


def test_identity_is_flat_and_follows_the_weights(tmp_path: Path) -> None:
    model = text_model(tmp_path / "Some Model_1")
    identity = model.identity
    assert all(value is None or isinstance(value, str | int | float | bool) for value in identity.values())
    weights = (tmp_path / "Some Model_1" / "model.safetensors").read_bytes()
    assert identity["revision"] == hashlib.sha256(weights).hexdigest()
    assert (identity["model"], identity["attention"], identity["special_tokens"]) == ("some-model-1", "sdpa", "auto")
    assert (model.slug, model.name, model.modality) == ("some-model-1", "Some Model_1", "text")
    assert set(model.provenance) == {"device", "torch", "transformers"}
    again = load_model(tmp_path / "Some Model_1", device="cpu", attention="eager").identity
    assert {key for key in identity if identity[key] != again[key]} == {"attention"}
    model.tokenize("the dog")
    assert model.identity == identity


@pytest.mark.parametrize(
    ("ref", "slug"),
    [
        ("openai/clip-vit-large-patch14", "clip-vit-large-patch14"),
        ("google/gemma-2-9b", "gemma-2-9b"),
        ("Qwen/Qwen3-Embedding-4B", "qwen3-embedding-4b"),
        ("42_models/", "m-42-models"),
        ("a/B C..", "b-c"),
    ],
)
def test_slugs(ref: str, slug: str) -> None:
    assert slug_of(ref) == slug


def test_a_name_without_any_letter_has_no_slug() -> None:
    with pytest.raises(BadInput, match="path key"):
        slug_of("__")


def test_pixels_are_those_of_the_processor(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny", "ViTModel")
    model = load_model(folder, device="cpu")
    assert isinstance(model, VisionModel)
    assert (model.geometry, model.input_size, model.patch, model.resample) == ("squash", 56, 14, 3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8))
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    wanted = processor(images=image, return_tensors="np")["pixel_values"][0]
    found = model.pixels(image)
    assert (found.dtype, found.shape) == (np.float32, (3, 56, 56))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    for wrong in (image.convert("L"), image.resize((70, 56))):
        with pytest.raises(BadInput, match="apply its geometry first"):
            model.pixels(wrong)
    with pytest.raises(BadInput, match="pixel batch"):
        model.forward(found, [1])


@pytest.mark.parametrize("class_name", ["Dinov2Model", "ViTModel", "CLIPVisionModel"])
def test_another_input_size_interpolates_positions(tmp_path: Path, class_name: str) -> None:
    folder = save_model(tmp_path / "tiny", class_name)
    model = load_model(folder, device="cpu", input_size=84, geometry="letterbox")
    assert isinstance(model, VisionModel)
    assert (model.grid, model.n_prefix, model.geometry) == ((6, 6), 1, "letterbox")
    assert model.forward(torch.zeros(1, 3, 84, 84), [3])[3].shape == (1, 37, 32)
    assert (model.identity["input_size"], model.identity["geometry"]) == (84, "letterbox")
    with pytest.raises(BadInput, match="patches of 14"):
        load_model(folder, device="cpu", input_size=80)
    with pytest.raises(BadInput, match="not a geometry"):
        load_model(folder, device="cpu", geometry="stretch")


def test_dinov2_takes_the_processor_size_not_the_one_of_its_configuration(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny", "Dinov2Model", image_size=140)
    model = load_model(folder, device="cpu")
    assert isinstance(model, VisionModel)
    assert (model.input_size, model.grid) == (56, (4, 4))


def test_registers_are_prefix_tokens_and_siglip_has_none(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = {**IMAGE_CONFIG, "num_register_tokens": 4}
    registers = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**settings))
    registers.save_pretrained(tmp_path / "registers")
    transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**IMAGE_CONFIG)).save_pretrained(tmp_path / "siglip")
    found = {}
    for name in ("registers", "siglip"):
        save_processor(tmp_path / name)
        model = load_model(tmp_path / name, device="cpu")
        assert isinstance(model, VisionModel)
        found[name] = (model.n_prefix, model.cls_index, model.n_blocks)
    assert found == {"registers": (5, 0, 3), "siglip": (0, None, 3)}


def test_a_whole_clip_checkpoint_gives_its_vision_tower(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = {**TEXT_CONFIG, "num_hidden_layers": 2}
    clip = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=IMAGE_CONFIG)).eval()
    clip.save_pretrained(tmp_path / "clip")
    save_processor(tmp_path / "clip")
    model = load_model(tmp_path / "clip", device="cpu")
    assert isinstance(model, VisionModel)
    batch = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        wanted = clip.vision_model(batch, output_hidden_states=True).hidden_states
    assert all(torch.equal(model.forward(batch, [layer])[layer], state) for layer, state in enumerate(wanted))


def test_llama_with_vision_counts_only_the_blocks_that_run_on_text(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = {**TEXT_CONFIG, "num_hidden_layers": 5, "cross_attention_layers": [1, 3]}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0}
    vision = {**IMAGE_CONFIG, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 4, "max_num_tiles": 1}
    vision |= {"vision_output_dim": 64, "intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1]]}
    config = transformers.MllamaConfig(vision_config=vision, text_config=text)
    transformers.MllamaForConditionalGeneration(config).save_pretrained(tmp_path / "mllama")
    save_tokenizer(tmp_path / "mllama", encoder=False)
    model = text_model(tmp_path / "mllama")
    assert (model.n_blocks, model.width) == (3, 32)
    inputs = model.batch([model.tokenize("the dog laughs")])
    with torch.no_grad():
        wanted = model.network(**inputs, output_hidden_states=True).hidden_states
    assert all(torch.equal(model.forward(inputs, [layer])[layer], state) for layer, state in enumerate(wanted))


def test_images_without_a_fixed_patch_grid_are_refused(tmp_path: Path) -> None:
    swin = transformers.SwinConfig(
        image_size=56, patch_size=14, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=2
    )
    transformers.SwinModel(swin).save_pretrained(tmp_path / "swin")
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    transformers.ResNetModel(resnet).save_pretrained(tmp_path / "resnet")
    for name, said in (("swin", "different numbers of tokens"), ("resnet", "into no patches")):
        save_processor(tmp_path / name)
        with pytest.raises(ModelUnavailable, match=said):
            load_model(tmp_path / name, device="cpu")


def test_missing_folder_and_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="does not exist"):
        load_model(tmp_path / "absent")
    folder = save_model(tmp_path / "tiny", "BertModel")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"no \.safetensors or \.bin weights"):
        load_model(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnavailable, match="'empty' cannot be loaded"):
        load_model(tmp_path / "empty")
    with pytest.raises(ModelUnavailable, match="it is a file"):
        load_model(folder / "config.json")


def test_damaged_and_incomplete_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_model(tmp_path / "tiny", "BertModel")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("encoder.layer.1.output.dense.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"lack 1 tensors, the first is encoder.layer.1.output.dense.weight"):
        load_model(folder, device="cpu")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelUnavailable, match="'tiny' cannot be loaded"):
        load_model(folder, device="cpu")


def test_slow_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "tiny", "BertModel", vocab_size=1200)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink()
    transformers.CanineTokenizer(model_max_length=64).save_pretrained(folder)
    with pytest.raises(ModelUnavailable, match="CanineTokenizer gives no character offsets"):
        load_model(folder, device="cpu")


def test_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = transformers.BartConfig(
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        vocab_size=40,
    )
    transformers.BartModel(config).save_pretrained(tmp_path / "bart")
    with pytest.raises(ModelUnavailable, match="encoder-decoder models are not supported, but for the encoders of T5"):
        load_model(tmp_path / "bart", device="cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "not a dtype"),
        ({"device": "toaster"}, "not a device"),
        ({"device": "xpu"}, "no xpu device"),
        ({"special_tokens": "some"}, "no policy"),
        ({"geometry": "crop"}, "is a text model"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    folder = save_model(tmp_path / "tiny", "BertModel")
    with pytest.raises(BadInput, match=said):
        load_model(folder, **{"device": "cpu", **options})


def test_a_local_folder_is_loaded_without_any_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from huggingface_hub import constants

    folder = save_model(tmp_path / "tiny", "LlamaForCausalLM")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_model(folder, device="cpu").n_blocks == 3
    assert constants.HF_HUB_OFFLINE is False
