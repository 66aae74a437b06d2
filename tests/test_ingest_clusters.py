"""Clusters through ingest: learned from train rows alone, left to eval by default, and dropped where they are empty."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sklearn
from folders import write_folder
from tiny import CountingForward, assert_same_rows, content, matrix, save_model, table, text_dataset
from typer.testing import CliRunner

import superact.ingest.teach as teach_module
from superact.cli.main import app
from superact.concepts import cluster, separator_concepts
from superact.datasets import open_dataset
from superact.errors import BadInput, IdentityMismatch, MissingTable
from superact.ingest.estimate import estimate, measure, prices
from superact.ingest.estimate_clusters import clustering_seconds, selected_activations
from superact.ingest.extract import extract
from superact.ingest.import_folder import import_folder
from superact.ingest.job import Job
from superact.ingest.learn import Dropped, Recipe, dropped_clusters, learn
from superact.ingest.pipeline import Ingested, ingest
from superact.ingest.score import score, unscored
from superact.ingest.targets import left_to_eval
from superact.metrics.evaluate import evaluate
from superact.models import load_model
from superact.store import Warehouse
from superact.store.staging import StagedPartition

WHERE = {"dataset": "tiny-text", "model": "model"}
BOTH = ("kmeans", "kmeans-linsep")
RECIPE = Recipe(BOTH, clusters=6, cls_clusters=3)
LEARNED = ("concept_sets", "concepts")


class Stop(Exception):
    """The interruption."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text_dataset(tmp_path / "Tiny-Text")
    save_model(tmp_path / "model", "BertModel")
    return tmp_path


def make_job(root: Path, layers: tuple[int, ...] = (1, 3)) -> Job:
    model = load_model(root / "model", device="cpu")
    return Job(open_dataset(str(root / "Tiny-Text"), root), model, list(layers), ("token", "cls"), 64)


def extracted(root: Path, name: str = "wh") -> Warehouse:
    warehouse = Warehouse(root / name)
    extract(warehouse, make_job(root))
    return warehouse


def train_rows(warehouse: Warehouse, layer: int, unit: str) -> np.ndarray:
    """Xhat of the train rows, float32, in (sample, token) order."""
    rows = table(warehouse, "embeddings", layer=layer, unit=unit).filter(pl.col("sample") % 3 == 0)
    stats = table(warehouse, "layer_stats", layer=layer, unit=unit)
    return (matrix(rows) - np.array(stats["mean"][0], np.float32)) / np.float32(stats["rms"][0])


