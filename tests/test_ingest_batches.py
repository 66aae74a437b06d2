"""Batches: cut by a token budget, halved when memory runs out, images decoded ahead; products in half precision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tiny import CountingForward, assert_same_rows, content, image_dataset, matrix, save_model, table, text_dataset
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets import open_dataset
from superact.datasets.base import Dataset
from superact.errors import BadInput, IdentityMismatch, NonFinite, NotEnoughMemory, UnreadableFile
from superact.ingest import ahead
from superact.ingest.ahead import ImagesAhead
from superact.ingest.batches import cut, halve, plan_batches
from superact.ingest.extract import EmbeddingWriter, extract
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.ingest.scorer import Scorer
from superact.models import TextModel, TokenizedText, load_model
from superact.models.base import check_autocast, is_out_of_memory
from superact.store import Warehouse

TOKENS = 17
"""Of an image under the tiny model: a CLS token and 4 x 4 patches."""
DESCRIBED = ("samples", "labels", "sample_labels", "tokens", "token_labels")


def make_job(root: Path, kind: str, budget: int, **options: Any) -> Job:
    """18 images, or 24 texts of 3 to 11 tokens."""
    make, name = (image_dataset, "Dinov2Model") if kind == "image" else (text_dataset, "BertModel")
    if not (root / kind).exists():
        make(root / kind)
        save_model(root / name, name)
    model = load_model(root / name, device="cpu", **options)
    return Job(open_dataset(str(root / kind), root), model, [1, 3], ("token", "cls"), budget)


def exhausted(size: int) -> None:
    raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} GiB.")


def exhausted_mps(size: int) -> None:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB).")


def exhausted_cpu(size: int) -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


class Memory:
    """Room for so many padded tokens: a forward pass over more raises; `failed` lists the sizes that did."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, model: Any, room: int, fail: Callable[[int], None] = exhausted
    ) -> None:
        self.room: float = room
        self.failed: list[int] = []
        original = model.forward

        def forward(inputs: Any, layers: Any) -> Any:
            padded = inputs["input_ids"].numel() if isinstance(inputs, dict) else len(inputs) * TOKENS
            if padded > self.room:
                self.failed.append(padded)
                fail(padded)
            return original(inputs, layers)

        monkeypatch.setattr(model, "forward", forward)


def provenance(warehouse: Warehouse, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        run["provenance"] for run in reversed(warehouse.state().documents) if run["stage"] == stage
    )
    return found


def assert_close(one: Warehouse, other: Warehouse, name: str, column: str, limit: float = 1e-5) -> None:
    """The same keys, and values within `limit` of the largest; the identities are the same as well."""
    a, b = content(one, name)[name], content(other, name)[name]
    values = [matrix(x, column) if x[column].dtype == pl.List else x[column].to_numpy() for x in (a, b)]
    rest = [c for c in a.columns if c not in (column, "rms", "cosine", "signed_distance", "vector", "norm", "bias")]
    assert a.height and a.select(rest).equals(b.select(rest))
    assert np.abs(values[0] - values[1]).max() <= limit * np.abs(values[0]).max()
    if name in ("embeddings", "tokens"):
        pairs = zip(one.state().select(name), other.state().select(name), strict=True)
        assert all(p.identity == q.identity for p, q in pairs)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 120))
def test_batches_hold_the_budget(lengths: list[int], budget: int) -> None:
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches = cut(order, lengths, budget)
    assert [index for batch in batches for index in batch] == order
    for number, batch in enumerate(batches):
        longest = lengths[batch[0]]
        assert len(batch) == 1 or len(batch) * longest <= budget
        # None is smaller than it must be.
        assert number == len(batches) - 1 or (len(batch) + 1) * longest > budget


def test_texts_are_sorted_and_images_are_not(tmp_path: Path) -> None:
    job = make_job(tmp_path, "text", 40)
    shard = next(job.shards())
    lengths = [[len(shard.texts[i]) for i in batch] for batch in plan_batches(shard, job)]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True) and all(len(batch) * batch[0] <= 40 for batch in lengths)
    images = make_job(tmp_path, "image", 8 * TOKENS)
    batches = plan_batches(next(images.shards()), images)
    assert batches == [list(range(8)), list(range(8, 16)), [16, 17]]


