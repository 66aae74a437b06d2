"""Datasets and models of other packages: the worked example of the page, what plug-ins are held to, and whose a name is."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from PIL import Image
from snippets import fenced, steps
from typer.testing import CliRunner

from superact.cli.main import app
from superact.datasets import Label, list_datasets, open_dataset
from superact.datasets.check import check
from superact.datasets.describe import describe
from superact.errors import BadInput, IdentityMismatch, LayerOutOfRange
from superact.ingest.extract import extract
from superact.ingest.job import Job
from superact.models import TextModel, TokenizedText, VisionModel, load_model
from superact.models.describe import describe as describe_model
from superact.plugins import files_digest
from superact.store import Warehouse

PAGE = Path(__file__).parents[1] / "docs" / "plugins.md"
NAMED_FILE = re.compile(r"`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.M | re.S)

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Writes a package as an installer would; what was imported of it is forgotten afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def write(package: str, points: dict[str, dict[str, str]], version: str = "0.1", **modules: str) -> None:
        info = site / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def serve(install: Install, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs plug-ins that return objects of the test: `dataset=` and `model=`, named toy-data and toy-model."""

    def write(**made: Any) -> None:
        home = SimpleNamespace(
            dataset=lambda data_root: made["dataset"], model=made.get("make") or (lambda device, dtype: made["model"])
        )
        monkeypatch.setitem(sys.modules, "served", home)  # type: ignore[arg-type]
        points = {"superact.datasets": {"toy-data": "served:dataset"}, "superact.models": {"toy-model": "served:model"}}
        kept = {
            f"superact.{kind}s": kind in made or (kind == "model" and "make" in made) for kind in ("dataset", "model")
        }
        install("superact-served", {group: names for group, names in points.items() if kept[group]})

    return write


# The worked example.


