"""Training a sparse autoencoder: it finds structure, is seeded, learns from train rows alone, and says how well it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import write_folder
from tiny import table

from superact.concepts.sae import Sae, load_sae
from superact.concepts.sae import train as train_module
from superact.concepts.sae.train import Recipe, fit
from superact.errors import BadInput, MissingTable
from superact.ingest.encode import encode
from superact.ingest.import_folder import import_folder
from superact.ingest.train_sae import check_place, save, train_sae
from superact.store import Warehouse

WIDTH, DIRECTIONS = 16, 24
WHERE = {"dataset": "toys", "model": "tiny", "layer": 1}


def sparse_rows(n: int = 2000, seed: int = 0, active: int = 2) -> np.ndarray:
    """Rows that are sums of a few of some directions, far from the origin."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(DIRECTIONS, WIDTH))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    acts = np.zeros((n, DIRECTIONS))
    for row in acts:
        row[rng.choice(DIRECTIONS, active, replace=False)] = rng.uniform(1, 3, size=active)
    return (50 * (acts @ directions) + 1000).astype(np.float32)


def trained(rows: np.ndarray, **options: Any) -> Sae:
    settings = {"features": 48, "k": 4, "epochs": 30, "batch": 100, **options}
    return fit(rows, Recipe(**settings), name="a", source="here")


def explained(sae: Sae, rows: np.ndarray) -> float:
    x = torch.from_numpy(rows)
    error = (x - sae.decode(sae.encode(x))).square().sum()
    return 1 - float(error / (x - x.mean(dim=0)).square().sum())


@pytest.mark.parametrize(("kind", "options"), [("topk", {}), ("l1", {"l1": 0.1, "lr": 5e-3})])
def test_it_explains_sparse_rows(kind: str, options: dict[str, Any]) -> None:
    sae = trained(sparse_rows(), kind=kind, **options)
    assert (sae.kind, sae.k) == (("topk", 4) if kind == "topk" else ("standard", None))
    assert explained(sae, sparse_rows()) > 0.85 and explained(sae, sparse_rows(500, seed=1)) > 0.85
    acts = sae.encode(torch.from_numpy(sparse_rows(500, seed=1)))
    assert 1 < (acts > 0).sum(dim=1).float().mean() < 16
    assert ((acts > 0).sum(dim=0) == 0).float().mean() < 0.3
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(48))
    assert all(tensor.dtype == torch.float32 and not tensor.requires_grad for tensor in sae.tensors.values())


def test_a_larger_penalty_makes_fewer_active() -> None:
    rows = sparse_rows(500)
    few, many = (
        float((trained(rows, kind="l1", l1=l1, lr=5e-3).encode(torch.from_numpy(rows)) > 0).sum()) for l1 in (0.5, 0.01)
    )
    assert few < many / 2


def test_the_same_seed_gives_the_same_weights() -> None:
    rows = sparse_rows(400)
    one, same, other = trained(rows, epochs=3), trained(rows, epochs=3), trained(rows, epochs=3, seed=1)
    assert one.digest == same.digest != other.digest


def test_scale_and_place_of_the_rows_are_folded_into_the_weights() -> None:
    rows = sparse_rows(400)
    one, other = trained(rows, epochs=3), trained(8 * rows, epochs=3)
    np.testing.assert_allclose(other.W_dec, one.W_dec, atol=1e-3)
    np.testing.assert_allclose(other.b_dec, 8 * one.b_dec, rtol=1e-4)
    acts, eight = one.encode(torch.from_numpy(rows)), other.encode(torch.from_numpy(8 * rows))
    np.testing.assert_allclose(eight, 8 * acts, rtol=1e-2, atol=1)


def test_dead_features_begin_again() -> None:
    """Features that no row makes active come back as directions in which rows are missed; the others stay."""
    rows = sparse_rows(600)
    recipe = Recipe(kind="l1", features=48, epochs=20, batch=100).resolved(*rows.shape)
    mean, scale = train_module._place(rows)
    trainer = train_module._Trainer(rows, mean, scale, recipe, "cpu")
    trainer.step(0)
    with torch.no_grad():
        trainer._b_enc[:40] = -1e3
        trainer._idle[:40] = 10**6
        before = trainer._w_dec.clone()
        trainer._resample()
    assert torch.equal(trainer._w_dec[40:], before[40:]) and not (trainer._w_dec[:40] == before[:40]).all(dim=1).any()
    assert (trainer._b_enc[:40] == 0).all() and (trainer._idle[:40] == 0).all()
    torch.testing.assert_close(trainer._w_dec.norm(dim=1), torch.ones(48))
    directions = torch.nn.functional.normalize(trainer._w_enc[:, :40], dim=0)
    torch.testing.assert_close(directions, trainer._w_dec[:40].T.contiguous())
    for weights in (trainer._w_dec, trainer._b_enc):
        assert (trainer._adam.state[weights]["exp_avg_sq"][:40] == 0).all()
        assert (trainer._adam.state[weights]["exp_avg_sq"][40:] > 0).any()


def test_dead_features_of_topk_learn_from_what_is_missed() -> None:
    """A feature that is never among the largest gets no gradient but that of the auxiliary loss, once it counts as dead."""
    rows = sparse_rows(600)
    recipe = Recipe(features=48, k=1, epochs=20, batch=100).resolved(*rows.shape)
    mean, scale = train_module._place(rows)
    moved = []
    for idle in (0, 600):
        trainer = train_module._Trainer(rows, mean, scale, recipe, "cpu")
        with torch.no_grad():
            trainer._w_enc[:, :10] *= 1e-3  # above 0, and never the largest
            trainer._idle[:10] = idle
            before = trainer._w_dec.clone()
        trainer.step(0)
        moved.append(((trainer._w_dec[:10] - before[:10]).abs().sum(dim=1) > 1e-7).tolist())
    assert moved == [[False] * 10, [True] * 10]