def test_texts_without_a_token_count_as_one(tmp_path: Path) -> None:
    job = make_job(tmp_path, "text", 4)
    shard = next(job.shards())
    nothing = TokenizedText(*np.zeros((3, 0), np.int32), [], np.zeros(0, bool))
    empty = replace(shard, samples=shard.samples[:10], texts=[nothing] * 10)
    batches = plan_batches(empty, job)
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert halve(empty, job, batches) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]] and job.fitting.budget == 2


@pytest.mark.parametrize("fail", [exhausted, exhausted_mps, exhausted_cpu])
def test_images_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[int], None]) -> None:
    whole, halved = Warehouse(tmp_path / "whole"), Warehouse(tmp_path / "halved")
    extract(whole, make_job(tmp_path, "image", 8 * TOKENS))
    ran = {"batches": 3, "largest_batch": 8, "halvings": 0, "token_budget": 8 * TOKENS}
    assert provenance(whole, "extract").items() >= ran.items()
    job = make_job(tmp_path, "image", 8 * TOKENS)
    memory = Memory(monkeypatch, job.model, 3 * TOKENS, fail)
    extract(halved, job)
    # 8 images do not fit, nor do 4; two do, and no larger batch is tried again.
    assert memory.failed == [8 * TOKENS, 4 * TOKENS]
    ran = {"batches": 9, "largest_batch": 2, "halvings": 2, "token_budget": 2 * TOKENS}
    assert provenance(halved, "extract").items() >= ran.items()
    assert_same_rows(whole, halved, *DESCRIBED)
    assert_close(whole, halved, "embeddings", "embedding")
    assert_close(whole, halved, "layer_stats", "mean")
    # The identity holds what was asked for: there is nothing left to do, and another budget is another identity.
    counted = CountingForward(monkeypatch, job.model)
    assert extract(halved, job) == counted.passes == 0
    with pytest.raises(IdentityMismatch, match=f"token_budget: {8 * TOKENS} -> {2 * TOKENS}"):
        extract(halved, make_job(tmp_path, "image", 2 * TOKENS))


@pytest.mark.parametrize("embeddings", ["keep", "none"])
def test_texts_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embeddings: str) -> None:
    """Over several shards, with every stage that runs the model; the smaller budget is kept from one to the next."""
    monkeypatch.setattr("superact.ingest.job.FEWEST_ROWS", 20)
    monkeypatch.setattr("superact.ingest.job.SHARD_BYTES", 1)
    whole, halved = Warehouse(tmp_path / "whole"), Warehouse(tmp_path / "halved")
    ingest(whole, make_job(tmp_path, "text", 64), Recipe(), embeddings=embeddings)
    job = make_job(tmp_path, "text", 64)
    memory = Memory(monkeypatch, job.model, 25)
    ingest(halved, job, Recipe(), embeddings=embeddings)
    assert memory.failed and job.fitting.budget <= 25 < 64
    extracted = provenance(halved, "extract")
    assert (extracted["halvings"], extracted["token_budget"]) == (len(memory.failed), job.fitting.budget)
    if embeddings == "none":
        for stage in ("learn", "score"):
            (ran,) = provenance(halved, stage)["passes"]
            assert (ran["halvings"], ran["token_budget"]) == (0, job.fitting.budget)
    else:
        assert_close(whole, halved, "embeddings", "embedding")
        assert "passes" not in provenance(halved, "learn")
    assert_same_rows(whole, halved, *DESCRIBED)
    assert_close(whole, halved, "layer_stats", "mean")
    assert content(whole, "concepts")["concepts"]["n_positive"].sum() > 0
    for column in ("cosine", "signed_distance"):
        assert_close(whole, halved, "activations", column, 1e-4)


