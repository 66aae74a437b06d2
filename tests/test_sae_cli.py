"""`superact sae`: what is printed, where files go, how it ends; and the real models' embeddings where they are prepared."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest
from folders import tree, write_folder
from tiny import table
from typer.testing import CliRunner, Result

from superact.cli.main import app
from superact.concepts.sae import load_sae
from superact.ingest.import_folder import import_folder
from superact.store import Warehouse

STATS = ["split", "n", "explained_variance", "mse", "l0", "n_features", "n_dead", "dead_share"]
SMALL = ("--features", 24, "--k", 3, "--epochs", 5, "--batch", 16, "--device", "cpu")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sae", *map(str, arguments)])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A warehouse of thirty samples, which the environment names."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SUPERACT_WAREHOUSE", str(tmp_path / "wh"))
    monkeypatch.setenv("COLUMNS", "200")
    import_folder(Warehouse(tmp_path / "wh"), write_folder(tmp_path / "folder", samples=30, tokens=6, width=8, sets=()))
    return tmp_path


def test_train_encode_describe(root: Path) -> None:
    done = run("train", "Toys", "tiny", "--layer", 1, "--out", root / "sae", *SMALL, "--format", "csv")
    assert done.exit_code == 0, done.stderr
    rows = pl.read_csv(io.StringIO(done.stdout))
    assert (rows.columns, rows["split"].to_list(), rows["n"].to_list()) == (STATS, ["train", "cal"], [50, 50])
    assert f"trained 24 features on 50 rows of toys tiny 1 token, 5 epochs; saved in {root / 'sae'}" in done.stderr
    assert sorted(tree(root / "sae")) == ["cfg.json", "sae_weights.safetensors", "superact.json"]

    done = run("encode", "toys", "Tiny", root / "sae", "--layer", 1, "--device", "cpu", "--format", "json")
    assert done.exit_code == 0, done.stderr
    stats = json.loads(done.stdout)
    assert [(row["unit"], row["split"]) for row in stats][:2] == [("cls", "train"), ("cls", "cal")]
    assert list(stats[0]) == ["unit", *STATS] and len(stats) == 8
    stored = Warehouse(root / "wh").state().select("sae_activations")
    assert f"encode: {sum(p.rows for p in stored):,} rows of sae_activations" in done.stderr
    again = run("encode", "toys", "tiny", root / "sae", "--layer", 1, "--device", "cpu", "--format", "json")
    assert "encode: nothing to do, all of it is there" in again.stderr and json.loads(again.stdout) == stats

    done = run("describe", root / "sae", "--format", "csv")
    shown = dict(pl.read_csv(io.StringIO(done.stdout)).iter_rows())
    facts = {"kind": "topk", "d_in": "8", "d_sae": "24", "k": "3", "normalise": "none", "subtract_b_dec": "True"}
    facts |= {"name": "sae", "about.layer": "1", "about.dataset": "toys", "digest": load_sae(root / "sae").digest}
    assert facts.items() <= shown.items()


def test_options_reach_the_stages(root: Path) -> None:
    made = ("--kind", "l1", "--l1", 0.2, "--lr", 0.01, "--seed", 7, "--unit", "cls", "--quiet")
    done = run("train", "toys", "tiny", "--layer", 2, "--out", root / "sae", *SMALL, *made)
    assert (done.exit_code, done.stderr) == (0, "")
    recipe = json.loads((root / "sae" / "superact.json").read_text())["recipe"]
    expected = {"kind": "l1", "features": 24, "k": 3, "l1": 0.2, "epochs": 5, "batch": 10, "lr": 0.01, "seed": 7}
    assert recipe == expected
    where = ("encode", "toys", "tiny", root, "--file", "sae", "--layer", 2, "--device", "cpu", "--quiet")
    done = run(*where, "--concept-set", "sae-l1", "--top-k", 2, "--unit", "cls", "--out", root / "stats.csv")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert pl.read_csv(root / "stats.csv")["l0"].max() <= 2
    (row,) = table(Warehouse(root / "wh"), "concept_sets").to_dicts()
    assert (row["concept_set"], row["unit"], row["seed"], row["k"]) == ("sae-l1", "cls", 7, 24)
    assert json.loads(row["hyperparameters"])["top_k"] == 2


def test_a_set_of_another_autoencoder_needs_another_name_or_replace(root: Path) -> None:
    for seed in (0, 1):
        run("train", "toys", "tiny", "--layer", 1, "--out", root / f"sae{seed}", *SMALL, "--seed", seed)
    assert run("encode", "toys", "tiny", root / "sae0", "--layer", 1, "--device", "cpu").exit_code == 0
    done = run("encode", "toys", "tiny", root / "sae1", "--layer", 1, "--device", "cpu")
    assert done.exit_code == 5 and "concept_set=sae" in done.stderr and "sae: " in done.stderr
    named = run("encode", "toys", "tiny", root / "sae1", "--layer", 1, "--device", "cpu", "--concept-set", "sae.b")
    assert named.exit_code == 0
    assert run("encode", "toys", "tiny", root / "sae1", "--layer", 1, "--device", "cpu", "--replace").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "toys", "tiny", "--layer", 9, "--out", "new"), "sae train needs embeddings of toys tiny 9 token"),
        (("train", "pets", "tiny", "--layer", 1, "--out", "new"), "sae train needs embeddings of pets tiny 1 token"),
        (("train", "toys", "tiny", "--layer", 1, "--out", "folder"), "--out folder is a folder that holds something"),
        (("train", "toys", "tiny", "--layer", 1, "--out", "wh/tables/sae"), "lies in tables/ of the warehouse"),
        (("train", "toys", "tiny", "--layer", 1, "--out", "new", "--kind", "gated"), "--kind 'gated' is unknown"),
        (("train", "toys", "tiny", "--layer", 1, "--out", "new", "--unit", "both"), "--unit 'both' is unknown"),
        (("train", "toys", "tiny", "--layer", 1, "--out", "new", "--lr", "-1"), "--lr is -1.0"),
        (("encode", "toys", "tiny", "nowhere", "--layer", 1), "There is no SAE at nowhere"),
        (("encode", "toys", "tiny", "sae", "--layer", 5), "encode needs embeddings of toys tiny 5 token"),
        (("encode", "toys", "tiny", "sae", "--layer", 1, "--unit", "all"), "--unit 'all' is unknown"),
        (
            ("encode", "toys", "tiny", "sae", "--layer", 1, "--concept-set", "A b"),
            "concept_set 'A b' cannot be a path key",
        ),
        (("describe", "hf://owner/repository"), "hf://owner/repository is no place of a file"),
    ],
)
def test_mistakes_are_named_and_end_with_3(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(root)
    if "sae" in arguments:
        run("train", "toys", "tiny", "--layer", 1, "--out", "sae", *SMALL)
    before = set(tree(root))
    done = run(*arguments)
    assert done.exit_code == 3 and message in done.stderr
    assert {name for name in set(tree(root)) - before if not name.startswith(("wh/staging", "cache"))} == set()


def test_an_autoencoder_is_overwritten_only_when_asked(root: Path) -> None:
    where = ("train", "toys", "tiny", "--layer", 1, "--out", root / "sae", *SMALL)
    assert run(*where).exit_code == 0
    before = tree(root / "sae")
    assert run(*where, "--seed", 1).exit_code == 3 and tree(root / "sae") == before
    assert run(*where, "--seed", 1, "--replace").exit_code == 0 and tree(root / "sae") != before


def test_a_hub_that_cannot_be_reached(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root / "hub"))
    done = run("encode", "toys", "tiny", "owner/saes", "--file", "a/params.npz", "--layer", 1)
    assert done.exit_code == 3 and "The SAE hf://owner/saes/a/params.npz cannot be fetched" in done.stderr
    assert not Warehouse(root / "wh").state().select("sae_activations")
