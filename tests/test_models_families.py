"""The paper's other families: CLIP ViT-L/14, Gemma 2, Qwen3-Embedding; the options of loading; percents of the real depths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny import image_dataset, save_model, text_dataset
from tiny_families import pictures, save_clip, save_mllama, save_text_family

from superact.datasets import open_dataset
from superact.errors import BadInput, ModelUnavailable, NonFinite
from superact.ingest.job import Job
from superact.ingest.pipeline import ingest
from superact.ingest.recipe import Recipe
from superact.models import TextModel, VisionModel, load_model
from superact.models.describe import describe
from superact.store import Warehouse

LINES = ["the quick brown fox", "a", "a dog laughs at all of it and then some more words", "is it"]
LLMS = [("Gemma2ForCausalLM", "gemma"), ("Qwen3ForCausalLM", "qwen"), ("LlamaForCausalLM", "llama")]


def text_model(folder: Path, **options: Any) -> TextModel:
    model = load_model(folder, modality="text", **{"device": "cpu", **options})
    assert isinstance(model, TextModel)
    return model


@pytest.mark.parametrize(("class_name", "family"), LLMS)
def test_decoder_states_equal_the_whole_causal_model(tmp_path: Path, class_name: str, family: str) -> None:
    network = save_text_family(tmp_path / "llm", class_name, family)
    model = text_model(tmp_path / "llm")
    assert (model.n_blocks, model.width, model.last_is_normed) == (3, 32, True)
    inputs = model.batch([model.tokenize(line) for line in LINES])
    with torch.no_grad():
        wanted = network(**inputs, output_hidden_states=True).hidden_states
    assert len(wanted) == 4
    together = model.forward(inputs, range(4))
    for layer, state in enumerate(wanted):
        assert torch.equal(together[layer], state)
        assert torch.equal(model.forward(inputs, [layer])[layer], state)
    assert not torch.allclose(together[3], network.model.norm(together[3]), atol=1e-3)


@pytest.mark.parametrize(("class_name", "family"), LLMS)
def test_decoder_states_do_not_depend_on_padding_or_batch(tmp_path: Path, class_name: str, family: str) -> None:
    """Against transformers itself with the family's own tokenizer padding, which is on the left for Qwen."""
    network = save_text_family(tmp_path / "llm", class_name, family)
    model = text_model(tmp_path / "llm")
    texts = [model.tokenize(line) for line in LINES]
    together = model.forward(model.batch(texts), range(4))
    longest = max(map(len, texts))
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, longest - len(text) :] = torch.from_numpy(text.ids)
        mask[row, longest - len(text) :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        left = network(
            input_ids=ids, attention_mask=mask, position_ids=positions, output_hidden_states=True
        ).hidden_states
    for row, text in enumerate(texts):
        alone = model.forward(model.batch([text]), range(4))
        for layer in range(4):
            # Tolerance: 1e-5 of the largest value, in float32 on CPU.
            limit = 1e-5 * alone[layer].abs().max()
            mine = together[layer][row, : len(text)]
            assert (mine - alone[layer][0]).abs().max() <= limit
            assert (mine - left[layer][row, longest - len(text) :]).abs().max() <= limit


def test_special_tokens_of_each_family(tmp_path: Path) -> None:
    found = {}
    for class_name, family in LLMS:
        save_text_family(tmp_path / family, class_name, family)
        for policy in ("auto", "none"):
            text = text_model(tmp_path / family, special_tokens=policy).tokenize("the dog")
            found[family, policy] = (text.pieces, text.is_content.tolist())
    bos = (["<bos>", "the", "dog"], [False, True, True])
    # Qwen's tokenizer has no BOS and ends a text in EOS: one EOS more goes in front, where the attention sink is.
    assert found["gemma", "auto"] == found["llama", "auto"] == bos
    assert found["qwen", "auto"] == (["<eos>", "the", "dog", "<eos>"], [False, True, True, False])
    assert {found[family, "none"][0] == ["the", "dog"] for _, family in LLMS} == {True}


def test_gemma_scales_its_embeddings_and_caps_its_attention(tmp_path: Path) -> None:
    network = save_text_family(tmp_path / "gemma", "Gemma2ForCausalLM", "gemma")
    model = text_model(tmp_path / "gemma")
    inputs = model.batch([model.tokenize(LINES[0])])
    state = model.forward(inputs, [0])[0]
    with torch.no_grad():
        rows = torch.nn.functional.embedding(inputs["input_ids"], network.model.embed_tokens.weight)
    torch.testing.assert_close(state, rows * 32**0.5, rtol=1e-6, atol=0)
    # sdpa knows no soft cap: what is asked for nothing must honour it, and the identity says how.
    save_text_family(tmp_path / "capped", "Gemma2ForCausalLM", "gemma", attn_logit_softcapping=0.1)
    capped = text_model(tmp_path / "capped")
    assert model.identity["attention"] == capped.identity["attention"] == "eager"
    assert not torch.allclose(model.forward(inputs, [1])[1], capped.forward(inputs, [1])[1], atol=1e-2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gemma_overflow_in_half_precision_is_named(tmp_path: Path, dtype: str) -> None:
    network = save_text_family(tmp_path / "gemma", "Gemma2ForCausalLM", "gemma")
    with torch.no_grad():
        network.model.layers[1].post_feedforward_layernorm.weight.fill_(60000.0)
    network.save_pretrained(tmp_path / "gemma")
    dataset = open_dataset(str(text_dataset(tmp_path / "data")), tmp_path)
    model = text_model(tmp_path / "gemma", dtype=dtype)
    store = Warehouse(tmp_path / "w")
    if dtype == "float16":
        ingest(store, Job(dataset, model, [1]), Recipe(("avg",)))
        with pytest.raises(NonFinite, match="layer 2"):
            ingest(store, Job(dataset, model, [1, 2]), Recipe(("avg",)))
    else:
        ingest(store, Job(dataset, model, [1, 2]), Recipe(("avg",)))
    layers = [dict(found.partition.keys)["layer"] for found in store.state().select("embeddings")]
    assert sorted(map(int, layers)) == ([1] if dtype == "float16" else [1, 2])


def test_an_overflow_does_not_hide_that_a_decoder_is_one(tmp_path: Path) -> None:
    network = save_text_family(tmp_path / "qwen", "Qwen3ForCausalLM", "qwen")
    with torch.no_grad():
        network.model.layers[1].mlp.down_proj.weight.fill_(60000.0)
    network.save_pretrained(tmp_path / "qwen")
    model = text_model(tmp_path / "qwen", dtype="float16")
    assert not torch.isfinite(model.forward(model.batch([model.tokenize("the dog")]), [3])[3]).all()
    assert model.tokenize("the dog").pieces[0] == "<eos>"
    with torch.no_grad():
        network.model.embed_tokens.weight.fill_(float("inf"))
    network.save_pretrained(tmp_path / "qwen")
    with pytest.raises(ModelUnavailable, match="no finite numbers in float16"):
        text_model(tmp_path / "qwen", dtype="float16")


def test_clip_at_its_real_geometry(tmp_path: Path) -> None:
    """224 pixels in patches of 14, as ViT-L/14: 256 patches behind one CLS token, before post-layernorm at the end."""
    network = save_clip(tmp_path / "clip", image_size=224)
    model = load_model(tmp_path / "clip", modality="image", device="cpu")
    assert isinstance(model, VisionModel)
    assert (model.grid, model.n_prefix, model.cls_index, model.input_size) == ((16, 16), 1, 0, 224)
    assert (model.geometry, model.resample, model.slug) == ("squash", 3, "clip")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "clip", backend="pil")
    images = pictures((224, 224), (224, 224))
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    mine = torch.stack([torch.from_numpy(model.pixels(image)) for image in images])
    torch.testing.assert_close(mine, pixels, rtol=0, atol=1e-6)
    with torch.no_grad():
        output = network.vision_model(mine, output_hidden_states=True)
    together = model.forward(mine, range(4))
    for layer, state in enumerate(output.hidden_states):
        assert together[layer].shape == (2, 257, 32)
        assert torch.equal(together[layer], state)
        assert torch.equal(model.forward(mine, [layer])[layer], state)
        alone = model.forward(mine[:1], [layer])[layer][0]
        assert (together[layer][0] - alone).abs().max() <= 1e-5 * alone.abs().max()
    assert not model.last_is_normed
    assert torch.equal(network.vision_model.post_layernorm(together[3][:, 0]), output.pooler_output)


def test_clip_text_tower(tmp_path: Path) -> None:
    network = save_clip(tmp_path / "clip")
    model = text_model(tmp_path / "clip")
    assert (model.n_blocks, model.slug, model.name) == (2, "clip-text", "clip (text tower)")
    inputs = model.batch([model.tokenize(line) for line in LINES])
    with torch.no_grad():
        wanted = network.text_model(**inputs, output_hidden_states=True).hidden_states
    assert all(torch.equal(model.forward(inputs, [layer])[layer], state) for layer, state in enumerate(wanted))


def test_siglip_towers(tmp_path: Path) -> None:
    from tiny import IMAGE_CONFIG, TEXT_CONFIG, save_processor, save_tokenizer

    torch.manual_seed(0)
    text = {**TEXT_CONFIG, "num_hidden_layers": 2}
    network = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=IMAGE_CONFIG)).eval()
    network.save_pretrained(tmp_path / "siglip")
    save_processor(tmp_path / "siglip")
    save_tokenizer(tmp_path / "siglip", encoder=True)
    vision = load_model(tmp_path / "siglip", modality="image", device="cpu")
    assert isinstance(vision, VisionModel)
    batch = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network.vision_model(batch, output_hidden_states=True).hidden_states
    assert all(torch.equal(vision.forward(batch, [layer])[layer], state) for layer, state in enumerate(wanted))
    model = text_model(tmp_path / "siglip")
    assert (vision.slug, model.slug, vision.n_blocks, model.n_blocks) == ("siglip", "siglip-text", 3, 2)
    inputs = model.batch([model.tokenize(line) for line in LINES])
    with torch.no_grad():
        wanted = network.text_model(**inputs, output_hidden_states=True).hidden_states
    assert all(torch.equal(model.forward(inputs, [layer])[layer], state) for layer, state in enumerate(wanted))