@pytest.mark.parametrize("owner", [EmbeddingWriter, Scorer])
def test_memory_that_runs_out_in_a_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any) -> None:
    """In the midst of a batch, when some of its rows were taken already: they count once."""
    whole, halved = Warehouse(tmp_path / "whole"), Warehouse(tmp_path / "halved")
    ingest(whole, make_job(tmp_path, "image", 6 * TOKENS), Recipe(), embeddings="none")
    extract(whole, make_job(tmp_path, "image", 6 * TOKENS))
    method = "take" if owner is EmbeddingWriter else "__call__"
    original, calls, failed = getattr(owner, method), 0, []

    def take(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        rows = arguments[-1]
        if calls % 3 == 0 and len(rows) > 48:  # tokens of three images, at the second layer or unit
            failed.append(len(rows))
            exhausted(len(rows))
        return original(self, *arguments)

    monkeypatch.setattr(owner, method, take)
    ingest(halved, make_job(tmp_path, "image", 6 * TOKENS), Recipe(), embeddings="none")
    extract(halved, make_job(tmp_path, "image", 6 * TOKENS))
    ran = provenance(halved, "extract") if owner is EmbeddingWriter else provenance(halved, "score")["passes"][0]
    assert failed and ran["halvings"] > 0
    assert_close(whole, halved, "layer_stats", "mean")
    assert_close(whole, halved, "embeddings", "embedding")
    assert_close(whole, halved, "activations", "cosine", 1e-4)


def test_a_sample_that_does_not_fit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "text", 64)
    tokens = [len(job.tokenize(sample)) for sample in job.samples]
    longest = tokens.index(max(tokens))
    memory = Memory(monkeypatch, job.model, max(tokens) - 1)
    warehouse = Warehouse(tmp_path / "wh")
    match = rf"^Sample {longest} \(paragraphs/{longest}\.txt\) has {max(tokens)} tokens .* does not fit into the memory of cpu"
    with pytest.raises(NotEnoughMemory, match=match) as caught:
        extract(warehouse, job)
    assert caught.value.exit_code == 7 and isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert memory.failed[-1] == max(tokens) and warehouse.state().sequence == 0
    memory.room = float("inf")
    extract(warehouse, job)
    extract(Warehouse(tmp_path / "clean"), make_job(tmp_path, "text", 64))
    assert_close(Warehouse(tmp_path / "clean"), warehouse, "embeddings", "embedding")


def test_other_errors_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(size: int) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    job = make_job(tmp_path, "image", 8 * TOKENS)
    memory = Memory(monkeypatch, job.model, 0, broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        extract(Warehouse(tmp_path / "wh"), job)
    assert memory.failed == [8 * TOKENS] and job.fitting.budget == 8 * TOKENS
    assert not image_threads()


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("anything"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert is_out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")
    )
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))


def image_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("superact-image")]