def test_the_example_of_the_page_runs(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text(encoding="utf-8")
    files = dict(NAMED_FILE.findall(page))
    assert list(files) == ["pyproject.toml", "toy_data.py", "toy_model.py", "Data/lines.txt"]
    project = tomllib.loads(files["pyproject.toml"])
    assert project["tool"]["setuptools"]["py-modules"] == ["toy_data", "toy_model"]
    points = project["project"]["entry-points"]
    install(project["project"]["name"], points, project["project"]["version"],
            toy_data=files["toy_data.py"], toy_model=files["toy_model.py"])  # fmt: skip
    (tmp_path / "Data").mkdir()
    (tmp_path / "Data" / "lines.txt").write_text(files["Data/lines.txt"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    for step in steps(page):
        assert CliRunner().invoke(app, shlex.split(step.command)[1:]).output == step.output, step.command
    (commands,) = (text for _, text in fenced(page, "bash"))
    for command in commands.splitlines():
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, f"{command}\n{done.output}"
    warehouse = Warehouse.open(tmp_path / "warehouse")
    rows = tiny.table(warehouse, "token_labels").filter(pl.col("label") == "colour").join(
        tiny.table(warehouse, "tokens"), on=["sample", "token"])  # fmt: skip
    assert set(rows["text"]) == {"red", "green", "blue"} and rows.height == 6 + 2 + 5
    assert sorted(tiny.table(warehouse, "layer_stats")["layer"].unique()) == [0, 1, 2]
    assert tiny.table(warehouse, "datasets")["source"].to_list() == ["plug-in toy-lines of superact-toys 0.1"]
    digest = files_digest(tmp_path / "Data" / "lines.txt")
    assert open_dataset("toy-lines", tmp_path / "Data").revision == digest  # type: ignore[attr-defined]
    summary = tiny.table(warehouse, "summary")
    assert summary.filter(pl.col("f1").is_not_null())["concept_set"].unique().sort().to_list() == ["avg", "linsep"]


def test_the_tables_of_the_page_name_the_members_of_the_protocols() -> None:
    from superact.datasets import protocol as data
    from superact.models import protocol as models

    page = PAGE.read_text(encoding="utf-8")
    for kind in (data.TextSource, data.ImageSource, models.TextNetwork, models.VisionNetwork):
        members = {*kind.__annotations__, *(name for name in vars(kind) if not name.startswith("_"))}
        members |= {*kind.__mro__[1].__annotations__, *(n for n in vars(kind.__mro__[1]) if not n.startswith("_"))}
        assert [name for name in members if f"`{name}`" not in page and f"`{name}(" not in page] == [], kind


# A plug-in gives what a folder gives.


class Texts:
    """The texts of a dataset folder, as a plug-in would have them."""

    def __init__(self, root: Path, revision: str = "1") -> None:
        self.folder = open_dataset(str(root), root.parent)
        self.revision = revision
        rows = range(self.folder.samples.height)
        column = "text_path" if self.folder.modality == "text" else "image_path"
        carried = set(self.folder.sample_labels.rows())
        self.metadata = self.folder.samples.select(pl.col("path").alias(column), "split").with_columns(
            *(pl.Series(one.name, [(k, one.name) in carried for k in rows]) for one in self.folder.labels)
        )

    def text(self, sample: int) -> str:
        return self.folder.text(sample)

    def word_labels(self, sample: int) -> dict[str, list[int]]:
        return self.folder.word_labels(sample)


class Images(Texts):
    text = None  # type: ignore[assignment]

    def image(self, sample: int) -> Image.Image:
        return Image.open(self.folder.path_of(sample))

    def masks(self, sample: int) -> dict[str, np.ndarray]:
        return self.folder.masks(sample)


def plain(root: Path, kind: type[Texts] = Texts) -> Any:
    return kind(tiny.text_dataset(root) if kind is Texts else tiny.image_dataset(root))


@pytest.mark.parametrize(("kind", "network"), [(Texts, "LlamaForCausalLM"), (Images, "ViTModel")])
def test_a_plugin_of_a_folder_gives_the_tables_of_the_folder(
    kind: type[Texts], network: str, serve: Install, tmp_path: Path
) -> None:
    source = plain(tmp_path / "plain", kind)
    serve(dataset=source)
    model = load_model(tiny.save_model(tmp_path / "net", network), device="cpu")
    warehouses = []
    for ref in (str(tmp_path / "plain"), "Toy-Data"):
        warehouses.append(Warehouse(tmp_path / f"wh{len(warehouses)}"))
        dataset = open_dataset(ref, tmp_path)
        extract(warehouses[-1], Job(dataset, model, [1, 3], ("token", "cls")))
    assert (dataset.name, dataset.slug, dataset.modality) == ("toy-data", "toy-data", source.folder.modality)
    assert dataset.labels == source.folder.labels and dataset.has_token_labels
    wh, other = warehouses
    for name in ("samples", "labels", "sample_labels", "tokens", "token_labels", "embeddings", "layer_stats"):
        one, two = (tiny.content(w, name)[name].drop("dataset") for w in (wh, other))
        assert one.height and one.equals(two), name
    assert extract(other, Job(open_dataset("toy-data", tmp_path), model, [1, 3], ("token", "cls"))) == 0


@pytest.mark.parametrize("kind", [Texts, Images])
def test_describe_check_and_list_know_plugins(kind: type[Texts], serve: Install, tmp_path: Path) -> None:
    source = plain(tmp_path / "Data" / "plain", kind)
    serve(dataset=source)
    root = tmp_path / "Data"
    described = describe("toy-data", root)
    assert (described.name, described.modality) == ("toy-data", source.folder.modality)
    if kind is Images:  # of texts the folder's metadata.csv has no labels, and the plug-in's has
        assert described.records() == describe("plain", root).records()
    found = check("toy-data", root)
    assert [finding.detail for finding in found if finding.result in ("missing", "wrong")] == []
    assert found[0].detail.startswith("plug-in toy-data of superact-served 0.1")
    assert found[-1].detail.startswith("opens as toy-data: ")
    listed = list_datasets(root)
    assert listed["source"].to_list() == ["folder", "superact-served 0.1"]
    assert listed["samples"].to_list() == [source.folder.samples.height] * 2
    done = CliRunner().invoke(app, ["data", "check", "toy-data", "--data-root", str(root), "--format", "json"])
    assert done.exit_code == 0
    assert {row["check"]: row["result"] for row in json.loads(done.stdout)}["opening"] == "ok"


def test_without_parts_only_samples_are_labelled(serve: Install, tmp_path: Path) -> None:
    metadata = pl.DataFrame({"text_path": ["a", "b"], "split": ["train", "cal"], "x": [1, 0]})
    serve(dataset=SimpleNamespace(revision="1", metadata=metadata, text=lambda sample: "ab"[sample], licence="MIT"))
    dataset = open_dataset("toy-data", tmp_path)
    assert not dataset.has_token_labels and dataset.word_labels(0) == {}
    assert dataset.labels == [Label("x", "metadata")] and dataset.sample_labels.rows() == [(0, "x")]
    assert dataset.licence == "MIT"
    assert open_dataset("toy-data", tmp_path, labels=["x"]).labels == dataset.labels
    with pytest.raises(BadInput, match="finds its samples by itself"):
        open_dataset("toy-data", tmp_path, text_root=tmp_path)


# What enters the identity.


def test_another_revision_or_text_is_another_dataset(serve: Install, tmp_path: Path) -> None:
    source = plain(tmp_path / "plain")
    serve(dataset=source)
    model = load_model(tiny.save_model(tmp_path / "net", "BertModel"), device="cpu")
    warehouse = Warehouse(tmp_path / "wh")
    extract(warehouse, Job(open_dataset("toy-data", tmp_path), model, [1]))
    source.revision = "2"
    with pytest.raises(IdentityMismatch, match="sources"):
        extract(warehouse, Job(open_dataset("toy-data", tmp_path), model, [1]))
    source.revision, source.text = "1", lambda sample: "a dog laughs at all of it and then some more words"
    source.word_labels = lambda sample: {}
    with pytest.raises(IdentityMismatch, match="sources"):
        extract(warehouse, Job(open_dataset("toy-data", tmp_path), model, [1]))
    assert extract(warehouse, Job(open_dataset("toy-data", tmp_path), model, [1]), replace=True) > 0


def test_the_digest_of_files_sees_names_and_bytes(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).write_text(text)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("one")
    digests = [files_digest(tmp_path / name) for name in "abc"]
    assert len({*digests, files_digest(tmp_path / "a", tmp_path / "b")}) == 4
    assert files_digest(tmp_path / "d" / "a") == digests[0]


# Models.


class Network:
    """A plug-in's network around a model that superact loads itself."""

    revision = "7"

    def __init__(self, folder: Path, **options: Any) -> None:
        self.inner = load_model(folder, device="cpu", **options)
        self.n_blocks, self.width = self.inner.n_blocks, self.inner.width

    def __getattr__(self, name: str) -> Any:
        if name == "inner" or name not in ("tokenize", "pixels", "max_tokens", "input_size", "patch", "n_prefix"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def forward(self, inputs: Any, layers: Any) -> dict[int, torch.Tensor]:
        pixels = inputs.get("pixel_values")
        return self.inner.forward(dict(inputs) if pixels is None else pixels, layers)


@pytest.mark.parametrize("network", ["LlamaForCausalLM", "ViTModel"])
def test_a_model_of_a_plugin_gives_the_rows_of_the_model_it_wraps(network: str, serve: Install, tmp_path: Path) -> None:
    folder = tiny.save_model(tmp_path / "net", network)
    is_image = network == "ViTModel"
    data = (tiny.image_dataset if is_image else tiny.text_dataset)(tmp_path / "plain")
    serve(model=Network(folder))
    loaded = load_model("toy-model", device="cpu", modality="image" if is_image else "text")
    assert isinstance(loaded, VisionModel if is_image else TextModel)
    assert (loaded.slug, loaded.name, loaded.n_blocks, loaded.width) == ("toy-model", "toy-model", 3, 32)
    warehouses = [Warehouse(tmp_path / "one"), Warehouse(tmp_path / "two")]
    for warehouse, model in zip(warehouses, (load_model(folder, device="cpu"), loaded), strict=True):
        extract(warehouse, Job(open_dataset(str(data), tmp_path), model, [0, 2, 3], ("token", "cls")))
    for name in ("tokens", "token_labels", "embeddings"):
        one, two = (tiny.content(w, name)[name].drop("model") for w in warehouses)
        assert one.height and one.equals(two), name
    assert load_model("toy-model", device="cpu", autocast="bfloat16").identity == {
        **loaded.identity,
        "autocast": "bfloat16",
    }
    assert loaded.identity["revision"] == "7" and loaded.provenance["plugin"] == "superact-served 0.1"
    facts = describe_model(loaded)
    assert facts["family"] == "served:model (Network)" and facts["source"] == "plug-in toy-model of superact-served 0.1"
    with pytest.raises(LayerOutOfRange):
        loaded.resolve_layers([4])
    with pytest.raises(BadInput, match="toy-model reads"):
        load_model("toy-model", device="cpu", modality="text" if is_image else "image")


def test_options_go_to_a_plugin_that_takes_them(serve: Install, tmp_path: Path) -> None:
    folder = tiny.save_model(tmp_path / "net", "ViTModel")
    seen: list[Any] = []

    def make(device: torch.device, dtype: torch.dtype, input_size: int = 56) -> Network:
        seen.append((device, dtype, input_size))
        return Network(folder, input_size=input_size)

    serve(make=make)
    assert load_model("toy-model", device="cpu", geometry="letterbox").identity == {
        "model": "toy-model", "revision": "7", "dtype": "float32", "attention": None, "input_size": 56, "patch": 14,
        "geometry": "letterbox", "resample": 3,
    }  # fmt: skip
    assert load_model("toy-model", device="cpu", input_size=28, dtype="bfloat16").identity["input_size"] == 28
    assert seen == [(torch.device("cpu"), torch.float32, 56), (torch.device("cpu"), torch.bfloat16, 28)]
    with pytest.raises(BadInput, match="takes no --attention"):
        load_model("toy-model", device="cpu", attention="eager")
    with pytest.raises(BadInput, match="takes no --trust-remote-code"):
        load_model("toy-model", device="cpu", trust_remote_code=True)
    with pytest.raises(BadInput, match="'round' is not a geometry"):
        load_model("toy-model", device="cpu", geometry="round")


def test_a_revision_that_is_asked_for_is_in_the_identity(serve: Install) -> None:
    def make(device: torch.device, dtype: torch.dtype, revision: str = "main") -> Any:
        return Small()

    serve(make=make)
    usual = load_model("toy-model", device="cpu").identity
    assert usual["revision"] == "1" and "revision_asked" not in usual
    assert load_model("toy-model", device="cpu", revision="v2").identity == {**usual, "revision_asked": "v2"}


def test_what_forward_raises_in_a_run_is_named_unless_memory_ran_out(serve: Install, tmp_path: Path) -> None:
    network = Network(tiny.save_model(tmp_path / "net", "BertModel"))
    serve(model=network)
    model: Any = load_model("toy-model", device="cpu")
    errors: list[tuple[Exception, type[Exception], str]] = [
        (torch.OutOfMemoryError("anything"), torch.OutOfMemoryError, "^anything$"),
        (RuntimeError("MPS backend out of memory"), RuntimeError, "^MPS backend out of memory$"),
        (LayerOutOfRange(model="m", last=1, blocks=1, layer=2), LayerOutOfRange, "^Model m has layers 0 to 1"),
        (
            ValueError("out of memory, so to say"),
            BadInput,
            r"plug-in toy-model .*failed in forward: ValueError: out of",
        ),
        (RuntimeError("device-side assert"), BadInput, "it failed in forward: RuntimeError: device-side assert"),
    ]
    for raised, kind, said in errors:

        def fail(inputs: Any, layers: Any, error: Exception = raised) -> Any:
            raise error

        network.forward = fail  # type: ignore[method-assign]
        with pytest.raises(kind, match=said) as caught:
            model.forward(model.batch([model.tokenize("a dog")]), [1])
        assert type(caught.value) is kind
    network.forward = lambda inputs, layers: 1 / 0  # type: ignore[method-assign, assignment]
    with pytest.raises(BadInput, match="failed in forward: ZeroDivisionError"):
        extract(
            Warehouse(tmp_path / "wh"), Job(open_dataset(str(tiny.text_dataset(tmp_path / "x")), tmp_path), model, [1])
        )


def test_memory_that_runs_out_while_loading_is_named(serve: Install) -> None:
    def full(self: Any, inputs: Any, layers: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    serve(model=broken(forward=full))
    with pytest.raises(BadInput, match=r"toy-model .*failed in forward: OutOfMemoryError"):
        load_model("toy-model", device="cpu")


@pytest.mark.parametrize("wrong", [(1, 4), (2, 5)])
def test_a_vision_model_whose_layers_differ_in_tokens_in_a_run(wrong: tuple[int, int], serve: Install) -> None:
    """Whatever layers are asked for, and in a batch of any size: its patches would be those of other places."""
    counts = {0: 5, 1: 5, 2: 5}
    serve(model=SimpleNamespace(
        revision="1", n_blocks=2, width=1, input_size=4, patch=2, n_prefix=1,
        pixels=lambda image: np.zeros((3, 4, 4), np.float32),
        forward=lambda inputs, layers: {k: torch.zeros(len(inputs["pixel_values"]), counts[k], 1) for k in layers},
    ))  # fmt: skip
    model: Any = load_model("toy-model", device="cpu")
    assert model.forward(torch.zeros(3, 3, 4, 4), [1, 2])[2].shape == (3, 5, 1)
    counts[wrong[0]] = wrong[1] + (wrong[1] == 5)
    with pytest.raises(BadInput, match=rf"layer {wrong[0]} as \[3, {counts[wrong[0]]}, 1\], not \[3, 5, 1\]"):
        model.forward(torch.zeros(3, 3, 4, 4), [wrong[0]])


class Small:
    """The least that a text model of a plug-in may be: a token a word, states that tell its length and place."""

    revision, n_blocks, width = "1", 1, 2

    def tokenize(self, text: str) -> Any:
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        words = text.split()
        starts = [end - len(word) for end, word in zip(ends, words, strict=True)]
        return TokenizedText(
            np.array([len(word) for word in words]), np.array(starts), np.array(ends), words, np.ones(len(words), bool)
        )

    def forward(self, inputs: Any, layers: Any) -> Any:
        ids = inputs["input_ids"].float()
        return {layer: torch.stack([ids, ids + layer], dim=-1) for layer in layers}


def broken(**changes: Any) -> Any:
    return type("Broken", (Small,), changes)()


def gone(self: Any) -> Any:
    raise FileNotFoundError("weights.bin")


def mistyped(self: Any) -> Any:
    return self.wieghts


def token(text: str, **changes: Any) -> Any:
    found = Small().tokenize(text)
    return TokenizedText(**{**found.__dict__, **changes})


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (None, "its NoneType needs a method forward, and one of tokenize"),
        (broken(forward=None), "needs a method forward"),
        (broken(pixels=lambda self, image: image), "one of tokenize .texts. and pixels .images."),
        (broken(revision=None), "its Broken states no revision"),
        (broken(revision=" "), "states no revision"),
        (broken(n_blocks=0), "its n_blocks is 0, not a whole number of 1 or more"),
        (broken(width="2"), "its width is '2'"),
        (broken(width=3), r"forward gives layer 0 as \[1, 2, 2\], not \[1, 2, 3\]"),
        (broken(max_tokens=-1), "its max_tokens is -1"),
        (broken(tokenize=lambda self, text: text.split()), "tokenize gives a list, not a TokenizedText"),
        (broken(tokenize=lambda self, text: text.x), "failed in tokenize: AttributeError: 'str' object"),
        (broken(tokenize=lambda self, text: token("a b c")), "tokenize gives 3 tokens for 'The quick"),
        (broken(tokenize=lambda self, text: token(text, pieces=["a"])), "have different lengths"),
        (broken(tokenize=lambda self, text: token(text + " x")), "offsets that are not of the text 'The"),
        (broken(tokenize=lambda self, text: token(text, ids=token(text).ids + 2**32)), "offsets that are not of the text"),
        (broken(tokenize=lambda self, text: token(text, ids=token(text).ids + 2**31)), "offsets that are not of the text"),
        (broken(tokenize=lambda self, text: token(text, ids=-token(text).ids)), "offsets that are not of the text"),
        (broken(tokenize=lambda self, text: token(text, ids=token(text).ids / 2)), "offsets that are float64"),
        (broken(tokenize=lambda self, text: token(text, char_end=[0.5] * len(text.split()))), "offsets that are float64"),
        (broken(tokenize=lambda self, text: token(text, ids=[[1], []])), "gives from tokenize what are no arrays: ValueError"),
        (broken(tokenize=lambda self, text: token(text, pieces=None)), "gives from tokenize what are no arrays: TypeError"),
        (broken(tokenize="words"), "its tokenize is a str, not a method"),
        (broken(last_is_normed="yes"), "its last_is_normed is 'yes', neither True nor False"),
        (broken(licence=7), "its licence is a int, not a line of text"),
        (broken(revision=property(gone)), "it failed in revision: FileNotFoundError: weights.bin"),
        (broken(revision=property(mistyped)), "it failed in revision: AttributeError: .*no attribute 'wieghts'"),
        (broken(n_blocks=property(gone)), "it failed in n_blocks: FileNotFoundError"),
        (broken(max_tokens=property(mistyped)), "it failed in max_tokens: AttributeError"),
        (broken(licence=property(gone)), "it failed in licence: FileNotFoundError"),
        (broken(forward=lambda self, inputs, layers: None), "forward gives no tensor for layer 0, only a NoneType"),
        (broken(forward=lambda self, inputs, layers: {1: inputs["input_ids"]}), r"layer 0, only the layers \[1\]"),
        (broken(forward=lambda self, inputs, layers: {0: inputs["input_ids"]}), "forward gives no tensor for layer 0"),
        (broken(forward=lambda self, inputs, layers: 1 / 0), "failed in forward: ZeroDivisionError: division by zero"),
        (
            broken(forward=lambda self, inputs, layers: {
                layer: inputs["input_ids"][:, :, None].float().repeat(1, 1, 2).cumsum(1).flip(1) for layer in layers}),
            "a longer text in the batch changes layer 0: forward must heed attention_mask",
        ),
    ],
)  # fmt: skip
def test_a_model_that_is_not_as_asked_is_named(network: Any, said: str, serve: Install) -> None:
    serve(model=network)
    with pytest.raises(BadInput, match=said) as error:
        load_model("toy-model", device="cpu")
    assert "plug-in toy-model of superact-served 0.1 (served:model)" in str(error.value)


def test_the_least_text_model(serve: Install) -> None:
    serve(model=broken(max_tokens=6))
    model: Any = load_model("toy-model", device="cpu", modality="text")
    found = model.forward(model.batch([model.tokenize("ab abc"), model.tokenize("a")]), [1])
    assert found[1].tolist() == [[[2, 3], [3, 4]], [[1, 2], [0, 1]]]
    with pytest.raises(BadInput, match="A text has 7 tokens, and toy-model takes at most 6"):
        model.tokenize("a b c d e f g")
    with pytest.raises(BadInput, match="toy-model is a text model"):
        load_model("toy-model", device="cpu", geometry="squash")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": 3}, "its input_size 4 is no multiple of its patch 3"),
        ({"input_size": None}, "its input_size is None"),
        ({"n_prefix": 1}, r"layer 0 as \[1, 4, 1\], not \[1, 5, 1\]: its n_prefix and the patches are 5 tokens"),
        ({"n_prefix": 1, "forward": lambda inputs, layers: {k: torch.zeros(1, 4 + (k == 0), 1) for k in layers}},
         r"forward gives layer 1 as \[1, 4, 1\], not \[1, 5, 1\]"),
        ({"n_prefix": -1}, "its n_prefix is -1, not a whole number of 0 or more"),
        ({"n_prefix": "1"}, "its n_prefix is '1', not a whole number"),
        ({"n_prefix": True}, "its n_prefix is True, not a whole number"),
        ({"resample": "bicubic"}, "its resample is 'bicubic', not a whole number"),
        ({"resample": 9}, "its resample is 9, which is no filter of Pillow"),
        ({"geometry": "round"}, "its geometry is 'round', not one of squash, crop, letterbox"),
        ({"pixels": np.zeros(3)}, "its pixels is a ndarray, not a method"),
        ({"pixels": lambda image: np.zeros((3, 4, 4))}, r"pixels gives float64 \[3, 4, 4\], not an array float32"),
        ({"pixels": lambda image: None}, "pixels gives NoneType"),
    ],
)  # fmt: skip
def test_a_vision_model_that_is_not_as_asked_is_named(changes: dict[str, Any], said: str, serve: Install) -> None:
    right = {
        "revision": "1", "n_blocks": 1, "width": 1, "input_size": 4, "patch": 2,
        "pixels": lambda image: np.zeros((3, 4, 4), np.float32),
        "forward": lambda inputs, layers: {k: torch.zeros(len(inputs["pixel_values"]), 4, 1) for k in layers},
    }  # fmt: skip
    serve(model=SimpleNamespace(**{**right, **changes}))
    with pytest.raises(BadInput, match=said):
        load_model("toy-model", device="cpu")


# Datasets that are not as asked.

FRAME = {"text_path": ["a", "b", "c"], "split": ["train", "cal", "test"], "x": [1, 0, 1]}


def texts(frame: Any = None, **changes: Any) -> SimpleNamespace:
    metadata = pl.DataFrame({**FRAME, **frame}) if isinstance(frame, dict) else frame
    right = {"revision": "1", "metadata": pl.DataFrame(FRAME) if frame is None else metadata, "text": lambda k: "a b"}
    return SimpleNamespace(**{**right, **changes})


def spoilt(name: str, read: Callable[[Any], Any]) -> Any:
    """Texts with a property in the place of a member."""
    return type("Spoilt", (SimpleNamespace,), {name: property(read)})(
        **{member: value for member, value in vars(texts()).items() if member != name}
    )


def fails(sample: int) -> Any:
    raise KeyError("gone")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "the metadata of its NoneType is a NoneType, not a Polars frame"),
        (texts(revision=3), "states no revision"),
        (texts({"split": ["train", "cal", "dev"]}), "row 2 of its metadata has split 'dev'"),
        (texts({"split": ["train", "cal", None]}), "row 2 of its metadata has split None"),
        (texts({"split": [1, 2, 3]}), "has no column split of strings"),
        (texts({"text_path": ["a", "b", "a"]}), "row 2 of its metadata has the name of an earlier one in column text_path"),
        (texts({"text_path": ["a", " ", "c"]}), "row 1 of its metadata has no name in column text_path"),
        (texts({"image_path": ["a", "b", "c"]}), "both of the columns image_path and text_path"),
        (texts(pl.DataFrame({"split": ["cal"], "x": [1]})), "neither of the columns"),
        (texts(pl.DataFrame(FRAME).drop("x")), "has no label columns"),
        (texts(pl.DataFrame(FRAME).drop("split")), "has no column split of strings"),
        (texts(pl.DataFrame(FRAME).clear()), "has no rows"),
        (texts({"x": [1, 0, 2]}), "row 2 of its metadata has 2 in column 'x', not 0 or 1"),
        (texts({"x": [1, None, 0]}), "row 1 of its metadata has None in column 'x'"),
        (texts({"x": [0.5, 1.0, 0.0]}), "column 'x' of its metadata is Float64"),
        (texts({"x": pl.Series([1, 2**63, 0], dtype=pl.UInt64)}), f"row 1 of its metadata has {2**63} in column 'x'"),
        (texts({"mask_path": ["a", "b", "c"]}), "mask_path, which is never read"),
        (texts(licence=7), "its licence is a int"),
        (texts(text=None), "a column text_path, and it has no method text"),
        (texts(text=fails), r"it failed in text\(0\): KeyError: 'gone'"),
        (texts(text=lambda sample: b"a"), r"text\(0\) is a bytes"),
        (texts(text=lambda sample: " \n"), r"text\(0\) is blank"),
        (texts(word_labels=lambda sample: []), r"word_labels\(0\) is a list, not a dictionary by label"),
        (texts(word_labels=lambda sample: {"y": [0]}), r"word_labels\(0\) has 'y', which is no label column"),
        (texts(word_labels=lambda sample: {"x": [2]}), r"puts 'x' on word 2, and the text has words 0 to 1"),
        (texts(word_labels=lambda sample: {"x": [True]}), r"puts 'x' on word True, and the text has words 0 to 1"),
        (texts(word_labels=lambda sample: {"x": np.array([True])}), r"puts 'x' on word (np\.)?True"),
        (texts(word_labels=lambda sample: {"x": 3}), r"gave no positions of 'x' in word_labels\(0\): TypeError: 'int' object"),
        (texts(word_labels=lambda sample: {"x": map(fails, [0])}), r"gave no positions of 'x' .*: KeyError: 'gone'"),
        (texts(word_labels=fails), r"it failed in word_labels\(0\): KeyError"),
        (texts(word_labels={}), "its word_labels is a dict, not a method"),
        (spoilt("word_labels", mistyped), "it failed in word_labels: AttributeError"),
        (spoilt("revision", gone), "it failed in revision: FileNotFoundError: weights.bin"),
        (spoilt("metadata", mistyped), "it failed in metadata: AttributeError"),
        (spoilt("licence", gone), "it failed in licence: FileNotFoundError"),
    ],
)  # fmt: skip
def test_a_dataset_that_is_not_as_asked_is_named(source: Any, said: str, serve: Install, tmp_path: Path) -> None:
    serve(dataset=source)
    with pytest.raises(BadInput, match=said) as error:
        open_dataset("toy-data", tmp_path)
    assert "plug-in toy-data of superact-served 0.1 (served:dataset)" in str(error.value)
    found = check("toy-data", tmp_path)
    assert (found[-1].check, found[-1].result) == ("opening", "wrong") and re.search(said, found[-1].detail)


