"""Extract against an oracle: plain transformers, one unbatched sample at a time, and numpy in float64."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from PIL import Image
from tiny import image_dataset, matrix, save_model, table, text_dataset

from superact.datasets import open_dataset
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.models import load_model
from superact.store import Warehouse

FRONT = {"BertModel": 1, "LlamaForCausalLM": 1}  # special tokens before the first word
BACK = {"BertModel": 1, "LlamaForCausalLM": 0}


def text_oracle(folder: Path, class_name: str, text: str) -> list[np.ndarray]:
    """Hidden states [n, d] of every layer for one text, from transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    if class_name == "LlamaForCausalLM":
        ids = [tokenizer.bos_token_id, *ids]
    network = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = network(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def check_rows(found: pl.DataFrame, expected: dict[tuple[int, int], np.ndarray]) -> None:
    keys = list(zip(found["sample"], found["token"], strict=True))
    assert keys == sorted(expected)
    values, wanted = matrix(found), np.array([expected[key] for key in keys])
    assert np.abs(values - wanted).max() <= 1e-5 * np.abs(wanted).max()


def check_stats(warehouse: Warehouse, train: list[int]) -> None:
    stats = table(warehouse, "layer_stats")
    assert stats.height == 8  # 4 layers, 2 units
    for row in stats.iter_rows(named=True):
        rows = table(warehouse, "embeddings", layer=row["layer"], unit=row["unit"])
        x = matrix(rows.filter(pl.col("sample").is_in(train))).astype(np.float64)
        assert row["n"] == len(x) > 0
        assert np.abs(np.array(row["mean"]) - x.mean(axis=0)).max() <= 1e-6 * np.abs(x).max()
        assert row["rms"] == pytest.approx(np.sqrt((x**2).sum(axis=1).mean()), rel=1e-6)


@pytest.mark.parametrize("class_name", ["BertModel", "LlamaForCausalLM"])
def test_texts_equal_the_oracle(tmp_path: Path, class_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superact.ingest.job.FEWEST_ROWS", 20)
    monkeypatch.setattr("superact.ingest.job.SHARD_BYTES", 1)
    folder = save_model(tmp_path / "model", class_name)
    root = text_dataset(tmp_path / "Tiny-Text")
    job = Job(open_dataset(str(root), tmp_path), load_model(folder, device="cpu"), [0, 1, 2, 3], ("token", "cls"), 40)
    assert job.counts.shards > 3
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, job)
    sources = [(root / f"paragraphs/{i}.txt").read_text() for i in range(24)]
    front, back = FRONT[class_name], BACK[class_name]
    tokens, states = table(warehouse, "tokens"), [text_oracle(folder, class_name, text) for text in sources]

    # Tokens: a word each, with the special tokens around them, which are no content.
    expected: list[dict[str, Any]] = []
    for sample, text in enumerate(sources):
        specials = [("<s>", 0, 0, None, False)] * front
        words = [(m.group(), *m.span(), k, True) for k, m in enumerate(re.finditer(r"\S+", text))]
        rows = [*specials, *words, *[("</s>", 0, 0, None, False)] * back]
        names = ("text", "char_start", "char_end", "word", "is_content")
        for token, row in enumerate(rows):
            expected.append({"sample": sample, "token": token, **dict(zip(names, row, strict=True))})
    columns = list(expected[0])
    assert tokens.select(columns).rows() == [tuple(row.values()) for row in expected]
    assert tokens["row"].null_count() == tokens["col"].null_count() == tokens.height

    for layer in range(4):
        inside: dict[tuple[int, int], np.ndarray] = {}
        for sample, state in enumerate(states):
            n = len(state[layer]) - front - back
            inside |= {(sample, front + k): state[layer][front + k] for k in range(n)}
        means = {
            (sample, -1): state[layer][front : len(state[layer]) - back].astype(np.float64).mean(axis=0)
            for sample, state in enumerate(states)
        }
        check_rows(table(warehouse, "embeddings", layer=layer, unit="token"), inside)
        check_rows(table(warehouse, "embeddings", layer=layer, unit="cls"), means)

    # Labels: `animal` is on the words fox and dog, `mood` has no token.
    wanted = [(r["sample"], r["token"], "animal") for r in expected if r["text"] in ("fox", "dog")]
    assert table(warehouse, "token_labels").select("sample", "token", "label").rows() == wanted
    assert len(wanted) > 5
    samples = table(warehouse, "samples")
    assert samples["text"].to_list() == sources
    assert samples["split"].to_list() == ["train", "cal", "test"] * 8
    assert table(warehouse, "labels").select("label", "source", "evaluated").rows() == [
        ("animal", "word file", True),
        ("mood", "metadata", True),
        ("rare", "metadata", True),
    ]
    carried = table(warehouse, "sample_labels").filter(pl.col("label") == "mood")["sample"].to_list()
    assert carried == list(range(0, 24, 2))
    check_stats(warehouse, list(range(0, 24, 3)))


def image_oracle(folder: Path, path: Path, geometry: str) -> list[np.ndarray]:
    image = Image.open(path).convert("RGB")
    size = image.size
    if geometry == "letterbox":
        longest = (56, int(56 / (size[0] / size[1]))) if size[0] > size[1] else (int(56 * size[0] / size[1]), 56)
        canvas = Image.new("RGB", (56, 56))
        canvas.paste(image.resize(longest, Image.Resampling.BICUBIC), (0, 0))
        image = canvas
    else:
        image = image.resize((56, 56), Image.Resampling.BICUBIC)
    pixels = ((np.asarray(image, np.float64) / 255 - 0.4) / 0.2).transpose(2, 0, 1)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = network(torch.from_numpy(pixels[None].astype(np.float32)), output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def patch_labels(mask: np.ndarray, geometry: str, rows: int, cols: int) -> set[int]:
    """Content patches with a mask pixel, by looking up the source pixel of each input pixel's centre."""
    height, width = mask.shape
    scale_x, scale_y = (width / 56, height / 56) if geometry == "squash" else [max(width, height) / 56] * 2
    found = set()
    for y in range(56):
        for x in range(56):
            source_x, source_y = int((x + 0.5) * scale_x), int((y + 0.5) * scale_y)
            inside = source_x < width and source_y < height and (y // 14 < rows and x // 14 < cols)
            if inside and mask[source_y, source_x]:
                found.add(y // 14 * 4 + x // 14)
    return found


@pytest.mark.parametrize("geometry", ["squash", "letterbox"])
def test_images_equal_the_oracle(tmp_path: Path, geometry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superact.ingest.job.FEWEST_ROWS", 60)
    monkeypatch.setattr("superact.ingest.job.SHARD_BYTES", 1)
    folder = save_model(tmp_path / "model", "Dinov2Model")
    root = image_dataset(tmp_path / "Tiny-Image")
    model = load_model(folder, device="cpu", geometry=geometry)
    job = Job(open_dataset(str(root), tmp_path), model, [0, 1, 2, 3], ("token", "cls"), 40)
    assert job.counts.shards > 3
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, job)
    sizes = [((40, 60), (60, 40), (50, 50))[i % 3] for i in range(18)]  # height, width
    # 60 x 40 fits as 56 x 37 pixels: the last of four patches of 14 is padding in the shorter direction.
    grids = [
        (4, 4)
        if geometry == "squash"
        else (min(4, -(-int(56 * h / max(h, w)) // 14)), min(4, -(-int(56 * w / max(h, w)) // 14)))
        for h, w in sizes
    ]
    tokens = table(warehouse, "tokens")
    expected = [
        (sample, row * 4 + col, row, col, row < grids[sample][0] and col < grids[sample][1])
        for sample in range(18)
        for row in range(4)
        for col in range(4)
    ]
    assert tokens.select("sample", "token", "row", "col", "is_content").rows() == expected
    padding = sum(not row[-1] for row in expected)
    assert padding == (0 if geometry == "squash" else 12 * 4)
    states = [image_oracle(folder, root / f"images/{i}.png", geometry) for i in range(18)]
    for layer in range(4):
        patches = {(s, t): states[s][layer][1 + t] for s, t, _, _, is_content in expected if is_content}
        check_rows(table(warehouse, "embeddings", layer=layer, unit="token"), patches)
        cls = {(s, -1): states[s][layer][0] for s in range(18)}
        check_rows(table(warehouse, "embeddings", layer=layer, unit="cls"), cls)
    wanted = set()
    for i in range(18):
        mask = np.asarray(Image.open(root / f"images/{i}_mask.png")) > 0
        for token in patch_labels(mask, geometry, *grids[i]):
            wanted |= {(i, token, label) for label in ("red", "blue", "both") if carries(i, label)}
    found = table(warehouse, "token_labels").select("sample", "token", "label").rows()
    assert set(found) == wanted
    assert found == sorted(wanted)
    samples = table(warehouse, "samples")
    assert samples.select("height", "width").rows() == sizes
    check_stats(warehouse, [i for i in range(18) if i // 2 % 3 == 0])


def carries(i: int, label: str) -> bool:
    return {"red": i % 2 == 1, "blue": i % 2 == 0, "both": i % 3 == 0}[label]


def test_a_text_without_content_tokens_has_no_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tokenizers drop control characters: such a text has special tokens alone, and no mean."""
    from superact.ingest.learn import Recipe
    from superact.ingest.pipeline import ingest
    from superact.metrics.evaluate import evaluate

    root = text_dataset(tmp_path / "Tiny-Text", words=False)
    model = load_model(save_model(tmp_path / "model", "BertModel"), device="cpu")
    original = model.tokenize
    marked = (root / "paragraphs/3.txt").read_text()
    monkeypatch.setattr(model, "tokenize", lambda text: original("" if text == marked else text))
    job = Job(open_dataset(str(root), tmp_path), model, [2], ("token", "cls"))
    same = [i for i in range(24) if (root / f"paragraphs/{i}.txt").read_text() == marked]
    for mode in ("keep", "none"):
        warehouse = Warehouse(tmp_path / mode)
        ingest(warehouse, job, Recipe(), embeddings=mode)
        tokens = table(warehouse, "tokens").filter(pl.col("sample") == 3)
        assert tokens["is_content"].to_list() == [False, False]
        expected = [i for i in range(24) if i not in same]
        scored = table(warehouse, "activations", unit="cls", concept_set="avg").filter(pl.col("concept") == "mood")
        assert scored["sample"].to_list() == expected
        evaluate(warehouse)
        n = table(warehouse, "layer_stats", unit="cls")["n"].to_list()
        assert n == [len([i for i in expected if i % 3 == 0])]