class Decoded:
    """Which images were decoded, by wrapping `Dataset.image`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.samples: list[int] = []
        original = Dataset.image

        def image(dataset: Dataset, sample: int) -> Any:
            self.samples.append(sample)
            return original(dataset, sample)

        monkeypatch.setattr(Dataset, "image", image)


def expected_pixels(job: Job, samples: list[int]) -> np.ndarray:
    model: Any = job.model
    return np.stack([model.pixels(job.geometry.image(job.dataset.image(s), model.resample)) for s in samples])


def test_images_are_decoded_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "image", 8 * TOKENS)
    decoded = Decoded(monkeypatch)
    Memory(monkeypatch, job.model, 3 * TOKENS)  # what is tried again is not decoded again
    extract(Warehouse(tmp_path / "wh"), job)
    assert decoded.samples == list(range(18))
    assert not image_threads()


@pytest.mark.parametrize("threads", [1, 3])
def test_pixels_are_those_of_the_samples(tmp_path: Path, threads: int) -> None:
    job = make_job(tmp_path, "image", 4 * TOKENS)
    with ImagesAhead(job, threads) as images:
        for first in range(0, 18, 4):
            samples = job.samples[first : first + 4]
            found = images.pixels(samples)
            assert np.array_equal(found.numpy(), expected_pixels(job, samples))
            # A part of the batch, as after a halving.
            assert torch.equal(images.pixels(samples[1:]), found[1:])
    assert not image_threads()


def test_how_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "image", 4 * TOKENS)
    each = 3 * 4 * 56 * 56
    assert ImagesAhead(job).ahead == 8  # two batches
    for room, images in ((5 * each + 7, 5), (1, 1)):
        monkeypatch.setattr(ahead, "LOOK_AHEAD_BYTES", room)
        decoded = Decoded(monkeypatch)
        with ImagesAhead(job, 2) as reader:
            assert reader.ahead == images
            reader.pixels([0, 1, 2, 3])
            for future in list(reader._waiting.values()):
                future.result()
            assert sorted(decoded.samples) == list(range(4 + images))
            reader.pixels([8, 9, 10, 11])
            assert sorted(reader._waiting) == list(range(8, min(12 + images, 18)))  # what was handed out is let go


def test_a_damaged_image_is_named_in_its_turn(tmp_path: Path) -> None:
    job = make_job(tmp_path, "image", 4 * TOKENS)
    for sample in (6, 5, 9):
        path = tmp_path / f"image/images/{sample}.png"
        path.write_bytes(path.read_bytes()[:200])
    with ImagesAhead(job, 3) as images:
        images.pixels([0, 1, 2, 3])
        with pytest.raises(UnreadableFile, match=r"5\.png \(row 5 "):
            images.pixels([4, 5, 6, 7])
        images.pixels([10, 11])  # behind them all reading goes on
    progress: list[int] = []
    with pytest.raises(UnreadableFile, match=r"5\.png \(row 5 "):
        extract(Warehouse(tmp_path / "wh"), job, progress=lambda done, total: progress.append(done))
    assert progress == [4]
    assert not image_threads()


def test_nobody_waits_for_images_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails while images are being decoded: those begun end, the others never begin."""
    job = make_job(tmp_path, "image", 4 * TOKENS)
    begun, go_on = threading.Event(), threading.Event()
    original = Dataset.image
    decoded: list[int] = []

    def image(dataset: Dataset, sample: int) -> Any:
        decoded.append(sample)
        if sample == 4:
            begun.set()
            assert go_on.wait(60)
        return original(dataset, sample)

    def fail(inputs: Any, layers: Any) -> Any:
        assert begun.wait(60)
        raise KeyboardInterrupt

    def shutdown(pool: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        shut(pool, wait=False, cancel_futures=cancel_futures)
        go_on.set()  # not before what was to be cancelled is cancelled
        shut(pool, wait=wait)

    shut = ThreadPoolExecutor.shutdown
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    monkeypatch.setattr(Dataset, "image", image)
    monkeypatch.setattr(job.model, "forward", fail)
    with pytest.raises(KeyboardInterrupt):
        extract(Warehouse(tmp_path / "wh"), job)
    assert not image_threads()
    assert decoded == [0, 1, 2, 3, 4]


CLASSES = ("BertModel", "LlamaForCausalLM", "Dinov2Model")


@pytest.mark.parametrize("class_name", CLASSES)
def test_autocast_equals_plain_autocast(tmp_path: Path, class_name: str) -> None:
    folder = save_model(tmp_path / "model", class_name)
    plain = load_model(folder, device="cpu")
    model = load_model(folder, device="cpu", autocast="bfloat16")
    if isinstance(model, TextModel):
        inputs: Any = model.batch([model.tokenize(text) for text in ("the quick brown fox", "a dog")])
        given = inputs
    else:
        inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 56, 56)).astype(np.float32))
        given = {"pixel_values": inputs}
    network = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted = network(**given, output_hidden_states=True).hidden_states
    states, exact = model.forward(inputs, model.layers), plain.forward(inputs, model.layers)
    for layer in model.layers:
        assert states[layer].dtype == torch.float32
        assert torch.equal(states[layer], wanted[layer].float())
    deepest = model.n_blocks
    away = (states[deepest] - exact[deepest]).abs().max() / exact[deepest].abs().max()
    assert 1e-4 < away < 5e-2
    # Weights and residual stream stay float32: the embeddings of texts are the very same.
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    if isinstance(model, TextModel):
        assert torch.equal(states[0], exact[0])
    assert model.identity == {**plain.identity, "autocast": "bfloat16"}
    assert "autocast" not in plain.identity


