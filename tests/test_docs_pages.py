"""A page a dataset and a page a model: each is there, and what it says in numbers is what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from superact.datasets.describe import Description, Floor
from superact.datasets.published import PUBLISHED, PublishedDataset
from superact.models.base import Model, slug_of
from superact.models.registry import LOCAL_MODELS
from superact.models.towers import choose_tower
from superact.store.files import human

DOCS = Path(__file__).parents[1] / "docs"
BYTES_A_ROW = 7.13
by_name = pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)

# The checkpoints' configurations, as far as they are not transformers' defaults.
CONFIGURATIONS: dict[str, Any] = {
    "clip-vit-l-14": lambda: transformers.CLIPConfig(
        vision_config={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "patch_size": 14,
        }
    ),
    "llama-3.2-vision": lambda: transformers.MllamaConfig(vision_config={"image_size": 560}),
    "llama-3.2-text": lambda: transformers.MllamaConfig(vision_config={"image_size": 560}),
    "gemma-2-9b": lambda: transformers.Gemma2Config(
        hidden_size=3584,
        intermediate_size=14336,
        num_hidden_layers=42,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=256,
        vocab_size=256000,
    ),
    "qwen3-embedding-4b": lambda: transformers.Qwen3Config(
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151665,
        max_position_embeddings=40960,
    ),
}
IMAGES = ("clip-vit-l-14", "llama-3.2-vision")


def tables(path: Path) -> list[list[list[str]]]:
    """The tables of a page: rows of cells, the header first; links are their text, code its content."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", path.read_text(encoding="utf-8"))
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip(" `") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [[rows[0], *rows[2:]] for rows in found if rows]


def facts(kind: str, name: str) -> dict[str, str]:
    """The first table of a page, which has a fact a row."""
    header, *rows = tables(DOCS / kind / f"{name}.md")[0]
    assert header == ["fact", "value"]
    return {row[0]: row[1] for row in rows}


def numbers(text: str) -> list[int]:
    return [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?<!,)", text)]


def floors(one: PublishedDataset) -> Description:
    labels = tuple(Floor(label, counts, one.split_sizes, True) for label, counts in one.positives.items())
    return Description(one.name, one.modality, one.split_sizes, labels)


def test_every_published_dataset_has_its_page() -> None:
    assert {path.stem for path in (DOCS / "datasets").glob("*.md")} == {one.slug for one in PUBLISHED}
    header, *rows = next(table for table in tables(DOCS / "data.md") if table[0][0] == "page")
    assert header[:4] == ["page", "samples", "train, cal, test", "labels evaluated"]
    assert [row[0] for row in rows] == [one.name for one in PUBLISHED]


@by_name
def test_facts_of_a_dataset(one: PublishedDataset) -> None:
    said = facts("datasets", one.slug)
    described = floors(one)
    sizes = ", ".join(f"{n:,}" for n in one.split_sizes)
    expected = {
        "samples": f"{one.rows:,} {one.modality}s",
        "train, cal, test": sizes,
        "labels evaluated": f"{len(one.labels)} of {one.label_columns}",
        "floor, always positive": f"{described.always_f1:.4f}",
        "floor, coin": f"{described.coin_f1:.4f}",
        "folder": "`, `".join(one.folders),
    }
    assert said == expected
    assert float(said["floor, always positive"]) == one.always_f1
    _, *rows = next(table for table in tables(DOCS / "data.md") if table[0][0] == "page")
    assert next(row for row in rows if row[0] == one.name)[1:6] == list(expected.values())[:5]


@by_name
def test_files_labels_and_commands_of_a_dataset(one: PublishedDataset) -> None:
    text = (DOCS / "datasets" / f"{one.slug}.md").read_text(encoding="utf-8")
    for file in one.files:
        name = file.patterns[0].rpartition("/")[2].partition("*")[0]
        assert name in text or name.startswith("patches_w_image_mask"), name
    for label in (*one.labels, *one.dropped) if one.label_columns < 10 else one.dropped:
        assert f"`{label}`" in text, label
    assert f"superact data check {one.name}\n" in text and f"superact data describe {one.name}\n" in text
    wanted = IMAGES if one.modality == "image" else tuple(name for name in CONFIGURATIONS if name not in IMAGES)
    for name in wanted:
        said = facts("models", name)
        assert f"--dataset {one.name} --model {said['model']} " in text
        assert f"--percent {said['the paper' + chr(39) + 's percents'].replace(', ', ',')}" in text


