"""Interrupted, extended and repeated ingests: only what is missing is computed, and the rows are those of one straight run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal
from tiny import CountingForward, assert_same_rows, content, save_model, table, text_dataset

import superact.ingest.teach as teach_module
from superact.datasets import open_dataset
from superact.errors import IdentityMismatch
from superact.ingest.extract import EmbeddingWriter, extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe, learn
from superact.ingest.pipeline import Ingested, ingest
from superact.ingest.score import ScoreCollector, score
from superact.ingest.targets import SetWriter
from superact.metrics.evaluate import evaluate
from superact.models import load_model
from superact.schemas import tables
from superact.store import Warehouse
from superact.store.staging import StagedPartition

DESCRIBING = ("datasets", "models", "samples", "labels", "sample_labels", "tokens", "token_labels")
RESULTS = ("layer_stats", "concept_sets", "concepts", "activations")
WHERE = {"dataset": "tiny-text", "model": "model"}


class Stop(Exception):
    """The interruption."""


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superact.ingest.job.FEWEST_ROWS", 20)
    monkeypatch.setattr("superact.ingest.job.SHARD_BYTES", 1)
    monkeypatch.setattr("superact.ingest.targets.shard_tokens", lambda n: 17)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text_dataset(tmp_path / "Tiny-Text")
    save_model(tmp_path / "model", "BertModel")
    return tmp_path


def make_job(root: Path, layers: tuple[int, ...] = (1, 3), **options: Any) -> Job:
    settings = {"token_budget": options.pop("token_budget", 64)}
    model = load_model(root / "model", device="cpu", **options)
    return Job(open_dataset(str(root / "Tiny-Text"), root), model, list(layers), ("token", "cls"), **settings)


def stop_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Let the `call`-th call of a method raise."""
    original, calls = getattr(owner, name), 0

    def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Stop
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, stopping)


def train_shards(job: Job) -> int:
    """Samples of the shards that have a train sample: what a forward pass of learn looks at."""
    return sum(len(shard.samples) for shard in job.shards() if any(sample % 3 == 0 for sample in shard.samples))


def straight(root: Path, mode: str = "keep", job: Job | None = None, recipe: Recipe | None = None) -> Warehouse:
    """One uninterrupted run."""
    warehouse = Warehouse(root / f"straight-{mode}")
    ingest(warehouse, job or make_job(root), recipe or Recipe(), embeddings=mode)
    return warehouse


def assert_close(one: Warehouse, other: Warehouse) -> None:
    """Activations agree to 1e-6, keys exactly."""
    a, b = content(one, "activations")["activations"], content(other, "activations")["activations"]
    keys = ["layer", "concept_set", "unit", "concept", "sample", "token"]
    assert a.height and a.select(keys).equals(b.select(keys))
    for name in ("cosine", "signed_distance"):
        assert (a[name] - b[name]).abs().max() <= 1e-6 * max(1.0, a[name].abs().max())