def superact(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def add_label(root: Path) -> None:
    """A further label in the paragraph file."""
    path = root / "Tiny-Text/paragraph_level_x.csv"
    header, *lines = path.read_text().splitlines()
    rows = [f"{line},{int(i % 4 < 2)}" for i, line in enumerate(lines)]
    path.write_text("\n".join([f"{header},new", *rows]) + "\n")


def test_both_methods_learn_from_the_train_rows(root: Path) -> None:
    warehouse = Warehouse(root / "wh")
    done = ingest(warehouse, make_job(root), RECIPE)
    assert done.learn and not done.score
    for layer in (1, 3):
        for unit, k in (("token", 6), ("cls", 3)):
            rows = train_rows(warehouse, layer, unit)
            expected = cluster(rows, k, seed=0)
            where = {"layer": layer, "unit": unit}
            centres = table(warehouse, "concepts", concept_set="kmeans", **where)
            assert centres["concept"].to_list() == expected.names
            assert np.array_equal(matrix(centres, "vector"), expected.centres)
            assert centres["n_positive"].to_list() == np.bincount(expected.assignment).tolist()
            assert centres["n_positive"].sum() == len(rows)
            found = table(warehouse, "concepts", concept_set="kmeans-linsep", **where)
            separators = separator_concepts(rows, expected, seed=0)
            assert found["concept"].to_list() == expected.names
            assert np.array_equal(matrix(found, "vector"), np.stack([s.vector for s in separators]))
            for name in ("n_positive", "n_negative", "epochs", "train_f1", "seed", "status"):
                assert found[name].to_list() == [getattr(s, name) for s in separators], name
    sets = {
        (row["concept_set"], row["unit"]): row
        for row in table(warehouse, "concept_sets", layer=1).iter_rows(named=True)
    }
    assert len(sets) == 4
    for (method, unit), row in sets.items():
        facts = (row["method"], row["supervised"], row["score"], row["k"], row["seed"])
        measure = {"kmeans": "cosine", "kmeans-linsep": "signed_distance"}[method]
        assert facts == (method, False, measure, {"token": 6, "cls": 3}[unit], 0)
        settings = json.loads(row["hyperparameters"])
        assert settings["init"] == "k-means++"
        assert settings.get("batch_size") == {"kmeans": None, "kmeans-linsep": 256}[method]


def test_the_clusters_are_made_once_for_both_methods(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = teach_module.cluster
    monkeypatch.setattr(teach_module, "cluster", lambda *a, **k: (calls.append(1), original(*a, **k))[1])
    together, alone = extracted(root, "together"), extracted(root, "alone")
    learn(together, RECIPE, **WHERE)
    assert len(calls) == 4  # two layers and units
    for method in BOTH:
        learn(alone, Recipe((method,), clusters=6, cls_clusters=3), **WHERE)
    assert len(calls) == 12
    assert_same_rows(together, alone, *LEARNED)


def test_clusters_do_not_need_a_label(root: Path) -> None:
    """The same vectors where labels are others; and supervised sets beside them are what they are alone."""
    warehouse, other = extracted(root), Warehouse(root / "other")
    recipe = Recipe(("avg", "linsep", *BOTH), clusters=6, cls_clusters=3)
    learn(warehouse, recipe, **WHERE)
    path = root / "Tiny-Text/paragraph_level_x.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(line.rpartition(",")[0] + ",1" for line in lines)]) + "\n")
    extract(other, make_job(root))
    learn(other, recipe, **WHERE)
    for name in BOTH:
        a, b = (table(w, "concepts", concept_set=name) for w in (warehouse, other))
        assert a.height and a.equals(b)
    supervised = Warehouse(root / "supervised")
    extract(supervised, make_job(root))
    learn(supervised, Recipe(), **WHERE)
    for name in ("avg", "linsep"):
        a, b = (table(w, "concepts", concept_set=name) for w in (other, supervised))
        assert a.height and a.equals(b)


@pytest.mark.parametrize("mode", ["keep", "none"])
def test_learning_goes_on_after_the_finished_sets(root: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Stopped between the two methods of a lesson: the finished set stays, with its count of empty clusters."""
    recipe = Recipe(BOTH, clusters=1000, cls_clusters=50)  # far more than there are train rows
    job, warehouse, straight = make_job(root), Warehouse(root / "wh"), Warehouse(root / "straight")
    with monkeypatch.context() as patch:
        separate, write, parts = teach_module.separator_concepts, StagedPartition.write, []

        def writing(self: StagedPartition, *args: Any, **kwargs: Any) -> None:
            parts.append(self)
            write(self, *args, **kwargs)

        def stopping(*args: Any, **kwargs: Any) -> Any:
            if sum(part.partition.table == "concepts" for part in parts) == 3:
                parts[-1]._writer.drain()  # what was handed over is on disk
                raise Stop
            return separate(*args, **kwargs)

        patch.setattr(StagedPartition, "write", writing)
        patch.setattr(teach_module, "separator_concepts", stopping)
        with pytest.raises(Stop):
            ingest(warehouse, job, recipe, embeddings=mode, keep="all")
    assert warehouse.state().select("concepts") == []
    staged = sorted(path.parent.parent.name for path in (warehouse.root / "staging/tables/concepts").rglob("part-*"))
    assert staged == ["concept_set=kmeans", "concept_set=kmeans", "concept_set=kmeans-linsep"]
    with monkeypatch.context() as patch:
        clustered: list[int] = []
        original = teach_module.cluster
        patch.setattr(teach_module, "cluster", lambda rows, *a, **k: (clustered.append(1), original(rows, *a, **k))[1])
        ingest(warehouse, job, recipe, embeddings=mode, keep="all")
    assert len(clustered) == 3  # of the four lessons, one was done; of another, the clusters are made again
    ingest(straight, job, recipe, embeddings=mode, keep="all")
    assert_same_rows(warehouse, straight, *LEARNED, "activations")
    for published in warehouse.state().select("concepts"):
        asked = recipe.k(str(dict(published.partition.keys)["unit"]))
        assert published.meta["n_empty"] == asked - published.rows > 0
        assert published.meta == straight.state().partitions[published.partition].meta


def test_a_process_that_is_killed_while_it_writes_clusters(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SIGKILL before the third file of concepts; the rows are then those of a straight run, to rounding."""
    monkeypatch.setattr("superact.ingest.job.FEWEST_ROWS", 20)  # as the child has it
    monkeypatch.setattr("superact.ingest.job.SHARD_BYTES", 1)
    child = Path(__file__).with_name("ingest_child.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(child), str(root), "keep", "concepts", "3", ",".join(BOTH)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    warehouse, straight = Warehouse(root / "wh"), Warehouse(root / "straight")
    assert warehouse.state().select("concepts") == []
    assert len(list((warehouse.root / "staging/tables/concepts").rglob("part-*.parquet"))) >= 2
    for each in (warehouse, straight):
        ingest(each, make_job(root), RECIPE)
    a, b = (content(w, "concepts")["concepts"] for w in (warehouse, straight))
    keys = ["layer", "concept_set", "unit", "concept", "n_positive"]
    assert a.height and a.select(keys).equals(b.select(keys))
    assert np.abs(matrix(a, "vector") - matrix(b, "vector")).max() < 1e-4


def test_another_seed_or_k_is_refused_and_can_replace(root: Path) -> None:
    warehouse, fresh = extracted(root), extracted(root, "fresh")
    learn(warehouse, RECIPE, **WHERE)
    assert learn(warehouse, RECIPE, **WHERE) == 0
    with pytest.raises(IdentityMismatch, match=r"concept_set=kmeans .*these fields differ: seed: 0 -> 1\."):
        learn(warehouse, Recipe(BOTH, seed=1, clusters=6, cls_clusters=3), **WHERE)
    with pytest.raises(IdentityMismatch, match=r"unit=token .*these fields differ: k: 6 -> 7\."):
        learn(warehouse, Recipe(BOTH, clusters=7, cls_clusters=3), **WHERE)
    with pytest.raises(IdentityMismatch, match=r"unit=cls .*these fields differ: k: 3 -> 4\."):
        learn(warehouse, Recipe(BOTH, clusters=6, cls_clusters=4), **WHERE)
    with pytest.raises(IdentityMismatch, match=r"kmeans-linsep .*these fields differ: max_rows: null -> 8\."):
        learn(warehouse, Recipe(BOTH, clusters=6, cls_clusters=3, max_rows=8), **WHERE)
    before = table(warehouse, "concepts")
    other = Recipe(BOTH, seed=1, clusters=7, cls_clusters=3)
    learn(warehouse, other, **WHERE, replace=True)
    learn(fresh, other, **WHERE)
    assert_same_rows(warehouse, fresh, *LEARNED)
    assert not table(warehouse, "concepts").equals(before)
    # Beside the others, under a name of its own; each unit has its own k.
    learn(warehouse, Recipe(("kmeans",), clusters=2, cls_clusters=2, suffix="k2"), **WHERE)
    assert table(warehouse, "concept_sets", concept_set="kmeans-k2")["k"].to_list() == [2] * 4


def test_the_k_of_another_unit_is_not_in_the_identity(root: Path) -> None:
    warehouse = extracted(root)
    learn(warehouse, RECIPE, **WHERE, units=("token",))
    assert learn(warehouse, Recipe(BOTH, clusters=6, cls_clusters=44), **WHERE, units=("token",)) == 0


@pytest.mark.parametrize("mode", ["keep", "drop"])
def test_a_label_that_is_added_leaves_clusters_current(root: Path, mode: str) -> None:
    warehouse = Warehouse(root / "wh")
    recipe = Recipe(("avg", *BOTH), clusters=6, cls_clusters=3)
    ingest(warehouse, make_job(root), recipe, embeddings=mode, keep="all")
    tables = (*LEARNED, "activations")

    def clustered() -> dict[str, tuple[str, str]]:
        state = warehouse.state()
        found = [p for name in tables for p in state.select(name, concept_set=list(BOTH))]
        return {str(p.partition): (p.run, p.hash) for p in found}

    before = clustered()
    assert len(before) == 3 * 2 * 2 * 2  # tables, methods, layers, units
    add_label(root)
    job = make_job(root)
    done = ingest(warehouse, job, recipe, embeddings=mode, keep="all")
    assert done.extract and done.learn and done.score
    assert clustered() == before
    assert "new" in table(warehouse, "concepts", concept_set="avg")["concept"].to_list()
    assert ingest(warehouse, job, recipe, embeddings=mode, keep="all") == Ingested(0, 0, 0)


def test_the_identity_names_no_label(root: Path) -> None:
    warehouse = extracted(root)
    learn(warehouse, RECIPE, **WHERE)
    every = {"step", "step_version", "schema_version", "method", "seed", "input:layer_stats", "train_rows"}
    clustering = {"k", "init", "kmeans_batch_size", "kmeans_max_epochs", "kmeans_patience"}
    separator = {"batch_size", "max_epochs", "learning_rate", "weight_decay", "stop_f1", "max_rows"}
    published = warehouse.state().select("concepts")
    for partition in published:
        more = separator if partition.identity["method"] == "kmeans-linsep" else set()
        assert set(partition.identity) == every | clustering | more
    units = {(dict(p.partition.keys)["unit"], p.identity["train_rows"]) for p in published}
    assert len(units) == 2  # the same rows at every layer, others for every unit
    assert warehouse.state().documents[-1]["provenance"]["scikit-learn"] == sklearn.__version__


def test_rows_in_a_mapped_file_give_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouses = [Warehouse(root / name) for name in ("memory", "disk")]
    seen = set()
    original = teach_module.cluster
    monkeypatch.setattr(
        teach_module, "cluster", lambda rows, *a, **k: (seen.add(type(rows)), original(rows, *a, **k))[1]
    )
    for warehouse, limit in zip(warehouses, (1 << 30, 100), strict=True):
        monkeypatch.setattr("superact.store.scratch.IN_MEMORY", limit)
        for mode in ("keep", "none"):
            suffix = "m-" + mode
            recipe = Recipe(BOTH, clusters=6, cls_clusters=3, suffix=suffix)
            ingest(warehouse, make_job(root), recipe, embeddings=mode, keep="all")
    assert seen == {np.ndarray, np.memmap}
    assert_same_rows(*warehouses, *LEARNED, "activations")
    keep, none = (
        matrix(table(warehouses[0], "concepts", concept_set=[f"{m}-m-{mode}" for m in BOTH]), "vector")
        for mode in ("keep", "none")
    )
    assert np.array_equal(keep, none)


def test_score_leaves_them_out_unless_all_is_kept(root: Path) -> None:
    warehouse = extracted(root)
    learn(warehouse, RECIPE, **WHERE)
    sequence = warehouse.state().sequence
    assert score(warehouse, **WHERE) == 0
    assert unscored(warehouse, **WHERE) == set()
    assert warehouse.state().sequence == sequence
    assert left_to_eval(warehouse, **WHERE) == list(BOTH)
    assert left_to_eval(warehouse, "all", **WHERE) == []
    assert unscored(warehouse, keep="all", **WHERE) == {(layer, unit) for layer in (1, 3) for unit in ("token", "cls")}
    learn(warehouse, Recipe(("avg",)), **WHERE)
    assert score(warehouse, **WHERE) > 0
    assert table(warehouse, "activations")["concept_set"].unique().to_list() == ["avg"]
    rows = score(warehouse, keep="all", **WHERE)
    assert (score(warehouse, keep="all", **WHERE), unscored(warehouse, keep="all", **WHERE)) == (0, set())
    expected = 0
    for published in warehouse.state().select("concepts", concept_set=list(BOTH)):
        keys = dict(published.partition.keys)
        where = {"layer": keys["layer"], "unit": keys["unit"]}
        concepts = table(warehouse, "concepts", concept_set=keys["concept_set"], **where)
        found = table(warehouse, "activations", concept_set=keys["concept_set"], **where)
        embeddings = table(warehouse, "embeddings", **where)
        stored = found.group_by("concept", maintain_order=True).agg(pl.struct("sample", "token"))
        assert stored["concept"].to_list() == concepts["concept"].to_list()
        assert all(rows.to_list() == embeddings.select("sample", "token").rows(named=True) for rows in stored["sample"])
        expected += found.height
    assert rows == expected > 0
    # Those that are there already stay when the next run leaves them out, and replaces the others.
    score(warehouse, replace=True, **WHERE)
    assert len(warehouse.state().select("activations", concept_set=list(BOTH))) == 8
    with pytest.raises(BadInput, match=r"--keep 'some' is unknown\. Choose selected or all\."):
        score(warehouse, keep="some")
    with pytest.raises(MissingTable, match="score needs concepts of concept_set sae"):
        score(warehouse, concept_set="sae")


def test_eval_scores_what_is_left_to_it_and_all_can_be_kept_later(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(root / "cache"))
    warehouse, job = Warehouse(root / "wh"), make_job(root)
    ingest(warehouse, job, RECIPE)

    def choices() -> pl.DataFrame:
        keys = ["layer", "concept_set", "unit", "detector", "label"]
        return table(warehouse, "selection").select(*keys, "concept", "delta", "f1_cal").sort(keys)

    evaluate(warehouse)
    selected = choices()
    assert selected["concept"].drop_nulls().len() > 0
    derived = table(warehouse, "activations").height
    assert ingest(warehouse, job, RECIPE) == Ingested(0, 0, 0)
    everything = score(warehouse, keep="all", **WHERE)
    assert table(warehouse, "activations").height == everything > derived > 0
    evaluate(warehouse)
    assert choices().equals(selected)
    assert (score(warehouse, keep="all", **WHERE), evaluate(warehouse)) == (0, {})


def test_a_run_that_is_repeated_has_nothing_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(("avg", *BOTH), clusters=6, cls_clusters=3)
    for embeddings, keep in (("keep", "selected"), ("keep", "all"), ("drop", "all"), ("none", "all")):
        warehouse = Warehouse(root / f"{embeddings}-{keep}")
        ingest(warehouse, make_job(root), recipe, embeddings=embeddings, keep=keep)
        job = make_job(root)
        counter = CountingForward(monkeypatch, job.model)
        assert ingest(warehouse, job, recipe, embeddings=embeddings, keep=keep) == Ingested(0, 0, 0)
        assert counter.passes == 0
    names = ("keep-all", "drop-all")
    assert_same_rows(*(Warehouse(root / name) for name in names), *LEARNED, "activations")


@pytest.mark.parametrize("embeddings", ["drop", "none"])
def test_clusters_need_the_embeddings_or_all_scores(
    root: Path, monkeypatch: pytest.MonkeyPatch, embeddings: str
) -> None:
    job = make_job(root)
    counter = CountingForward(monkeypatch, job.model)
    match = rf"kmeans and kmeans-linsep cannot be scored with --embeddings {embeddings}: .* Use --embeddings keep, or "
    with pytest.raises(BadInput, match=match):
        ingest(Warehouse(root / "wh"), job, Recipe(("avg", *BOTH)), embeddings=embeddings)
    assert counter.passes == 0
    assert not (root / "wh").exists()


def test_imported_sets_say_whether_they_are_supervised(tmp_path: Path) -> None:
    names = ("avg", "linsep", "kmeans", "kmeans-linsep", "kmeans.k3", "imported")
    folder = write_folder(tmp_path / "folder", sets=names)
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, folder)
    rows = table(warehouse, "concept_sets").select("concept_set", "supervised").unique().rows()
    assert dict(rows) == {name: not name.startswith("kmeans") for name in names}
    assert left_to_eval(warehouse) == ["kmeans", "kmeans-linsep", "kmeans.k3"]
    assert score(warehouse) > 0
    assert set(table(warehouse, "activations")["concept_set"]) == {"avg", "linsep", "imported"}
    assert score(warehouse, keep="all") > 0
    assert set(table(warehouse, "activations")["concept_set"]) == set(names)


def test_recipes_that_make_no_sense() -> None:
    with pytest.raises(
        BadInput, match=r"'k-means' is not a method\. Choose among avg, linsep, kmeans, kmeans-linsep\."
    ):
        Recipe(("k-means",))
    with pytest.raises(BadInput, match=r"--clusters 0 asks for no cluster"):
        Recipe(clusters=0)
    with pytest.raises(BadInput, match=r"--cls-clusters -1 asks for no cluster"):
        Recipe(cls_clusters=-1)
    defaults = Recipe()
    assert (defaults.k("token"), defaults.k("cls"), defaults.unsupervised) == (1000, 50, [])


def test_the_command_line(root: Path) -> None:
    where = ["--warehouse", root / "wh"]
    model = ["--dataset", root / "Tiny-Text", "--model", root / "model", "--layers", "1", "--device", "cpu"]
    counts = ["--methods", "kmeans,kmeans-linsep", "--clusters", "5", "--cls-clusters", "50"]
    refused = superact("ingest", *model, *where, *counts, "--embeddings", "drop")
    assert refused.exit_code == 3 and "kmeans and kmeans-linsep cannot be scored" in refused.stderr
    assert not (root / "wh").exists()
    done = superact("ingest", *model, *where, *counts)
    assert done.exit_code == 0, done.stderr
    assert "no vector" not in done.stderr
    assert "score: nothing to do" not in done.stderr
    assert "kmeans: dropped clusters that no train row is nearest to: " in done.stderr
    warehouse = Warehouse(root / "wh")
    recipe = Recipe(BOTH, clusters=5, cls_clusters=50)
    (first, *rest) = dropped_clusters(warehouse, recipe, **WHERE, unit="cls")
    assert [entry.concept_set for entry in (first, *rest)] == ["kmeans", "kmeans-linsep"]
    kept = table(warehouse, "concepts", concept_set="kmeans", unit="cls").height
    assert first == Dropped("kmeans", 1, "cls", 50 - kept, 50)
    assert f"{50 - kept} of 50 at layer 1 cls" in done.stderr
    left = "kmeans, kmeans-linsep are scored by `superact eval`; --keep all stores every activation"
    assert left in done.stderr
    again = superact("learn", *where, *counts)
    assert again.exit_code == 0 and "learn: nothing to do" in again.stderr
    assert f"{50 - kept} of 50 at layer 1 cls" in again.stderr
    nothing = superact("score", *where)
    assert nothing.exit_code == 0 and "nothing to do: every other score is there already" in nothing.stderr
    assert left in nothing.stderr
    everything = superact("score", *where, "--keep", "all")
    assert "scored " in everything.stderr and left not in everything.stderr
    wrong = superact("score", *where, "--keep", "none")
    assert wrong.exit_code == 3 and "--keep 'none' is unknown" in wrong.stderr
    assert superact("learn", *where, "--clusters", "0").exit_code == 2
    supervised = superact("learn", *where, "--methods", "avg")
    assert "avg: no vector for 1 of 3 labels, for want of train rows" in supervised.stderr
    single = superact("score", *where, "--concept-set", "kmeans", "--quiet")
    assert (single.exit_code, single.stderr) == (0, "")


def test_the_estimate(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(root / "cache"))
    recipe = Recipe(("avg", *BOTH), clusters=12, cls_clusters=3)
    job = make_job(root)
    probe = measure(job, recipe)
    for keep in ("selected", "all"):
        warehouse = Warehouse(root / keep)
        ingest(warehouse, job, recipe, keep=keep)
        assert dropped_clusters(warehouse, recipe) == []  # otherwise the counts below would be upper bounds
        found = {name: rest for name, *rest in estimate(job, recipe, "keep", probe, keep).iter_rows()}
        for name in (*LEARNED, "activations", "embeddings"):
            real = warehouse.state().select(name)
            assert found[name][0] == sum(p.rows for p in real), name
            assert found[name][2] == sum(len(p.files) for p in real), name
            assert found[name][1] == pytest.approx(sum(p.bytes for p in real), rel=0.25), name
    rows = job.counts.content * min(12, 5 * 3) + job.counts.samples * min(3, 3)
    assert selected_activations(job, recipe, probe)[0] == rows * 2 * 2  # methods, layers
    assert 0 < selected_activations(job, recipe, probe)[1] < rows * 4 * 1000
    assert prices(job, recipe, probe)["embeddings"].to_list() == ["keep"]
    assert prices(job, recipe, probe, "all")["embeddings"].to_list() == ["keep", "drop", "none"]
    assert clustering_seconds(job, recipe) > 0 == clustering_seconds(job, Recipe())
    only = estimate(job, Recipe(BOTH), "keep", probe)
    assert "activations" not in only["table"].to_list()
    with pytest.raises(BadInput, match="cannot be scored with --embeddings none"):
        estimate(job, recipe, "none", probe)
    arguments = ["--dataset", root / "Tiny-Text", "--model", root / "model", "--layers", "1", "--methods", "avg,kmeans"]
    said = superact("ingest", *arguments, "--clusters", "4", "--dry-run", "--device", "cpu")
    assert said.exit_code == 0, said.stderr
    assert "clustering takes at most about" in said.stderr
    assert "`superact eval` scores kmeans: it adds at most " in said.stderr
    assert "--embeddings drop: " not in said.stderr
