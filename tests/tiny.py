"""Tiny random models of real transformers classes, and tiny datasets in the two published formats, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from superact.schemas import tables
from superact.store import Warehouse

WORDS = (
    *("the", "quick", "brown", "fox", "is", ".", "a", "dog", "laughs", "at", "all", "of", "it"),
    *("and", "then", "some", "more", "words", "here"),
)
TEXT_CONFIG = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # so large that attention matters in a random model
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
IMAGE_CONFIG = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "patch_size": 14,
    "image_size": 56,
    "initializer_range": 0.3,
}
DECODERS = ["LlamaForCausalLM", "Gemma2Model", "Qwen3Model"]
TEXT_CLASSES = ["BertModel", *DECODERS]
IMAGE_CLASSES = ["Dinov2Model", "ViTModel", "CLIPVisionModel"]


def save_tokenizer(folder: Path, *, encoder: bool, padding_side: str = "right") -> None:
    """A word-level tokenizer; `encoder` wraps texts in <s> ... </s>, otherwise nothing is added."""
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if encoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side=padding_side,
        model_max_length=64,
    ).save_pretrained(folder)


def save_processor(folder: Path, size: int = 56) -> None:
    transformers.models.bit.image_processing_pil_bit.BitImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=[0.4] * 3,
        image_std=[0.2] * 3,
    ).save_pretrained(folder)


def config_of(class_name: str, settings: dict[str, Any]) -> Any:
    config_class = getattr(transformers, class_name).config_class
    return config_class(**settings)


def save_model(folder: Path, class_name: str, *, padding_side: str = "right", **changes: Any) -> Path:
    """A random model of the class with its tokenizer or processor, as an ordinary transformers folder."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    is_image = class_name in IMAGE_CLASSES
    config = config_of(class_name, {**(IMAGE_CONFIG if is_image else TEXT_CONFIG), **changes})
    getattr(transformers, class_name)(config).save_pretrained(folder)
    if is_image:
        save_processor(folder)
    else:
        save_tokenizer(folder, encoder=class_name == "BertModel", padding_side=padding_side)
    return folder


def reference(folder: Path, class_name: str, inputs: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    """What Hugging Face itself reports, from a network loaded without any of our code."""
    loader = transformers.CLIPVisionModel if class_name == "CLIPVisionModel" else transformers.AutoModel
    network = loader.from_pretrained(folder).eval()
    with torch.no_grad():
        return network(**inputs, output_hidden_states=True).hidden_states


SPLITS = ("train", "cal", "test")
LABELS = ("animal", "mood", "rare")
"""Labels of the texts: animal by word, mood by sample only, rare in no train sample."""


def texts(n: int, seed: int = 0) -> list[list[str]]:
    """n word lists of 1 to 9 words; the sample without train positives of `rare` never says "it" in train."""
    random = np.random.default_rng(seed)
    return [[str(word) for word in random.choice(WORDS[:16], random.integers(1, 10))] for _ in range(n)]


def text_dataset(
    root: Path, n: int = 24, *, words: bool = True, seed: int = 0, splits: tuple[str, ...] = SPLITS
) -> Path:
    """n texts; label `animal` is on the words fox and dog, `mood` on even samples, `rare` on test samples alone."""
    (root / "paragraphs").mkdir(parents=True)
    lines = ["text_path,split"]
    paragraph = ["paragraph_id,sentence_id,sentence,animal,mood,rare"]
    word = ["paragraph_id,sentence_id,word,animal"]
    for i, listed in enumerate(texts(n, seed)):
        split = splits[i % len(splits)]
        (root / f"paragraphs/{i}.txt").write_text(" ".join(listed), encoding="utf-8")
        lines.append(f"paragraphs/{i}.txt,{split}")
        animal = [int(w in ("fox", "dog")) for w in listed]
        paragraph.append(f"{i + 1},1,x,{max(animal)},{int(i % 2 == 0)},{int(split == 'test')}")
        word.extend(f"{i + 1},1,{w},{flag}" for w, flag in zip(listed, animal, strict=True))
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    (root / "paragraph_level_x.csv").write_text("\n".join(paragraph) + "\n")
    if words:
        (root / "word_level_x.csv").write_text("\n".join(word) + "\n")
    return root


def image_dataset(root: Path, n: int = 18, seed: int = 0) -> Path:
    """n images of three shapes with a mask each; labels red and blue alternate, `both` is on every third."""
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(seed)
    lines = ["image_path,red,blue,both,split,mask_path"]
    for i in range(n):
        height, width = ((40, 60), (60, 40), (50, 50))[i % 3]
        pixels = random.integers(0, 80, (height, width, 3)).astype(np.uint8)
        top, left = random.integers(0, height // 2), random.integers(0, width // 2)
        mask = np.zeros((height, width), np.uint8)
        mask[top : top + height // 3, left : left + width // 3] = 255
        pixels[mask > 0, 0 if i % 2 else 2] = 250
        Image.fromarray(pixels).save(root / f"images/{i}.png")
        Image.fromarray(mask).save(root / f"images/{i}_mask.png")
        flags = f"{i % 2},{(i + 1) % 2},{int(i % 3 == 0)}"
        lines.append(f"images/{i}.png,{flags},{SPLITS[i // 2 % 3]},images/{i}_mask.png")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def table(warehouse: Warehouse, name: str, **wanted: Any) -> pl.DataFrame:
    """Every live row of a table, the path keys as columns, in the order of the files."""
    frames = []
    for published in warehouse.state().select(name, **wanted):
        paths = [warehouse.root / file.path for file in published.files]
        frame = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
        frames.append(frame.with_columns(**{key: pl.lit(value) for key, value in published.partition.keys}))
    return pl.concat(frames) if frames else pl.DataFrame()


def matrix(frame: pl.DataFrame, column: str = "embedding") -> np.ndarray:
    """A column of lists as float32 [n, d]."""
    return np.array(frame[column].to_list(), dtype=np.float32)


def content(warehouse: Warehouse, *names: str) -> dict[str, pl.DataFrame]:
    """All rows of the named tables, sorted by grain: what two warehouses are compared by."""
    found = {}
    for name in names:
        frame = table(warehouse, name)
        found[name] = frame.sort(list(tables()[name].grain)) if frame.width else frame
    return found


def assert_same_rows(one: Warehouse, other: Warehouse, *names: str) -> None:
    """Every named table holds the same rows in both warehouses, bit for bit."""
    for name in names:
        a, b = content(one, name)[name], content(other, name)[name]
        assert a.height and a.equals(b), name


class CountingForward:
    """Counts the forward passes of a model, and the samples in them, by wrapping its `forward`."""

    def __init__(self, monkeypatch: Any, model: Any) -> None:
        self.passes = self.samples = 0
        self.layers: set[int] = set()
        original = model.forward

        def forward(inputs: Any, layers: Any) -> Any:
            first = inputs["input_ids"] if isinstance(inputs, dict) else inputs
            self.passes += 1
            self.samples += len(first)
            self.layers |= set(layers)
            return original(inputs, layers)

        monkeypatch.setattr(model, "forward", forward)

    def reset(self) -> None:
        self.passes = self.samples = 0
        self.layers = set()
