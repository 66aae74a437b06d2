"""`load_sae`: from a folder, a file or a hub id to an autoencoder, by what is found there."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from superact.concepts.sae import clipscope, gemma_scope, saelens
from superact.concepts.sae.base import Sae, bad
from superact.errors import BadInput

_HUB = "hf://"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_TORCH = (".pt", ".pth")
_FORMATS = f"Read are SAELens folders ({saelens.CONFIG}, {saelens.WEIGHTS}), Gemma Scope {gemma_scope.FILE} and CLIP-Scope .pt."


def load_sae(ref: str | Path, *, file: str | None = None, revision: str | None = None) -> Sae:
    """Load an autoencoder; its format is told by its files.

    `ref` is a folder or file, `hf://owner/repository/path`, or `owner/repository` with `file` naming a file or folder in it
    (which it may in a local folder, too). `revision` is a branch, tag or commit on the hub.
    Errors: BadInput for a place where nothing is or that cannot be reached, and what the loaders check.
    """
    text = str(ref)
    if text.startswith(_HUB):
        owner, repository, *rest = [*text.removeprefix(_HUB).strip("/").split("/"), ""]
        inside = "/".join(part for part in (*rest, file or "") if part)
        return _from_hub(f"{owner}/{repository}", inside, revision)
    path = Path(text).expanduser()
    if path.exists():
        return _from_disk(path / file if file else path, None)
    if file is not None and _REPOSITORY.fullmatch(text):
        return _from_hub(text, file.strip("/"), revision)
    remedy = "Name a folder or a file, hf://owner/repository/path, or owner/repository with --file."
    raise BadInput(what=f"There is no SAE at {text}.", remedy=remedy)


def _from_disk(path: Path, source: str | None) -> Sae:
    if path.is_dir():
        if (path / saelens.CONFIG).is_file():
            return saelens.load_saelens(path, source)
        if (path / gemma_scope.FILE).is_file():
            return gemma_scope.load_gemma_scope(path / gemma_scope.FILE, source)
    elif path.suffix == ".npz":
        return gemma_scope.load_gemma_scope(path, source)
    elif path.suffix in _TORCH:
        return clipscope.load_clipscope(path, source)
    elif path.name in (saelens.CONFIG, saelens.WEIGHTS):
        return saelens.load_saelens(path.parent, source)
    raise BadInput(what=f"There is no SAE at {source or path}.", remedy=_FORMATS)


def _from_hub(repository: str, inside: str, revision: str | None) -> Sae:
    """Download what the format needs, into the hub's own cache, and load it."""
    source = f"{_HUB}{repository}/{inside}".rstrip("/") + (f"@{revision}" if revision else "")
    if not _REPOSITORY.fullmatch(repository) or not inside:
        raise bad(source, "is no place of a file", f"Name it as {_HUB}owner/repository/path.")
    name = PurePosixPath(inside)
    if name.suffix in (*_TORCH, ".npz"):
        return _from_disk(_download(repository, inside, revision, source), source)
    folder = name.parent if name.name in (saelens.CONFIG, saelens.WEIGHTS) else name
    missing: BadInput | None = None
    for first, others in ((saelens.CONFIG, (saelens.WEIGHTS,)), (gemma_scope.FILE, ())):
        try:
            found = _download(repository, str(folder / first), revision, source)
        except BadInput as error:
            missing = error  # of the next format, perhaps
            continue
        for other in others:
            _download(repository, str(folder / other), revision, source)
        return _from_disk(found.parent, source)
    assert missing is not None
    raise missing


def _download(repository: str, filename: str, revision: str | None, source: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return Path(hf_hub_download(repository, filename, revision=revision))
    except (EntryNotFoundError, HFValidationError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        remedy = "Give a local folder or file, or a place on the hub that this machine can reach."
        raise bad(source, f"cannot be fetched: {reason}", remedy) from error