def test_an_image_or_mask_that_is_not_as_asked_is_named(
    serve: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {"image": Image.new("L", (4, 6), 9), "masks": {"x": np.ones((3, 2), bool)}}
    frame = pl.DataFrame({"image_path": ["a"], "split": ["cal"], "x": [True], "y": [False]})
    serve(dataset=SimpleNamespace(
        revision="1", metadata=frame, image=lambda sample: made["image"], masks=lambda sample: made["masks"]))  # fmt: skip
    dataset = open_dataset("toy-data", tmp_path)
    assert dataset.image(0).mode == "RGB" and dataset.image(0).getpixel((0, 0)) == (9, 9, 9)
    assert list(dataset.masks(0)) == ["x"]
    for masks, said in [
        (None, r"masks\(0\) is a NoneType"),
        ({"z": np.ones((6, 4), bool)}, "has 'z', which is no label"),
        ({"x": np.ones((6, 4))}, r"'x' in masks\(0\) is float64 \[6, 4\], not bool"),
        ({"x": [[True]]}, "is list, not bool"),
        ({"x": np.ones((4, 6), bool)}, "has 6 x 4 pixels, and its image 4 x 6"),
    ]:
        made["masks"] = masks
        with pytest.raises(BadInput, match=said):
            dataset.masks(0)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    damaged = tmp_path / "half.png"
    Image.effect_noise((64, 64), 50).save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:2000])
    for image, said in [
        ("a.png", r"image\(0\) is a str, not an image"),
        (Image.new("I;16", (4, 6)), "pixel mode 'I;16'"),
        (Image.open(damaged), r"gave an image\(0\) that cannot be decoded"),
    ]:
        made["image"] = image
        with pytest.raises(BadInput, match=said):
            dataset.image(0)
    made["image"] = Image.new("L", (4, 6))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 23)
    with pytest.raises(BadInput, match="4 x 6 pixels, and more than 23 are not read"):
        dataset.image(0)


