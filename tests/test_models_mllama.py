"""Llama 3.2 Vision, both networks: one tile of the tower against hooks of our own, the text stack against transformers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import image_dataset, matrix, table, text_dataset
from tiny_families import (
    CROSS_ATTENTION,
    hooked_states,
    mllama_inputs,
    pictures,
    save_mllama,
)

from superact.datasets import open_dataset
from superact.datasets.geometry import Geometry
from superact.errors import BadInput, ModelUnavailable
from superact.ingest.job import Job
from superact.models import TextModel, VisionModel, load_model, towers


def tower_of(folder: Path, **options: Any) -> VisionModel:
    model = load_model(folder, modality="image", **{"device": "cpu", **options})
    assert isinstance(model, VisionModel)
    return model


def seen_by(model: VisionModel, *images: Any) -> torch.Tensor:
    """The images as an ingest hands them to the model: its default geometry, then `pixels`."""
    geometry = Geometry(model.geometry, model.input_size, model.patch)  # type: ignore[arg-type]
    return torch.stack([torch.from_numpy(model.pixels(geometry.image(image, model.resample))) for image in images])


def test_the_tower_reads_what_its_own_processor_makes_of_an_image(tmp_path: Path) -> None:
    save_mllama(tmp_path / "m")
    model = tower_of(tmp_path / "m")
    images = pictures((56, 40), (28, 56), (56, 56))
    wanted = mllama_inputs(tmp_path / "m", images)
    found = model._inputs(seen_by(model, *images))
    assert found.keys() == wanted.keys() - {"num_tiles"}
    assert torch.equal(found["aspect_ratio_ids"], wanted["aspect_ratio_ids"])
    assert torch.equal(found["aspect_ratio_mask"], wanted["aspect_ratio_mask"])
    assert wanted["aspect_ratio_mask"].tolist() == [[[1, 0, 0, 0]]] * 3
    assert found["pixel_values"].shape == wanted["pixel_values"].shape == (3, 1, 4, 3, 56, 56)
    torch.testing.assert_close(found["pixel_values"], wanted["pixel_values"], rtol=0, atol=1e-6)
    assert not found["pixel_values"][:, :, 1:].any()


def test_tower_layers_equal_the_hooked_blocks_of_the_whole_model(tmp_path: Path) -> None:
    network = save_mllama(tmp_path / "m")
    model = tower_of(tmp_path / "m")
    assert (model.n_blocks, model.width, model.grid, model.n_prefix, model.cls_index) == (5, 32, (4, 4), 1, 0)
    assert (model.geometry, model.input_size, model.patch, model.resample) == ("letterbox", 56, 14, 2)
    batch = seen_by(model, *pictures((56, 40), (28, 56)))
    wanted = hooked_states(network.model.vision_model, model._inputs(batch))
    assert [tuple(state.shape) for state in wanted] == [(2, 4 * 24, 32)] * 6
    together = model.forward(batch, range(6))
    for layer, state in enumerate(wanted):
        assert together[layer].shape == (2, 17, 32)
        assert torch.equal(together[layer], state[:, :17])
        assert torch.equal(model.forward(batch, [layer])[layer], state[:, :17])


def test_layer_of_the_last_local_block_is_before_the_norm_between_the_encoders(tmp_path: Path) -> None:
    network = save_mllama(tmp_path / "m")
    model = tower_of(tmp_path / "m")
    batch = seen_by(model, *pictures((56, 40)))
    tower = network.model.vision_model
    between: list[torch.Tensor] = []
    hook = tower.layernorm_post.register_forward_hook(lambda norm, args, output: between.extend((args[0], output)))
    globals_in: list[torch.Tensor] = []
    first = tower.global_transformer.layers[0].register_forward_pre_hook(
        lambda block, args, kwargs: globals_in.append(kwargs["hidden_states"] if kwargs else args[0]), with_kwargs=True
    )
    with torch.no_grad():
        tower(**model._inputs(batch))
    hook.remove()
    first.remove()
    state = model.forward(batch, [3])[3]
    assert torch.equal(state, between[0][:, :17])
    assert not torch.allclose(state, between[1][:, :17], atol=0.1)
    assert not torch.allclose(between[1][:, :17], globals_in[0][:, :17], atol=0.1)  # the post-tile embedding is at work


def test_masked_tiles_matter_so_that_they_are_run(tmp_path: Path) -> None:
    """Why the tower computes four tiles for one: its mask lets tile 1 attend to the masked ones."""
    save_mllama(tmp_path / "m")
    model = tower_of(tmp_path / "m")
    inputs = model._inputs(seen_by(model, *pictures((56, 40))))
    changed = {**inputs, "pixel_values": inputs["pixel_values"].clone()}
    changed["pixel_values"][:, :, 1:] = 1.0
    one, other = (model._states(given, [5])[5] for given in (inputs, changed))
    assert (one - other).abs().max() > 1e-3


def test_tower_runs_only_the_blocks_it_needs(tmp_path: Path) -> None:
    save_mllama(tmp_path / "m")
    model = tower_of(tmp_path / "m")
    blocks = [*model.network.transformer.layers, *model.network.global_transformer.layers]
    ran: list[int] = []
    for number, block in enumerate(blocks, start=1):
        block.register_forward_hook(lambda module, args, output, number=number: ran.append(number))
    batch = seen_by(model, *pictures((56, 40)))
    for layers, expected in (([0], []), ([3], [1, 2, 3]), ([1, 4], [1, 2, 3, 4]), ([5], [1, 2, 3, 4, 5])):
        ran.clear()
        model.forward(batch, layers)
        assert ran == expected
    assert model.forward(batch, [2])[2].untyped_storage().nbytes() == 17 * 32 * 4  # the other tiles are let go


def test_tower_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    save_mllama(tmp_path / "m")
    model = tower_of(tmp_path / "m")
    batch = seen_by(model, *pictures((56, 40), (28, 56), (90, 30)))
    together = model.forward(batch, range(6))
    for row in range(3):
        for layer, state in model.forward(batch[row : row + 1], range(6)).items():
            # Tolerance: 1e-5 of the largest value, in float32 on CPU.
            assert (together[layer][row] - state[0]).abs().max() <= 1e-5 * state.abs().max()


def test_padding_patches_are_no_content(tmp_path: Path) -> None:
    save_mllama(tmp_path / "m")
    dataset = open_dataset(str(image_dataset(tmp_path / "shapes", n=3)), tmp_path)
    job = Job(dataset, tower_of(tmp_path / "m"), [1], ("token", "cls"))
    content = next(iter(job.shards())).content
    # Images of 60 x 40, 40 x 60 and 50 x 50 in 56 pixels: 37 rows fill 3 rows of patches, 37 columns 3 columns.
    assert [mask.reshape(4, 4).all(axis=1).tolist() for mask in content] == [
        [True] * 3 + [False],
        [False] * 4,
        [True] * 4,
    ]
    assert [mask.reshape(4, 4).all(axis=0).tolist() for mask in content] == [
        [False] * 4,
        [True] * 3 + [False],
        [True] * 4,
    ]


def test_only_the_files_of_the_tower_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = save_mllama(tmp_path / "m", shard="60KB")
    asked: list[str] = []
    original = towers.cached_file

    def cached_file(ref: str, name: str, **options: Any) -> Any:
        asked.append(name)
        return original(ref, name, **options)

    monkeypatch.setattr(towers, "cached_file", cached_file)
    model = tower_of(tmp_path / "m")
    files = {file.name for file in (tmp_path / "m").glob("*.safetensors")}
    assert asked[0] == "model.safetensors.index.json"
    assert set(asked[1:]) < files
    assert Counter(asked).most_common(1)[0][1] == 1
    wanted = network.model.vision_model.state_dict()
    found = model.network.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_tower_under_the_names_of_other_versions(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    network = save_mllama(tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    assert any(key.startswith("vision_model.") for key in tensors)
    renamed = {f"model.{key}": tensor for key, tensor in tensors.items()}
    save_file(renamed, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    found = tower_of(tmp_path / "m").network.state_dict()
    assert all(torch.equal(found[key], value) for key, value in network.model.vision_model.state_dict().items())


_FROM_A_HUB = """
import sys
from superact.models import load_model
model = load_model("owner/Tiny-Llama", modality="image", device="cpu")
print(model.n_blocks, model.slug, model.source, model.identity["revision"])
tagged = load_model("owner/Tiny-Llama", modality="image", device="cpu", revision="v1")
print(tagged.identity == model.identity)
"""


def test_a_hub_checkpoint_needs_only_the_files_of_the_tower(tmp_path: Path) -> None:
    """A hub cache that holds one commit, without the files in which there is only the text stack."""
    import json
    import os
    import subprocess
    import sys

    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--owner--Tiny-Llama"
    folder = cached / "snapshots" / commit
    save_mllama(folder, shard="60KB")
    (cached / "refs").mkdir()
    for name in ("main", "v1"):
        (cached / "refs" / name).write_text(commit)
    listed = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {file for key, file in listed.items() if key.startswith("vision_model.")}
    others = set(listed.values()) - needed
    assert others
    for file in others:
        (folder / file).unlink()
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", _FROM_A_HUB], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["5", "tiny-llama-image", "hub:owner/Tiny-Llama", commit, "True"]


def test_tower_with_a_device_map(tmp_path: Path) -> None:
    save_mllama(tmp_path / "m", shard="60KB")
    plain, spread = tower_of(tmp_path / "m"), load_model(tmp_path / "m", modality="image", device_map="auto")
    assert isinstance(spread, VisionModel)
    assert spread.identity == plain.identity
    assert "device_map" in spread.provenance
    batch = seen_by(plain, *pictures((56, 40)))
    for layer, state in spread.forward(batch, range(6)).items():
        assert torch.equal(state, plain.forward(batch, [layer])[layer])


def test_tower_at_the_real_geometry(tmp_path: Path) -> None:
    """560 pixels, four tiles: 1600 patches behind the class token of tile 1, of 4 x 1608 tokens in all."""
    network = save_mllama(tmp_path / "m", vision={"image_size": 560, "num_hidden_layers": 1, "num_global_layers": 1})
    model = tower_of(tmp_path / "m")
    assert (model.n_blocks, model.grid, model.n_prefix, model.input_size) == (2, (40, 40), 1, 560)
    batch = seen_by(model, *pictures((560, 420)))
    inputs = mllama_inputs(tmp_path / "m", pictures((560, 420)))
    torch.testing.assert_close(model._inputs(batch)["pixel_values"], inputs["pixel_values"], rtol=0, atol=1e-6)
    wanted = hooked_states(network.model.vision_model, model._inputs(batch))
    together = model.forward(batch, range(3))
    for layer, state in enumerate(wanted):
        assert state.shape == (1, 4 * 1608, 32)
        assert torch.equal(together[layer], state[:, :1601])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tower_in_half_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    network = save_mllama(tmp_path / "m").to(dtype)
    model = tower_of(tmp_path / "m", dtype=str(dtype).removeprefix("torch."))
    batch = seen_by(model, *pictures((56, 40)))
    wanted = hooked_states(network.model.vision_model, model._inputs(batch))
    for layer, state in model.forward(batch, range(6)).items():
        assert state.dtype == dtype
        assert torch.equal(state, wanted[layer][:, :17])


def test_a_tower_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_mllama(tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    del tensors["vision_model.layernorm_post.weight"]
    save_file(tensors, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"lack 1 tensors, the first is layernorm_post.weight"):
        tower_of(tmp_path / "m")


def test_one_checkpoint_is_two_models(tmp_path: Path) -> None:
    save_mllama(tmp_path / "Llama-3.2-Tiny")
    vision, text = tower_of(tmp_path / "Llama-3.2-Tiny"), load_model(tmp_path / "Llama-3.2-Tiny", device="cpu")
    assert isinstance(text, TextModel)
    assert (vision.slug, text.slug) == ("llama-3.2-tiny-image", "llama-3.2-tiny")
    assert (vision.name, text.name) == ("Llama-3.2-Tiny (vision tower)", "Llama-3.2-Tiny")
    assert vision.source == text.source
    assert vision.identity["revision"] == text.identity["revision"]
    assert vision.identity["tiles"] == "1 of 4"
    with pytest.raises(BadInput, match="56 pixels only, not of 84"):
        tower_of(tmp_path / "Llama-3.2-Tiny", input_size=84)
    assert tower_of(tmp_path / "Llama-3.2-Tiny", geometry="squash").identity["geometry"] == "squash"


def test_a_folder_of_the_tower_alone(tmp_path: Path) -> None:
    network = save_mllama(tmp_path / "m")
    for file in (
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
        "config.json",
        "generation_config.json",
    ):
        (tmp_path / "m" / file).unlink()
    network.model.vision_model.save_pretrained(tmp_path / "m")
    model = load_model(tmp_path / "m", device="cpu")
    assert isinstance(model, VisionModel)
    assert (model.n_blocks, model.slug) == (5, "m")
    with pytest.raises(BadInput, match="m reads images, and a model that reads texts is wanted"):
        load_model(tmp_path / "m", device="cpu", modality="text")


def test_text_stack_equals_transformers_and_skips_cross_attention(tmp_path: Path) -> None:
    network = save_mllama(tmp_path / "m")
    model = load_model(tmp_path / "m", modality="text", device="cpu")
    assert isinstance(model, TextModel)
    assert (model.n_blocks, model.width, model.last_is_normed) == (3, 32, True)
    inputs = model.batch([model.tokenize("the quick brown fox"), model.tokenize("a dog laughs at all of it")])
    ran: list[int] = []
    for number, block in enumerate(model.network.layers):
        block.register_forward_hook(lambda module, args, output, number=number: ran.append(number))
    with torch.no_grad():
        wanted = network(**inputs, output_hidden_states=True).hidden_states
    assert len(wanted) == 4
    together = model.forward(inputs, range(4))
    for layer, state in enumerate(wanted):
        assert torch.equal(together[layer], state)
        ran.clear()
        assert torch.equal(model.forward(inputs, [layer])[layer], state)
        executed = [number for number in range(5) if number not in CROSS_ATTENTION]
        assert ran == executed[:layer]


def test_for_texts_the_vision_tower_is_not_loaded(tmp_path: Path) -> None:
    """Whatever the tensors are called: as published, or as transformers calls them since version 5 or before."""
    from safetensors.torch import load_file, save_file

    network = save_mllama(tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    own = "language_model.model."
    assert any(key.startswith(own) for key in tensors)
    wanted = network.model.language_model.state_dict()
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in (network, network.model.language_model)]
    assert sizes == [121_979, 40_324]
    for name_of in (
        lambda key: key,
        lambda key: key.replace(own, "model.language_model.") if key.startswith(own) else f"model.{key}",
        lambda key: f"model.{key}",
    ):
        renamed = {name_of(key): tensor for key, tensor in tensors.items()}
        save_file(renamed, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
        model = load_model(tmp_path / "m", modality="text", device="cpu")
        found = model.network.state_dict()
        assert sum(weight.numel() for weight in model.network.parameters()) == sizes[1]
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_one_ingest_command_a_modality(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from superact.cli.main import app
    from superact.store import Warehouse

    network = save_mllama(tmp_path / "m")
    image_dataset(tmp_path / "data" / "Shapes")
    text_dataset(tmp_path / "data" / "Words")
    common = ["--model", str(tmp_path / "m"), "--data-root", str(tmp_path / "data"), "--warehouse", str(tmp_path / "w")]
    for dataset in ("Shapes", "Words"):
        done = CliRunner().invoke(
            app, ["extract", "--dataset", dataset, *common, "--percent", "50,100", "--device", "cpu", "--quiet"]
        )
        assert done.exit_code == 0, done.output
    store = Warehouse.open(tmp_path / "w")
    keys = [dict(found.partition.keys) for found in store.state().select("embeddings", unit="token")]
    assert sorted((key["dataset"], key["model"], int(key["layer"])) for key in keys) == [
        ("shapes", "m-image", 2),
        ("shapes", "m-image", 5),
        ("words", "m", 1),
        ("words", "m", 3),
    ]
    blocks = {model: table(store, "models", model=model)["blocks"].to_list() for model in ("m", "m-image")}
    assert blocks == {"m": [3], "m-image": [5]}
    # Token k of an image is row 1 + k of tile 1, and its cls is row 0.
    dataset, model = open_dataset("Shapes", tmp_path / "data"), tower_of(tmp_path / "m")
    images = [dataset.image(sample) for sample in range(18)]
    wanted = hooked_states(network.model.vision_model, model._inputs(seen_by(model, *images)))[5].numpy()
    rows = table(store, "embeddings", dataset="shapes", layer=5, unit="token")
    assert rows.height == 6 * (12 + 12 + 16)
    largest = abs(wanted).max()
    assert abs(matrix(rows) - wanted[rows["sample"], rows["token"] + 1]).max() <= 1e-5 * largest
    rows = table(store, "embeddings", dataset="shapes", layer=5, unit="cls")
    assert abs(matrix(rows) - wanted[rows["sample"], 0]).max() <= 1e-5 * largest