def test_autocast_is_in_the_identity(tmp_path: Path) -> None:
    extract(Warehouse(tmp_path / "wh"), make_job(tmp_path, "text", 64, autocast="bfloat16"))
    with pytest.raises(IdentityMismatch, match="model:autocast"):
        extract(Warehouse(tmp_path / "wh"), make_job(tmp_path, "text", 64))


@pytest.mark.parametrize(
    ("autocast", "dtype", "match"),
    [
        ("float8", "float32", "'float8' is not a dtype to compute in"),
        ("bfloat16", "bfloat16", "Weights of bfloat16 leave autocast nothing to do"),
    ],
)
def test_autocast_that_cannot_be(tmp_path: Path, autocast: str, dtype: str, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        load_model(tmp_path, device="cpu", autocast=autocast, dtype=dtype)


@pytest.mark.parametrize("kind", [RuntimeError, UserWarning])
def test_a_device_without_autocast(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    """Some devices raise; others warn and would compute in float32 under another identity."""
    if kind is UserWarning:
        with pytest.raises(BadInput, match="does not compute in float16"):
            monkeypatch.setattr(torch, "autocast", warning)
            check_autocast("float16", "float32", torch.device("cpu"))
        return
    with pytest.raises(BadInput, match="The device meta does not compute in bfloat16"):
        check_autocast("bfloat16", "float32", torch.device("meta"))


def warning(*_: Any) -> None:
    import warnings

    warnings.warn(
        "In CPU autocast, but the target dtype is not supported. Disabling autocast.", UserWarning, stacklevel=1
    )


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"autocast": "float16"}])
def test_an_overflow_names_layer_and_sample(tmp_path: Path, options: dict[str, str]) -> None:
    """The word fox has a component of its own, which block 2 squares to about 3e7: half precision ends at 65504."""
    root = text_dataset(tmp_path / "Tiny-Text", words=False)
    folder = save_model(tmp_path / "model", "LlamaForCausalLM")
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    fox = transformers.AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("fox")
    with torch.no_grad():
        embeddings, blocks = network.model.embed_tokens.weight, network.model.layers
        embeddings[:, 0] = 0
        embeddings[fox, 0] = 1000
        for block in blocks:
            block.self_attn.o_proj.weight[0] = block.mlp.down_proj.weight[0] = 0
        for matrix_in in (blocks[1].mlp.gate_proj, blocks[1].mlp.up_proj):
            matrix_in.weight[:, 0] = 1000
    network.save_pretrained(folder)
    dataset = open_dataset(str(root), tmp_path)
    with_fox = [sample for sample in range(24) if "fox" in dataset.text(sample).split()]
    assert with_fox[0] > 0
    for layers, settings in (([1], options), ([1, 2, 3], {})):
        model = load_model(folder, device="cpu", **settings)
        extract(Warehouse(tmp_path / f"wh-{len(settings)}"), Job(dataset, model, layers))
    job = Job(dataset, load_model(folder, device="cpu", **options), [1, 2, 3])
    with pytest.raises(NonFinite, match="Half precision overflows") as caught:
        extract(Warehouse(tmp_path / "other"), job)
    assert caught.value.fields == {"kind": "hidden state", "layer": 2, "sample": with_fox[0]}


def test_the_command_line(tmp_path: Path) -> None:
    make_job(tmp_path, "text", 64)
    run = ["extract", "--dataset", str(tmp_path / "text"), "--model", str(tmp_path / "BertModel"), "--layers", "1"]
    run += ["--warehouse", str(tmp_path / "wh"), "--device", "cpu", "--quiet"]
    done = CliRunner().invoke(app, [*run, "--autocast", "bfloat16"])
    assert (done.exit_code, done.output) == (0, "")
    (published,) = Warehouse(tmp_path / "wh").state().select("embeddings", unit="token")
    assert published.identity["model:autocast"] == "bfloat16"
    assert table(Warehouse(tmp_path / "wh"), "embeddings")["embedding"].null_count() == 0
    done = CliRunner().invoke(app, [*run, "--autocast", "half"])
    assert done.exit_code == 3 and "'half' is not a dtype to compute in. Use bfloat16 or float16." in done.output