def test_every_bad_mask_is_reported(serve: Install, tmp_path: Path) -> None:
    """There is no file of all masks that would fail for every image alike."""
    frame = pl.DataFrame({"image_path": ["a", "b", "c"], "split": ["train", "cal", "test"], "x": [1, 1, 1]})
    masks: dict[int, Any] = {0: None, 1: {"x": np.ones((6, 4), bool)}, 2: {"x": np.ones((4, 6), bool)}}
    serve(dataset=SimpleNamespace(
        revision="1", metadata=frame, image=lambda sample: Image.new("L", (4, 6)), masks=masks.get))  # fmt: skip
    (found,) = [finding for finding in check("toy-data", tmp_path) if finding.check == "masks"]
    assert found.result == "wrong" and found.detail.startswith("of 2 images: ")
    assert "masks(0) is a NoneType" in found.detail and "in masks(2) has 6 x 4 pixels" in found.detail


def test_a_label_without_a_word_is_said(serve: Install, tmp_path: Path) -> None:
    serve(dataset=texts(word_labels=lambda sample: {"x": [1]} if sample == 0 else {}))
    (found,) = [finding for finding in check("toy-data", tmp_path) if finding.check == "words"]
    assert (found.result, found.detail) == (
        "warning", "1 label that a text carries has no word, so no token of theirs is positive: x 1")  # fmt: skip


