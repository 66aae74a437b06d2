"""Comparisons of trained autoencoders: seeds of one recipe are a family, other recipes and unknown ones are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import write_folder
from tiny import table

from superact.concepts.sae import Sae, load_sae
from superact.concepts.sae.train import Recipe
from superact.errors import BadInput, IdentityMismatch
from superact.ingest.encode import encode
from superact.ingest.import_folder import import_folder
from superact.ingest.train_sae import save, train_sae
from superact.metrics.compare import compare
from superact.metrics.evaluate import Protocol, evaluate
from superact.query import Session
from superact.store import Warehouse

WHERE: dict[str, Any] = {"dataset": "toys", "model": "tiny", "layer": 1}
SEEDS = {"sae": {"seed": 0}, "sae-seed1": {"seed": 1}, "sae-seed2": {"seed": 2}}
OTHERS: dict[str, dict[str, Any]] = {"sae-lr": {"seed": 3, "lr": 0.002}, "sae-few": {"seed": 4}}


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Sixty samples, evaluated with autoencoders of three seeds, of another learning rate, and cut to fewer by --top-k.

    A feature is kept that is active in 10 to 25 of the hundred cal tokens.
    """
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    made = Warehouse(tmp_path / "wh")
    import_folder(made, write_folder(tmp_path / "folder", samples=60, tokens=6, width=8, sets=()))
    for name, changes in (SEEDS | OTHERS).items():
        save(train_sae(made, Recipe(features=24, k=4, epochs=3, batch=16, **changes), **WHERE), tmp_path / name)
        top_k = 3 if name == "sae-few" else None
        encode(made, load_sae(tmp_path / name), **WHERE, concept_set=name, top_k=top_k)
    evaluate(made, protocol=Protocol(replicates=10))
    return made


def test_seeds_of_one_recipe_are_a_family(warehouse: Warehouse) -> None:
    assert dict(table(warehouse, "concept_sets", unit="cls").select("concept_set", "seed").iter_rows()) == {
        name: changes["seed"] for name, changes in (SEEDS | OTHERS).items()
    }
    (plain,) = compare(Session(warehouse))
    (found,) = compare(Session(warehouse), seeds=True)
    f1 = {(row["concept_set"], row["detector"]): row["f1"] for row in plain.rows}
    means = {(row["concept_set"], row["detector"]): row for row in found.rows if (row["n_seeds"] or 0) > 1}
    detectors = {row["detector"] for row in plain.rows if row["concept_set"] == "sae"}
    assert means.keys() == {("+".join(SEEDS), detector) for detector in detectors} and len(detectors) == 6
    for (_, detector), row in means.items():
        own = np.array([f1[name, detector] for name in SEEDS])
        assert row["n_seeds"] == 3 and row["method"] == "sae"
        assert row["f1"] == pytest.approx(own.mean(), abs=1e-12)
        assert row["f1_std"] == pytest.approx(own.std(ddof=1), abs=1e-12)
    assert any(row["f1_std"] > 0 for row in means.values())
    assert {row["concept_set"] for row in found.rows if row["n_seeds"] == 1} == {*SEEDS, *OTHERS}


def test_other_recipes_are_none(warehouse: Warehouse) -> None:
    gone = [p for p in warehouse.state().partitions if dict(p.keys).get("concept_set") in ("sae-seed1", "sae-seed2")]
    warehouse.remove(gone, "test")
    with pytest.raises(BadInput, match=r"differ only in their seed.*`superact sae train --seed 1`"):
        compare(Session(warehouse), seeds=True)


def trained(warehouse: Warehouse, folder: Path, *, noted: bool = True, **changes: Any) -> Sae:
    """One that is saved with its recipe, or without, as it was before recipes were noted."""
    save(train_sae(warehouse, Recipe(features=24, k=4, epochs=3, batch=16, **changes), **WHERE), folder)
    if not noted:
        saved = json.loads((folder / "cfg.json").read_text())
        del saved["metadata"]["recipe"]
        (folder / "cfg.json").write_text(json.dumps(saved))
    return load_sae(folder)


def families(warehouse: Warehouse) -> set[str]:
    """The concept sets of the means."""
    evaluate(warehouse, protocol=Protocol(replicates=10))
    (found,) = compare(Session(warehouse), seeds=True)
    return {row["concept_set"] for row in found.rows if (row["n_seeds"] or 0) > 1}


def test_unknown_recipes_are_none_until_they_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of unknown recipes would look alike, though their learning rates differ."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, write_folder(tmp_path / "folder", samples=60, tokens=6, width=8, sets=()))
    known = {"sae": {"noted": False}, "sae-lr": {"noted": False, "seed": 2, "lr": 0.002}, "sae-seed1": {"seed": 1}}
    for name, changes in known.items():
        encode(warehouse, trained(warehouse, tmp_path / name, **changes), **WHERE, concept_set=name)
    with pytest.raises(BadInput, match=r"train those again, and `superact sae encode \.\.\. --replace`"):
        families(warehouse)
    again = trained(warehouse, tmp_path / "again")
    assert again.digest == load_sae(tmp_path / "sae").digest
    with pytest.raises(IdentityMismatch, match=r"concept_sets .*concept_set=sae .*: recipe: \(absent\) -> .*--replace"):
        encode(warehouse, again, **WHERE)
    assert encode(warehouse, load_sae(tmp_path / "sae"), **WHERE) == 0
    assert encode(warehouse, again, **WHERE, replace=True) > 0
    assert encode(warehouse, again, **WHERE) == 0
    assert families(warehouse) == {"sae+sae-seed1"}