@by_name
def test_costs_of_a_dataset(one: PublishedDataset) -> None:
    """Bytes by the formula of docs/data.md, from the tokens of the same row and the model's own page."""
    found = [
        table for table in tables(DOCS / "datasets" / f"{one.slug}.md") if table[0][:2] == ["model", "content tokens"]
    ]
    assert len(found) == (one.name != "Sarcasm")
    titles = {
        (DOCS / "models" / f"{name}.md").read_text(encoding="utf-8").splitlines()[0]: name for name in CONFIGURATIONS
    }
    local = {"MiniLM, local": "minilm", "SmolLM2-135M, local": "smollm2-135m", "ViT-S/14, local": "dinov2-small"}
    short = {"Llama 3.2 Vision": "llama-3.2-vision", "Llama 3.2, text": "llama-3.2-text"}
    for name, tokens, embeddings, paper, activations in found[0][1:] if found else []:
        (n,) = numbers(tokens)
        if name in local:
            width, chosen = local_models()[local[name]][1], 0
            patches = local_models()[local[name]][2]
        else:
            page = short.get(name) or titles[f"# {name}"]
            said = facts("models", page)
            (width,), chosen = numbers(said["width"]), len(numbers(said["are layers"]))
            patches = numbers(said["tokens"])[0] if "tokens" in said else 0
        most = "at most " if name == "Llama 3.2 Vision" else ""
        assert (one.modality == "image") == bool(patches)
        if patches:
            assert tokens == f"{most}{one.rows * patches:,}"
        assert embeddings == most + human(4 * width * n)
        assert paper == (f"{most}{human(chosen * 4 * width * n)} ({chosen})" if chosen else "-")
        assert activations == most + human(BYTES_A_ROW * one.label_columns * n)


def local_models() -> dict[str, tuple[int, int, int]]:
    """Name -> blocks, width and patches (0 for texts) by the page of the local models."""
    header, *rows = next(table for table in tables(DOCS / "models" / "auto.md") if table[0][0] == "name")
    assert header[2:4] == ["blocks", "width"]
    found = {}
    for name, what, blocks, width, tokens, size, _ in rows:
        assert numbers(size) == [4 * int(width)]
        found[name] = int(blocks), int(width), numbers(tokens)[0] if "patches" in tokens else 0
        assert LOCAL_MODELS[name].modality == ("image" if found[name][2] else "text")
        assert ("image" in what) == bool(found[name][2])
    return found


def test_every_model_has_its_page() -> None:
    pages = {path.stem for path in (DOCS / "models").glob("*.md")}
    assert pages == {*CONFIGURATIONS, "auto"}
    assert set(local_models()) == set(LOCAL_MODELS)
    overview = (DOCS / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"\(models/([\w.-]+)\.md\)", overview) == [*CONFIGURATIONS, "auto"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_facts_of_a_model(name: str) -> None:
    """Against the network that superact would load, without weights."""
    said = facts("models", name)
    modality = "image" if name in IMAGES else "text"
    config = CONFIGURATIONS[name]()
    tower = choose_tower(config, modality, name)
    own = getattr(config, tower.config_part) if tower.config_part else config
    with torch.device("meta"):
        network = tower.model_class(own) if hasattr(tower.model_class, "forward") else build_auto(own)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert numbers(said["weights loaded"])[0] == weights
    assert said["name in the warehouse"] == slug_of(said["model"]) + tower.suffix
    (width,) = numbers(said["width"])
    assert width == own.hidden_size
    assert numbers(said["a token"]) == [4 * width]
    blocks, first, last = numbers(said["blocks, layers"])
    executed = (
        own.num_hidden_layers + getattr(own, "num_global_layers", 0) - len(getattr(own, "cross_attention_layers", ()))
    )
    assert (blocks, first, last) == (executed, 0, executed)
    if modality == "image":
        size, patches, patch, *grid = numbers(said["input"]) + numbers(said["tokens"])
        assert (size, patch) == (own.image_size, own.patch_size)
        assert patches == grid[0] * grid[1] and grid == [size // patch] * 2
    else:
        assert numbers(said["longest text"]) == [own.max_position_embeddings]
    text = (DOCS / "models" / f"{name}.md").read_text(encoding="utf-8")
    for bytes_each in (2, 4) if name != "clip-vit-l-14" else (4,):
        assert human(weights * bytes_each) in text


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_percents_of_a_model(name: str) -> None:
    said = facts("models", name)
    model = object.__new__(type("Counted", (Model,), {"n_blocks": numbers(said["blocks, layers"])[0]}))
    percents = numbers(said["the paper's percents"])
    assert [model.layer_of_percent(percent) for percent in percents] == numbers(said["are layers"])
    text = (DOCS / "models" / f"{name}.md").read_text(encoding="utf-8")
    assert f"--model {said['model']} " in text
    assert f"--percent {','.join(map(str, percents))}\n" in text


def test_the_overview_of_models_says_what_the_pages_say() -> None:
    _, *rows = tables(DOCS / "models.md")[0]
    for name, row in zip(CONFIGURATIONS, rows, strict=False):
        said = facts("models", name)
        assert row[1] == ("images" if name in IMAGES else "texts")
        assert [numbers(cell)[0] for cell in (row[2], row[3], row[5])] == [
            numbers(said[fact])[0] for fact in ("blocks, layers", "width", "a token")
        ]
        assert numbers(row[4]) == numbers(said.get("tokens", ""))[:1]


def build_auto(config: Any) -> nn.Module:
    network: nn.Module = transformers.AutoModel.from_config(config)
    return network