# Finding them.


@pytest.mark.parametrize(
    ("value", "text", "said"),
    [
        ("absent_module:f", "", "it cannot be imported: ModuleNotFoundError: No module named 'absent_module'"),
        ("own_module:f", "", "cannot be imported: AttributeError: module 'own_module' has no attribute 'f'"),
        ("own_module:f", "import torch.nowhere", "cannot be imported: ModuleNotFoundError: No module named 'torch.nowhere'"),
        ("own_module:f", "def f(:", "cannot be imported: SyntaxError"),
        ("own_module:f", "raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
        ("own_module:f", "f = 3", "own_module:f is a int, not a function"),
        ("own_module:f", "def f(): pass", r"failed in own_module:f: TypeError: f\(\)"),
        ("own_module:f", "def f(*a, **k): raise OSError('no such host')", "failed in own_module:f: OSError: no such host"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_run_is_named_and_never_skipped(
    value: str, text: str, said: str, install: Install, tmp_path: Path
) -> None:
    install("broken", {"superact.datasets": {"mine": value}, "superact.models": {"mine": value}}, own_module=text)
    for run in (
        lambda: open_dataset("mine", tmp_path),
        lambda: list_datasets(tmp_path),
        lambda: describe("mine", tmp_path),
        lambda: load_model("mine", device="cpu"),
    ):
        with pytest.raises(BadInput, match=said) as error:
            run()
        assert f"plug-in mine of broken 0.1 ({value})" in str(error.value)
    done = CliRunner().invoke(app, ["data", "list", "--data-root", str(tmp_path)])
    assert done.exit_code == 3 and re.search(said, done.stderr)


def test_a_name_of_two_is_an_error_that_names_both(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("first", {"superact.datasets": {"My Set": "a:b"}, "superact.models": {"m": "a:b", "MiniLM": "a:c"}})
    root = tmp_path / "Data"
    folder = tiny.text_dataset(root / "my-set")
    both = rf"both the folder {re.escape(str(folder))} and the plug-in My Set of first 0.1 \(a:b\)"
    for ref in ("my-set", "My Set", "MY-SET"):
        with pytest.raises(BadInput, match=both):
            open_dataset(ref, root)
    with pytest.raises(BadInput, match=both):
        list_datasets(root)
    assert open_dataset(str(folder), root).samples.height == 24
    with pytest.raises(BadInput, match="both the local model minilm and the plug-in MiniLM of first"):
        load_model("minilm", device="cpu")
    monkeypatch.chdir(tmp_path)
    tiny.save_model(tmp_path / "m", "BertModel")
    with pytest.raises(BadInput, match=rf"both the folder {re.escape(str(tmp_path / 'm'))} and the plug-in m of first"):
        load_model("m", device="cpu")
    assert load_model("./m", device="cpu").width == 32
    install("second", {"superact.datasets": {"my-set": "c:d"}, "superact.models": {"M": "c:d"}})
    two = r"'{}' is two plug-ins: plug-in {} of first 0.1 \(a:b\) and plug-in {} of second 0.1 \(c:d\)"
    with pytest.raises(BadInput, match=two.format("my-set", "My Set", "my-set")):
        open_dataset("my-set", tmp_path / "none")
    with pytest.raises(BadInput, match=r"'m' is two plug-ins: plug-in M of second .* and plug-in m of first"):
        load_model("m", device="cpu")


def test_a_folder_that_is_no_dataset_shares_no_name(serve: Install, tmp_path: Path) -> None:
    (tmp_path / "toy-data").mkdir()
    serve(dataset=texts())
    assert open_dataset("toy-data", tmp_path).samples.height == 3


def test_an_unknown_dataset_names_the_plugins(serve: Install, tmp_path: Path) -> None:
    serve(dataset=texts())
    with pytest.raises(BadInput, match=r"No dataset 'toy-dta'.*Plug-ins: toy-data\."):
        open_dataset("toy-dta", tmp_path)


def test_entry_points_are_read_when_a_name_is_looked_up_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(**group: str) -> Any:
        raise AssertionError(group)

    data = tiny.text_dataset(tmp_path / "plain")
    net = tiny.save_model(tmp_path / "net", "BertModel")
    monkeypatch.setattr(importlib.metadata, "entry_points", read)
    assert open_dataset(str(data), tmp_path).samples.height == 24
    assert load_model(net, device="cpu").width == 32
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0
    with pytest.raises(AssertionError, match=r"superact\.datasets"):
        open_dataset("plain", tmp_path)


def test_the_list_of_models_shows_plugins_without_importing_them(install: Install) -> None:
    install("toys", {"superact.models": {"toy": "toys_that_fail:load"}}, version="2.0", toys_that_fail="1 / 0")
    done = CliRunner().invoke(app, ["models", "list", "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[-1] == {
        "name": "toy", "display": "plug-in of toys 2.0", "modality": None, "prepared": True, "size": None,
        "path": "toys_that_fail:load",
    }  # fmt: skip
    done = CliRunner().invoke(app, ["models", "info", "toy", "--format", "json"])
    assert [row["value"] for row in json.loads(done.stdout)] == ["toys_that_fail:load", "toy", "toys 2.0"]
    assert "toys_that_fail" not in sys.modules


def test_info_of_a_model_finds_what_loading_finds(install: Install) -> None:
    install("toys", {"superact.models": {"My Toy": "a:b", "MiniLM": "a:c"}})
    for name in ("My Toy", "my-toy"):
        done = CliRunner().invoke(app, ["models", "info", name, "--format", "json"])
        assert [row["value"] for row in json.loads(done.stdout)] == ["a:b", "My Toy", "toys 0.1"]
    done = CliRunner().invoke(app, ["models", "info", "minilm"])
    assert done.exit_code == 3 and "both the local model minilm and the plug-in MiniLM of toys" in done.stderr


def test_data_list_needs_no_folder_where_there_is_a_plugin(serve: Install, tmp_path: Path) -> None:
    serve(dataset=texts())
    done = CliRunner().invoke(app, ["data", "list", "--data-root", str(tmp_path / "none"), "--format", "json"])
    assert [(row["name"], row["source"]) for row in json.loads(done.stdout)] == [("toy-data", "superact-served 0.1")]
