"""Score: activations against numpy in float64, how they are cut into files, and what is not finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from tiny import content, image_dataset, matrix, save_model, table, text_dataset

from superact.datasets import open_dataset
from superact.errors import NonFinite
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe, learn
from superact.ingest.pipeline import ingest
from superact.ingest.score import score
from superact.models import load_model
from superact.store import Warehouse
from superact.store.shards import ranges, shard_tokens


def text_job(tmp_path: Path, layers: tuple[int, ...] = (0, 2, 3)) -> Job:
    root = tmp_path / "Tiny-Text"
    if not root.exists():
        text_dataset(root)
        save_model(tmp_path / "model", "LlamaForCausalLM")
    model = load_model(tmp_path / "model", device="cpu")
    return Job(open_dataset(str(root), tmp_path), model, list(layers), ("token", "cls"), 64)


def check_scores(warehouse: Warehouse) -> None:
    """Every activation equals the contract's formula in float64, and no other row is there."""
    checked = 0
    for concepts in warehouse.state().select("concepts"):
        keys = dict(concepts.partition.keys)
        where = {"layer": keys["layer"], "unit": keys["unit"]}
        stats, rows = table(warehouse, "layer_stats", **where), table(warehouse, "embeddings", **where)
        xhat = (matrix(rows).astype(np.float64) - np.array(stats["mean"][0])) / stats["rms"][0]
        found = table(warehouse, "activations", concept_set=keys["concept_set"], **where)
        expected = []
        vectors = table(warehouse, "concepts", concept_set=keys["concept_set"], **where)
        for row in vectors.filter(pl.col("status") == "ok").sort("concept").iter_rows(named=True):
            v = np.array(row["vector"], dtype=np.float64)
            # The CLS token of a vision tower is the same for all images at layer 0: xhat and the prototype are 0 there.
            dots, lengths, norm = xhat @ v, np.linalg.norm(xhat, axis=1), max(np.linalg.norm(v), 1e-8)
            cosine = dots / (np.maximum(lengths, 1e-8) * norm)
            distance = (dots + row["bias"]) / norm
            expected.append(
                rows.select("sample", "token").with_columns(
                    concept=pl.lit(row["concept"]), cosine=cosine, distance=distance
                )
            )
        wanted = pl.concat(expected)
        # In the order of the contract: concept, sample, token (one file a partition here).
        assert found.select("concept", "sample", "token").equals(wanted.select("concept", "sample", "token"))
        assert np.abs(found["cosine"].to_numpy() - wanted["cosine"].to_numpy()).max() <= 1e-5
        scale = np.abs(wanted["distance"].to_numpy()).max()
        assert np.abs(found["signed_distance"].to_numpy() - wanted["distance"].to_numpy()).max() <= 1e-5 * scale
        checked += found.height
    assert checked