@pytest.mark.parametrize(
    ("blocks", "percents", "published"),
    [
        # (model, T, p, 0-based blocks) of the published table; Qwen and Llama text by the formula on the blocks that run.
        (24, (4, 25, 46, 67, 88, 100), (0, 5, 10, 15, 20, 23)),
        (40, (2, 15, 28, 40, 52, 65, 78, 90, 100), (0, 5, 10, 15, 19, 25, 30, 35, 39)),
        (32, (3, 19, 34, 50, 66, 81, 97, 100), (0, 5, 9, 15, 20, 24, 30, 31)),
        (42, (4, 21, 39, 57, 75, 93, 100), (0, 7, 15, 22, 30, 38, 41)),
        (36, (3, 19, 34, 50, 66, 81, 97, 100), (0, 5, 11, 17, 22, 28, 33, 35)),
    ],
)
def test_percents_of_the_real_depths(
    tmp_path: Path, blocks: int, percents: tuple[int, ...], published: tuple[int, ...]
) -> None:
    """Each family at its real number of blocks, counted by running them."""
    model: TextModel | VisionModel
    if blocks == 24:
        save_clip(tmp_path / "m", num_hidden_layers=24)
        model = load_model(tmp_path / "m", modality="image", device="cpu")
    elif blocks in (32, 40):
        cross = [3, 8, 13, 18, 23, 28, 33, 38]
        save_mllama(
            tmp_path / "m",
            vision={"num_hidden_layers": 32, "num_global_layers": 8},
            text={"num_hidden_layers": 40, "cross_attention_layers": cross},
        )
        model = load_model(tmp_path / "m", modality="text" if blocks == 32 else "image", device="cpu")
    else:
        class_name, family = LLMS[0] if blocks == 42 else LLMS[1]
        save_text_family(tmp_path / "m", class_name, family, num_hidden_layers=blocks)
        model = text_model(tmp_path / "m")
    assert model.n_blocks == blocks
    assert tuple(model.layer_of_percent(percent) - 1 for percent in percents) == published
    assert [model.layer_of_percent(p) for p in range(101)] == [
        min(max(p * blocks // 100 - 1, 0), blocks - 1) + 1 for p in range(101)
    ]


def test_the_real_configurations_have_these_depths_and_widths() -> None:
    """transformers' own defaults, which are those of the checkpoints, on the meta device."""
    vision = transformers.MllamaVisionConfig(image_size=560)
    with torch.device("meta"):
        tower = transformers.MllamaVisionModel(vision)
    assert (len(tower.transformer.layers), len(tower.global_transformer.layers), vision.hidden_size) == (32, 8, 1280)
    assert tower.num_patches == 1601
    assert vision.supported_aspect_ratios[0] == [1, 1]
    text = transformers.MllamaTextConfig()
    assert (text.num_hidden_layers - len(text.cross_attention_layers), text.hidden_size) == (32, 4096)


def test_wrong_pairings_are_refused_before_weights_are_read(tmp_path: Path) -> None:
    save_model(tmp_path / "bert", "BertModel")
    save_model(tmp_path / "dino", "Dinov2Model")
    for name, reads, wanted in (("bert", "text", "image"), ("dino", "image", "text")):
        (tmp_path / name / "model.safetensors").write_bytes(b"not weights")
        with pytest.raises(BadInput, match=f"{name} reads {reads}s, and a model that reads {wanted}s is wanted"):
            load_model(tmp_path / name, modality=wanted, device="cpu")
    with pytest.raises(BadInput, match="'sound' is not a modality"):
        load_model(tmp_path / "bert", modality="sound", device="cpu")
    save_clip(tmp_path / "clip")
    dataset = open_dataset(str(image_dataset(tmp_path / "shapes", n=3)), tmp_path)
    with pytest.raises(BadInput, match="dataset of images"):
        Job(dataset, text_model(tmp_path / "clip"), [1])


def test_a_device_map_is_provenance_and_changes_no_number(tmp_path: Path) -> None:
    save_text_family(tmp_path / "llm", "LlamaForCausalLM", "llama")
    plain = text_model(tmp_path / "llm")
    parts = {"embed_tokens": "cpu", "layers": "cpu", "norm": "cpu", "rotary_emb": "cpu"}
    inputs = plain.batch([plain.tokenize(line) for line in LINES])
    for device_map in ("auto", parts):
        spread = load_model(tmp_path / "llm", device_map=device_map)
        assert isinstance(spread, TextModel)
        assert spread.identity == plain.identity
        assert "cpu" in spread.provenance["device_map"]
        assert spread.provenance["device"] == plain.provenance["device"]
        for layer, state in spread.forward(inputs, range(4)).items():
            assert torch.equal(state, plain.forward(inputs, [layer])[layer])
    with pytest.raises(BadInput, match="both given"):
        load_model(tmp_path / "llm", device="cpu", device_map="auto")


def test_a_device_map_without_accelerate_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_text_family(tmp_path / "llm", "LlamaForCausalLM", "llama")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"extra local-models brings: pip install 'superact\[local-models\]'"):
        load_model(tmp_path / "llm", device_map="auto")


def test_options_that_determine_numbers_are_in_the_identity(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip")

    def identity(**options: Any) -> dict[str, Any]:
        return load_model(tmp_path / "clip", **{"device": "cpu", "modality": "image", **options}).identity

    plain = identity()
    for option, changed in (
        ({"dtype": "bfloat16"}, {"dtype"}),
        ({"attention": "eager"}, {"attention"}),
        ({"geometry": "letterbox"}, {"geometry"}),
        ({"input_size": 84}, {"input_size"}),
        (
            {"modality": "text"},
            {"model", "processor", "special_tokens", "special_tokens_added", "geometry", "input_size"},
        ),
    ):
        other = identity(**option)
        assert {key for key in plain.keys() | other.keys() if plain.get(key) != other.get(key)} == changed
    with pytest.raises(ModelUnavailable, match="no_such_attention"):
        identity(attention="no_such_attention")


_OWN_CODE = """
from transformers import BertConfig, BertModel

open({mark!r}, "w").close()


class OwnConfig(BertConfig):
    model_type = "own"


class OwnModel(BertModel):
    config_class = OwnConfig
"""
_WITH_OWN_CODE = """
import sys
from superact.errors import BadInput
from superact.models import load_model
model = load_model(sys.argv[1], device="cpu", trust_remote_code=True)
print(type(model.network).__name__, model.n_blocks)
try:
    load_model(sys.argv[1], device="cpu", trust_remote_code=True, modality="image")
except BadInput as error:
    print(error.what)
"""


def test_code_that_a_checkpoint_brings_is_not_run_unasked(tmp_path: Path) -> None:
    import json
    import os
    import subprocess
    import sys

    folder = save_model(tmp_path / "m", "BertModel")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(_OWN_CODE.format(mark=str(tmp_path / "ran")))
    with pytest.raises(ModelUnavailable):
        load_model(folder, device="cpu")
    assert not (tmp_path / "ran").exists()
    # Asked for, it runs; what it reads is only known once it is loaded.
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
    command = [sys.executable, "-c", _WITH_OWN_CODE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["OwnModel 3", "m reads texts, and a model that reads images is wanted."]
    assert (tmp_path / "ran").exists()


def test_describe(tmp_path: Path) -> None:
    save_mllama(tmp_path / "Tiny")
    vision = describe(load_model(tmp_path / "Tiny", modality="image", device="cpu"))
    assert vision["family"] == "mllama_vision_model (MllamaVisionModel)"
    assert vision["tokens"] == "16 patches (4 x 4 of 14 pixels), 1 before them"
    assert (vision["input"], vision["unit cls"]) == ("56 x 56 pixels, letterbox", "token 0")
    assert (vision["blocks"], vision["layer 1"], vision["layer 5"]) == ("5", "0 to 39 %", "100 %")
    text = describe(text_model(tmp_path / "Tiny"))
    assert (text["special tokens"], text["unit cls"]) == ("<bos> (--special-tokens auto)", "mean of the content tokens")
    assert (text["blocks"], text["tokens"]) == ("3", "at most 64 a text")
    assert text["layers"].endswith("the last one after the final norm")


def test_models_describe_command(tmp_path: Path) -> None:
    import json

    from typer.testing import CliRunner

    from superact.cli.main import app

    save_mllama(tmp_path / "Tiny")
    command = ["models", "describe", str(tmp_path / "Tiny"), "--format", "json"]
    for modality, blocks in (("image", "5"), ("text", "3")):
        done = CliRunner().invoke(app, [*command, "--modality", modality])
        assert done.exit_code == 0, done.output
        facts = {row["field"]: row["value"] for row in json.loads(done.stdout)}
        assert (facts["modality"], facts["blocks"]) == (modality, blocks)