def test_the_three_modes_agree(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, drop, none = (Warehouse(root / mode) for mode in ("keep", "drop", "none"))
    job = make_job(root)
    counter = CountingForward(monkeypatch, job.model)
    for warehouse, passes in ((keep, 1), (drop, 1), (none, 3)):
        counter.reset()
        ingest(warehouse, job, Recipe(), embeddings=warehouse.root.name)
        # none runs the model again for learn, over the shards with a train sample, and for score.
        assert counter.samples == 24 + (train_shards(job) + 24) * (passes == 3)
    assert_same_rows(keep, drop, *DESCRIBING, *RESULTS)
    # Same batches, so the same hidden states and rows to learn from; scores are products of other shapes: to rounding.
    assert_same_rows(keep, none, *DESCRIBING, "layer_stats", "concept_sets", "concepts")
    assert_close(keep, none)
    assert len(keep.state().select("embeddings")) == 4
    for warehouse in (drop, none):
        assert warehouse.state().select("embeddings") == []
        assert not (warehouse.root / "tables/embeddings").exists()
    ever = {entry["table"] for document in none.state().documents for entry in document["partitions"]}
    assert "embeddings" not in ever
    counter.reset()
    for warehouse in (keep, drop, none):
        before = warehouse.state().sequence
        assert ingest(warehouse, job, Recipe(), embeddings=warehouse.root.name) == Ingested(0, 0, 0)
        assert warehouse.state().sequence == before
    assert counter.passes == 0


def test_a_drop_that_was_interrupted_before_the_drop(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, warehouse = make_job(root), Warehouse(root / "wh")
    with monkeypatch.context() as patch:
        stop_at(patch, Warehouse, "remove", 1)
        with pytest.raises(Stop):
            ingest(warehouse, job, Recipe(), embeddings="drop")
    assert len(warehouse.state().select("embeddings")) == 4
    counter = CountingForward(monkeypatch, job.model)
    assert ingest(warehouse, job, Recipe(), embeddings="drop") == Ingested(0, 0, 0)
    assert (counter.passes, warehouse.state().select("embeddings")) == (0, [])


@pytest.mark.parametrize("shard", [1, 3, 5])
def test_extract_goes_on_after_the_finished_shards(root: Path, monkeypatch: pytest.MonkeyPatch, shard: int) -> None:
    job, warehouse = make_job(root), Warehouse(root / "wh")
    shards = list(job.shards())
    assert len(shards) >= 6
    with monkeypatch.context() as patch:
        original, ended = EmbeddingWriter.end, 0

        def end(self: EmbeddingWriter, current: Any) -> None:
            nonlocal ended
            original(self, current)
            ended += 1
            if ended == shard:
                next(iter(self._parts.values()))._writer.drain()  # what was handed over is on disk
                raise Stop

        patch.setattr(EmbeddingWriter, "end", end)
        with pytest.raises(Stop):
            extract(warehouse, job)
    assert warehouse.state().sequence == 0
    counter = CountingForward(monkeypatch, job.model)
    extract(warehouse, job)
    assert counter.samples == sum(len(left.samples) for left in shards[shard:])
    provenance = warehouse.state().documents[-1]["provenance"]
    assert (provenance["shards"], provenance["shards_skipped"]) == (len(shards) - shard, shard)
    learn(warehouse, Recipe(), **WHERE)
    score(warehouse, **WHERE)
    assert_same_rows(warehouse, straight(root), *DESCRIBING, *RESULTS, "embeddings")


@pytest.mark.parametrize("mode", ["keep", "none"])
def test_learn_goes_on_after_the_finished_sets(root: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    job, warehouse = make_job(root), Warehouse(root / "wh")
    write = StagedPartition.write

    def write_at_once(part: StagedPartition, *args: Any, **kwargs: Any) -> None:
        write(part, *args, **kwargs)
        part._writer.drain()

    with monkeypatch.context() as patch:
        patch.setattr(
            StagedPartition, "write", write_at_once
        )  # else how many sets are staged depends on the writer's pace
        stop_at(patch, teach_module, "fit", 8)  # three labels a set: the third of four sets
        with pytest.raises(Stop):
            ingest(warehouse, job, Recipe(), embeddings=mode)
    fitted: list[str] = []
    original = teach_module.fit
    monkeypatch.setattr(
        teach_module, "fit", lambda *args, **kwargs: (fitted.append(kwargs["concept"]), original(*args, **kwargs))[1]
    )
    ingest(warehouse, job, Recipe(), embeddings=mode)
    assert len(fitted) == 6  # two of four sets
    assert_same_rows(warehouse, straight(root, mode, job), *DESCRIBING, *RESULTS)


@pytest.mark.parametrize("call", [2, 9, 20])
def test_score_goes_on_after_the_finished_files(root: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    job, warehouse = make_job(root), Warehouse(root / "wh")
    extract(warehouse, job)
    learn(warehouse, Recipe(), **WHERE)
    written: list[str] = []
    original = SetWriter._flush

    def flush(self: SetWriter) -> None:
        new = bool(self._blocks)
        original(self)
        if new:
            written.append(str(self._part.partition))
            if len(written) == call:
                self._part._writer.drain()
                raise Stop

    monkeypatch.setattr(SetWriter, "_flush", flush)
    with pytest.raises(Stop):
        score(warehouse, **WHERE)
    score(warehouse, **WHERE)
    expected = straight(root)
    files = sum(len(p.files) for p in expected.state().select("activations"))
    assert len(written) == 2 * files  # those of the two runs together, and those of the straight one
    assert_same_rows(warehouse, expected, "activations")


@pytest.mark.parametrize("units", [("token",), ("cls",), ("token", "cls")])
def test_a_scoring_pass_skips_the_finished_shards(
    root: Path, monkeypatch: pytest.MonkeyPatch, units: tuple[str, ...]
) -> None:
    """Only shards with a row that no finished file holds are run again."""
    whole, warehouse = make_job(root), Warehouse(root / "wh")
    job = Job(whole.dataset, whole.model, [1, 3], units, 64)
    extract(warehouse, job, keep_embeddings=False)
    learn(warehouse, Recipe(), **WHERE, job=job)
    with monkeypatch.context() as patch:
        original, ended = ScoreCollector.end, 0

        def end(self: ScoreCollector, current: Any) -> None:
            nonlocal ended
            original(self, current)
            ended += 1
            if ended == 5:
                next(iter(self._targets.values())).writers[0]._part._writer.drain()
                raise Stop

        patch.setattr(ScoreCollector, "end", end)
        with pytest.raises(Stop):
            score(warehouse, **WHERE, job=job)
    counter = CountingForward(monkeypatch, job.model)
    score(warehouse, **WHERE, job=job)
    expected = 0
    shards = list(job.shards())
    ends = {unit: np.cumsum([len(shard.keys(unit)[0]) for shard in shards]) for unit in units}
    written = {unit: rows[4] // 17 * 17 for unit, rows in ends.items()}
    for number, shard in enumerate(shards):
        expected += len(shard.samples) * any(ends[unit][number] > written[unit] for unit in units)
    assert 0 < counter.samples == expected < 24
    everything = Warehouse(root / "straight")
    ingest(everything, job, Recipe(), embeddings="none")
    assert_same_rows(warehouse, everything, "activations")


CRASHES = [
    ("keep", "embeddings", 9),
    ("keep", "layer_stats", 3),
    ("keep", "tokens", 4),
    ("keep", "concepts", 3),
    ("keep", "activations", 11),
    ("drop", "activations", 30),
    ("none", "activations", 11),
    ("none", "concepts", 6),
]


@pytest.mark.parametrize(("mode", "name", "at"), CRASHES[:1])
def test_a_process_that_is_killed(root: Path, mode: str, name: str, at: int) -> None:
    """One real SIGKILL; the finished files are used, and the rows are those of a straight run."""
    child = Path(__file__).with_name("ingest_child.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(child), str(root), mode, name, str(at)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    warehouse, job = Warehouse(root / "wh"), make_job(root)
    assert list((warehouse.root / "staging").rglob("part-*.parquet"))
    ingest(warehouse, job, Recipe(), embeddings=mode)
    # The killed shards were computed by another process: its sums may differ in the last bits, the rows may not.
    fresh = straight(root, mode, job)
    assert_same_rows(warehouse, fresh, *DESCRIBING, "concept_sets")
    for name, value in (("layer_stats", "mean"), ("embeddings", "embedding"), ("concepts", "vector")):
        a, b = content(warehouse, name)[name], content(fresh, name)[name]
        keys = list(tables()[name].grain)
        assert a.height and a.select(keys).equals(b.select(keys)), name
        assert_frame_equal(a.select(value), b.select(value), check_exact=False, rel_tol=0, abs_tol=1e-4)
    a, b = content(warehouse, "activations")["activations"], content(fresh, "activations")["activations"]
    assert_frame_equal(a, b, check_exact=False, rel_tol=0, abs_tol=1e-4)


@pytest.mark.parametrize(("mode", "name", "at"), CRASHES)
def test_a_write_that_fails_at_any_table(
    root: Path, monkeypatch: pytest.MonkeyPatch, mode: str, name: str, at: int
) -> None:
    """The n-th file of a table is not written: as after a kill, what came before is kept."""
    import superact.store.staging as staging

    job, warehouse = make_job(root), Warehouse(root / "wh")
    with monkeypatch.context() as patch:
        original, written = staging.write_file, 0

        def failing(path: Path, schema: Any, groups: Any) -> Any:
            nonlocal written
            written += schema.name == name
            if written == at:
                raise Stop
            return original(path, schema, groups)

        patch.setattr(staging, "write_file", failing)
        with pytest.raises(Stop):
            ingest(warehouse, job, Recipe(), embeddings=mode)
    ingest(warehouse, job, Recipe(), embeddings=mode)
    expected = straight(root, mode, job)
    assert_same_rows(warehouse, expected, *DESCRIBING, *RESULTS)
    kept = ["embeddings"] if mode == "keep" else []
    assert_same_rows(warehouse, expected, *kept)


@pytest.mark.parametrize("mode", ["keep", "drop", "none"])
def test_layers_that_are_added_later(root: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    job, warehouse = make_job(root, (1,)), Warehouse(root / "wh")
    ingest(warehouse, job, Recipe(), embeddings=mode)
    before = content(warehouse, *RESULTS)
    wider = Job(job.dataset, job.model, [0, 1, 2], job.units, job.token_budget)
    counter = CountingForward(monkeypatch, job.model)
    ingest(warehouse, wider, Recipe(), embeddings=mode)
    assert counter.layers == {0, 2}
    assert counter.samples == 24 + (train_shards(job) + 24) * (mode == "none")
    for name in RESULTS:
        kept = table(warehouse, name, layer=1)
        assert kept.sort(kept.columns[:1]).height == before[name].height
    assert_same_rows(warehouse, straight(root, mode, wider), *DESCRIBING, *RESULTS)


def test_settings_that_change_the_numbers_are_refused(root: Path) -> None:
    warehouse = Warehouse(root / "wh")
    ingest(warehouse, make_job(root), Recipe())
    with pytest.raises(IdentityMismatch, match="model:dtype: float32 -> float16") as caught:
        ingest(warehouse, make_job(root, dtype="float16"), Recipe())
    assert (caught.value.exit_code, "token_budget" in str(caught.value)) == (5, False)
    with pytest.raises(IdentityMismatch, match="token_budget: 64 -> 32"):
        ingest(warehouse, make_job(root, token_budget=32), Recipe())
    with pytest.raises(IdentityMismatch, match="seed: 0 -> 1"):
        learn(warehouse, Recipe(seed=1), **WHERE)
    with pytest.raises(IdentityMismatch, match="max_rows: null -> 4"):
        learn(warehouse, Recipe(("linsep",), max_rows=4), **WHERE)
    (root / "Tiny-Text/paragraphs/5.txt").write_text("the quick fox")
    (root / "Tiny-Text/word_level_x.csv").unlink()
    with pytest.raises(IdentityMismatch, match="sources: "):
        ingest(warehouse, make_job(root), Recipe())


@pytest.mark.parametrize(("old", "new"), [("Tiny-Text", "Tiny Text"), ("model", "Model")])
def test_two_display_names_of_one_slug_are_refused(root: Path, old: str, new: str) -> None:
    warehouse = Warehouse(root / "wh")
    extract(warehouse, make_job(root))
    (root / old).rename(root / new)
    dataset, model = (new, "model") if old == "Tiny-Text" else ("Tiny-Text", new)
    job = Job(open_dataset(dataset, root), load_model(root / model, device="cpu"), [1], ("token",), token_budget=64)
    assert job.keys == WHERE
    with pytest.raises(IdentityMismatch, match=f"; these fields differ: name: {old} -> {new}"):
        extract(warehouse, job)


def test_a_dataset_with_two_models_and_a_model_with_two_datasets(root: Path) -> None:
    text_dataset(root / "Other-Text", seed=1)
    save_model(root / "second", "LlamaForCausalLM")
    warehouse = Warehouse(root / "wh")
    for dataset, model in (("Tiny-Text", "model"), ("Tiny-Text", "second"), ("Other-Text", "model")):
        loaded = load_model(root / model, device="cpu")
        extract(warehouse, Job(open_dataset(dataset, root), loaded, [1], ("token",), token_budget=64))
    assert sorted(table(warehouse, "datasets")["name"]) == ["Other-Text", "Tiny-Text"]
    assert sorted(table(warehouse, "models")["name"]) == ["model", "second"]


def test_splits_that_change_are_refused(root: Path) -> None:
    warehouse = Warehouse(root / "wh")
    ingest(warehouse, make_job(root), Recipe())
    metadata = root / "Tiny-Text/metadata.csv"
    metadata.write_text(metadata.read_text().replace("paragraphs/1.txt,cal", "paragraphs/1.txt,train"))
    with pytest.raises(IdentityMismatch, match="splits: "):
        ingest(warehouse, make_job(root), Recipe())


def test_another_setting_is_refused_while_the_first_is_unfinished(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(root / "wh")
    with monkeypatch.context() as patch:
        stop_at(patch, EmbeddingWriter, "end", 3)
        with pytest.raises(Stop):
            extract(warehouse, make_job(root))
    with pytest.raises(IdentityMismatch, match=r"was begun and not finished .* token_budget: 64 -> 32"):
        extract(warehouse, make_job(root, token_budget=32))
    extract(warehouse, make_job(root, token_budget=32), replace=True)
    other = Warehouse(root / "other")
    extract(other, make_job(root, token_budget=32))
    assert_same_rows(warehouse, other, *DESCRIBING, "layer_stats", "embeddings")


def test_replace_discards_embeddings_of_another_identity(root: Path) -> None:
    """Embeddings that a replacing run does not write anew must not be learned from."""
    warehouse = Warehouse(root / "wh")
    ingest(warehouse, make_job(root), Recipe())
    job = make_job(root, token_budget=16)
    ingest(warehouse, job, Recipe(), embeddings="none", replace=True)
    assert warehouse.state().select("embeddings") == []
    assert_same_rows(warehouse, straight(root, "none", job), *DESCRIBING, *RESULTS)


def add_label(root: Path, values: list[int], name: str = "new") -> None:
    path = root / "Tiny-Text/paragraph_level_x.csv"
    header, *lines = path.read_text().splitlines()
    rows = [f"{line},{value}" for line, value in zip(lines, values, strict=True)]
    path.write_text("\n".join([f"{header},{name}", *rows]) + "\n")


@pytest.mark.parametrize("mode", ["keep", "drop", "none"])
def test_a_label_that_is_added(root: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    warehouse = Warehouse(root / "wh")
    ingest(warehouse, make_job(root), Recipe(), embeddings=mode)
    evaluate(warehouse)
    before = content(warehouse, "concepts", "activations")
    add_label(root, [int(i % 4 < 2) for i in range(24)])
    job = make_job(root)
    counter = CountingForward(monkeypatch, job.model)
    done = ingest(warehouse, job, Recipe(), embeddings=mode)
    assert done.extract and done.learn and done.score
    # Nothing to extract: only what learn and score need of a model.
    assert counter.samples == {"keep": 0, "drop": 24, "none": train_shards(job) + 24}[mode]
    evaluate(warehouse)
    names = table(warehouse, "labels")["label"].to_list()
    assert names == ["animal", "mood", "new", "rare"]
    fresh = straight(root, mode, job)
    assert_same_rows(warehouse, fresh, *DESCRIBING, *RESULTS)
    after = content(warehouse, "concepts", "activations")
    for name, frame in before.items():  # the other labels' rows are what they were
        kept = after[name].filter(after[name]["concept"] != "new")
        # A concept more changes the shape of the matrix product, and with it the last bits of a score.
        assert_frame_equal(kept.select(frame.columns), frame, check_exact=False, rel_tol=0, abs_tol=1e-6)
        assert kept.height == frame.height < after[name].height
    assert "new" in table(warehouse, "selection")["label"].to_list()
    assert ingest(warehouse, job, Recipe(), embeddings=mode) == Ingested(0, 0, 0)


def test_a_label_that_is_added_to_metadata(tmp_path: Path) -> None:
    """The other place where labels stand: a column of metadata.csv."""
    root = text_dataset(tmp_path / "Tiny-Text")
    for name in ("paragraph_level_x.csv", "word_level_x.csv"):
        (root / name).unlink()
    metadata = root / "metadata.csv"
    header, *lines = metadata.read_text().splitlines()
    save_model(tmp_path / "model", "BertModel")
    warehouse = Warehouse(tmp_path / "wh")
    for columns in (("odd",), ("odd", "late")):
        flags = [[i % 2, int(i > 11)][: len(columns)] for i in range(24)]
        rows = [",".join([line, *map(str, values)]) for line, values in zip(lines, flags, strict=True)]
        metadata.write_text("\n".join([",".join([header, *columns]), *rows]) + "\n")
        job = make_job(tmp_path)
        ingest(warehouse, job, Recipe())
    digest = table(warehouse, "datasets")["digest"].item()
    assert digest == job.dataset.digest()
    assert_same_rows(warehouse, straight(tmp_path, "keep", job), *DESCRIBING[:-1], *RESULTS)


def test_a_label_that_changes_is_refused(root: Path) -> None:
    warehouse = Warehouse(root / "wh")
    ingest(warehouse, make_job(root), Recipe())
    paragraph = root / "Tiny-Text/paragraph_level_x.csv"
    text = paragraph.read_text()
    paragraph.write_text(text.replace("\n3,1,x,0,1,", "\n3,1,x,0,0,").replace("\n3,1,x,1,1,", "\n3,1,x,1,0,"))
    assert paragraph.read_text() != text
    with pytest.raises(IdentityMismatch, match=r"sample_labels .* label:mood: "):
        ingest(warehouse, make_job(root), Recipe())
    paragraph.write_text(text)
    # A word file that is gone, or is new, changes where a label comes from, and so its token labels and concepts.
    words = (root / "Tiny-Text/word_level_x.csv").read_text()
    (root / "Tiny-Text/word_level_x.csv").unlink()
    with pytest.raises(IdentityMismatch, match="label:animal: word file -> metadata"):
        ingest(warehouse, make_job(root), Recipe())
    # Other words for the same label: its token labels changed, its samples did not.
    lines = words.splitlines()
    flagged = next(i for i, line in enumerate(lines) if line.endswith(",1"))
    lines[flagged] = lines[flagged][:-1] + "0"
    (root / "Tiny-Text/word_level_x.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(IdentityMismatch, match=r"token_labels .* label:animal: "):
        ingest(warehouse, make_job(root), Recipe())
    ingest(warehouse, make_job(root), Recipe(), replace=True)
    assert_same_rows(warehouse, straight(root), *DESCRIBING, *RESULTS, "embeddings")


def test_a_label_that_is_removed_is_refused(root: Path) -> None:
    warehouse = Warehouse(root / "wh")
    add_label(root, [int(i % 4 < 2) for i in range(24)])
    ingest(warehouse, make_job(root), Recipe())
    path = root / "Tiny-Text/paragraph_level_x.csv"
    path.write_text("\n".join(line.rpartition(",")[0] for line in path.read_text().splitlines()) + "\n")
    with pytest.raises(IdentityMismatch, match=r"label:new: .* -> \(absent\)"):
        ingest(warehouse, make_job(root), Recipe())


def test_the_device_and_the_threads_are_not_in_the_identity(root: Path) -> None:
    job = make_job(root)
    identity = job.stats_identity(1, "token")
    assert not any("device" in name or "thread" in name for name in identity)
    assert not any(str(torch.__version__) in str(value) for value in identity.values())