def test_texts(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    ingest(warehouse, text_job(tmp_path), Recipe())
    check_scores(warehouse)


def test_images(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    model = load_model(save_model(tmp_path / "model", "Dinov2Model"), device="cpu", geometry="letterbox")
    dataset = open_dataset(str(image_dataset(tmp_path / "Tiny-Image")), tmp_path)
    ingest(warehouse, Job(dataset, model, [0, 1, 2, 3], ("token", "cls"), 64), Recipe())
    check_scores(warehouse)
    content_tokens = table(warehouse, "tokens").filter("is_content").select("sample", "token").rows()
    scored = table(warehouse, "activations", unit="token", layer=1, concept_set="avg")
    assert scored.filter(pl.col("concept") == "red").select("sample", "token").rows() == content_tokens


def test_shards_are_cut_as_documented() -> None:
    assert [shard_tokens(n) for n in (0, 1, 2, 256)] == [131072] * 4
    assert shard_tokens(257) == (256 << 20) // (8 * 257) == 130561
    assert shard_tokens(1000) == 33554
    assert shard_tokens(2048) == shard_tokens(5000) == 16384
    assert ranges(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert ranges(0, 4) == [(0, 0)]


@pytest.mark.parametrize("mode", ["keep", "none"])
def test_files_hold_so_many_tokens_and_a_row_group_a_concept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("superact.ingest.targets.shard_tokens", lambda n: 17)
    monkeypatch.setattr("superact.ingest.job.FEWEST_ROWS", 20)
    monkeypatch.setattr("superact.ingest.job.SHARD_BYTES", 1)
    warehouse = Warehouse(tmp_path / "wh")
    job = text_job(tmp_path, (1,))
    ingest(warehouse, job, Recipe(), embeddings=mode)
    keys = table(warehouse, "tokens").filter("is_content").select("sample", "token").rows()
    for published in warehouse.state().select("activations", unit="token"):
        assert len(published.files) == -(-len(keys) // 17)
        for number, file in enumerate(published.files):
            reader = pq.ParquetFile(warehouse.root / file.path)
            assert reader.metadata.num_row_groups == 2
            for group, concept in enumerate(("animal", "mood")):
                rows = pl.DataFrame(pl.from_arrow(reader.read_row_group(group)))
                assert rows["concept"].unique().to_list() == [concept]
                assert rows.select("sample", "token").rows() == keys[17 * number : 17 * number + 17]


def test_files_do_not_depend_on_what_is_scored_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second set alone, or with a tiny buffer that forces further forward passes, gives the same files."""
    monkeypatch.setattr("superact.ingest.targets.shard_tokens", lambda n: 17)
    together, alone = Warehouse(tmp_path / "together"), Warehouse(tmp_path / "alone")
    job = text_job(tmp_path)
    ingest(together, job, Recipe(), embeddings="none")
    monkeypatch.setattr("superact.ingest.score.BUFFER_BYTES", 1)
    ingest(alone, job, Recipe(("avg",)), embeddings="none")
    ingest(alone, job, Recipe(("linsep",)), embeddings="none")
    names = ("concepts", "activations")
    one, other = content(together, *names), content(alone, *names)
    assert one["concepts"].equals(other["concepts"])
    exact = ["concept_set", "layer", "unit", "concept", "sample", "token"]
    assert one["activations"].select(exact).equals(other["activations"].select(exact))
    for name in ("cosine", "signed_distance"):
        assert (one["activations"][name] - other["activations"][name]).abs().max() <= 1e-6
    passes = [run["provenance"]["passes"] for run in alone.state().documents if run["stage"] == "score"]
    assert [len(each) for each in passes] == [6, 6]  # three layers, two units


def poison(monkeypatch: pytest.MonkeyPatch, model: Any, sample_length: int, layer: int, value: float) -> None:
    """Make one number of a text's hidden state at one layer not finite, wherever that text stands in its batch."""
    original = model.forward

    def forward(inputs: Any, layers: Any) -> Any:
        states = original(inputs, layers)
        for row, mask in enumerate(inputs["attention_mask"]):
            if int(mask.sum()) == sample_length and layer in states:
                states[layer] = states[layer].clone()
                states[layer][row, 1, 3] = value
        return states

    monkeypatch.setattr(model, "forward", forward)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("unit", ["token", "cls"])
def test_a_hidden_state_that_is_not_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, unit: str
) -> None:
    root = text_dataset(tmp_path / "Tiny-Text")
    (root / "paragraphs/10.txt").write_text(" ".join(["fox"] * 20))
    (root / "word_level_x.csv").unlink()
    model = load_model(save_model(tmp_path / "model", "LlamaForCausalLM"), device="cpu")
    job = Job(open_dataset(str(root), tmp_path), model, [1, 2, 3], (unit,))
    poison(monkeypatch, model, 21, 2, value)
    warehouse = Warehouse(tmp_path / "wh")
    for keep in (True, False):
        with pytest.raises(NonFinite, match="hidden state is NaN or infinite at layer 2, sample 10") as caught:
            extract(warehouse, job, keep_embeddings=keep)
        assert caught.value.fields == {"kind": "hidden state", "layer": 2, "sample": 10}
        assert warehouse.state().sequence == 0


def test_a_weight_that_is_not_finite(tmp_path: Path) -> None:
    job = text_job(tmp_path)
    with torch.no_grad():
        job.model.network.layers[1].mlp.down_proj.weight[0, 0] = float("inf")
    with pytest.raises(NonFinite, match="at layer 2, sample "):
        extract(Warehouse(tmp_path / "wh"), job)


def test_padding_may_hold_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden states of padding are nobody's: NaN there changes no row."""
    clean, dirty = Warehouse(tmp_path / "clean"), Warehouse(tmp_path / "dirty")
    job = text_job(tmp_path)
    extract(clean, job)
    original = job.model.forward

    def forward(inputs: Any, layers: Any) -> Any:
        states = original(inputs, layers)
        padding = inputs["attention_mask"] == 0
        return {layer: torch.where(padding[..., None], float("nan"), state) for layer, state in states.items()}

    monkeypatch.setattr(job.model, "forward", forward)
    extract(dirty, job)
    assert content(clean, "embeddings")["embeddings"].equals(content(dirty, "embeddings")["embeddings"])


def test_large_finite_states_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A float32 sum overflows over rows that are finite: that alone is no reason to stop."""
    job = text_job(tmp_path, (1,))
    original = job.model.forward
    monkeypatch.setattr(
        job.model, "forward", lambda inputs, layers: {k: v * 0 + 1e37 for k, v in original(inputs, layers).items()}
    )
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, job)
    assert matrix(table(warehouse, "embeddings", unit="token")).min() == np.float32(1e37)


def test_a_score_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = text_job(tmp_path, (1,))
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, job)
    learn(warehouse, Recipe(), **job.keys)
    published = warehouse.state().sequence
    from superact.ingest.scorer import Scorer

    original = Scorer.normalise
    damage = torch.ones(1)

    def normalise(self: Scorer, rows: torch.Tensor) -> torch.Tensor:
        xhat = original(self, rows).clone()
        xhat[-1, 0] = float("nan") * damage[0]
        return xhat

    monkeypatch.setattr(Scorer, "normalise", normalise)
    with pytest.raises(NonFinite, match="score is NaN or infinite at layer 1, sample 23"):
        score(warehouse)
    assert warehouse.state().sequence == published