def test_defaults_follow_the_rows() -> None:
    recipe = Recipe().resolved(65_024, 384)
    assert (recipe.features, recipe.epochs, recipe.batch) == (1536, 12, 512)
    recipe = Recipe(k=3).resolved(10, 4)
    assert (recipe.features, recipe.epochs, recipe.batch) == (16, 1500, 10)
    assert Recipe(features=5, k=2, epochs=7, batch=3).resolved(100, 4) == Recipe(features=5, k=2, epochs=7, batch=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "gated"}, "--kind 'gated' is unknown"),
        ({"features": 0}, "--features is 0"),
        ({"k": 0}, "--k is 0"),
        ({"epochs": -1}, "--epochs is -1"),
        ({"batch": 0}, "--batch is 0"),
        ({"lr": 0.0}, "--lr is 0.0"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"l1": -1.0}, "--l1 is -1.0"),
        ({"features": 8, "k": 9}, "--k 9 of 8 features"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        trained(sparse_rows(20), **options)


def test_rows_that_cannot_be_trained_on() -> None:
    for rows, message in (
        (np.ones((1, 4), np.float32), "There are 1 train rows"),
        (np.ones((9, 4), np.float32), "are all one"),
        (np.array([[1.0, np.nan], [0.0, 1.0]], np.float32), "are not finite"),
    ):
        with pytest.raises(BadInput, match=message):
            trained(rows, k=2, features=4)


def test_it_shows_how_far_it_is() -> None:
    seen: list[tuple[str, int, int]] = []
    fit(
        sparse_rows(400),
        Recipe(features=8, k=2, epochs=5, batch=100),
        name="a",
        source="a",
        progress=lambda *step: seen.append(step),
    )
    assert seen == [("train the SAE", 0, 20), ("train the SAE", 10, 20)]


# From a warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "wh")
    import_folder(made, write_folder(tmp_path / "folder", samples=30, tokens=6, width=8, sets=()))
    return made


RECIPE = Recipe(features=32, k=4, epochs=20, batch=16)


def test_only_train_rows_are_learned_from(warehouse: Warehouse, tmp_path: Path) -> None:
    sae = train_sae(warehouse, RECIPE, **WHERE).sae
    embeddings = table(warehouse, "embeddings", layer=1, unit="token")
    train = table(warehouse, "samples").filter(split="train")["sample"]
    rows = embeddings.filter(embeddings["sample"].is_in(train.implode())).sort("sample", "token")["embedding"].to_list()
    alone = fit(np.array(rows, dtype=np.float32), RECIPE, name="", source="")
    assert len(rows) == 50 and alone.digest == sae.digest


def test_what_is_saved_says_what_it_was_trained_on(warehouse: Warehouse, tmp_path: Path) -> None:
    found = train_sae(warehouse, RECIPE, **WHERE)
    save(found, tmp_path / "sae")
    sae = load_sae(tmp_path / "sae")
    assert sae.digest == found.sae.digest
    record = json.loads((tmp_path / "sae" / "superact.json").read_text())
    assert {name: record[name] for name in ("dataset", "model", "layer", "unit", "rows")} == {
        **WHERE,
        "unit": "token",
        "rows": 50,
    }
    assert record["recipe"] == {
        "kind": "topk",
        "features": 32,
        "k": 4,
        "l1": 0.1,
        "epochs": 20,
        "batch": 16,
        "lr": 1e-3,
        "seed": 0,
    }
    settings = {name: value for name, value in record["recipe"].items() if name != "seed"}
    where = {"model_name": "tiny", "dataset": "toys", "layer": 1, "unit": "token"}
    assert sae.about == {**where, "seed": 0, "recipe": settings}
    assert record["sae"] == sae.digest
    assert record["embeddings"] == warehouse.state().get("embeddings", **WHERE, unit="token").hash
    encode(warehouse, sae, **WHERE, units=("token",))
    stats = {row["split"]: row for row in table(warehouse, "sae_stats").to_dicts()}
    assert [row["split"] for row in record["stats"]] == ["train", "cal"]
    for row in record["stats"]:
        for name, value in row.items():
            same = stats[row["split"]][name]
            assert value == (pytest.approx(same, rel=1e-9) if isinstance(same, float) else same)
    (own,) = table(warehouse, "concept_sets", concept_set="sae").to_dicts()
    assert own["seed"] == 0 and json.loads(own["hyperparameters"])["dataset"] == "toys"


def test_the_unit_cls_and_what_is_missing(warehouse: Warehouse) -> None:
    found = train_sae(warehouse, Recipe(features=8, k=2, epochs=2), **WHERE, unit="cls")
    assert (found.record["rows"], [row["n"] for row in found.stats]) == (10, [10, 10])
    with pytest.raises(MissingTable, match="sae train needs embeddings of toys tiny 9 token"):
        train_sae(warehouse, RECIPE, **{**WHERE, "layer": 9})


def test_a_place_that_is_taken(warehouse: Warehouse, tmp_path: Path) -> None:
    out = tmp_path / "sae"
    check_place(out, replace=False)
    save(train_sae(warehouse, RECIPE, **WHERE), out)
    with pytest.raises(BadInput, match="holds something already"):
        check_place(out, replace=False)
    check_place(out, replace=True)
    (out / "superact.json").unlink()
    with pytest.raises(BadInput, match="holds something already"):
        check_place(out, replace=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        check_place(tmp_path / "file", replace=True)
