"""The words of the questions: one text file a purpose, with `$placeholders`, and the SHA-256 that identities carry.

The published wording's meaning in our own words (reference section 2.3 and 2.5): the whole list of labels is shown, one of
them is asked about, the answer stands behind `FINAL ANSWER:`, and an unsure model takes the better of the two.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from superact.errors import BadInput

Task = Literal["detect", "localize"]

# What each file may say, and what it must.
_ALLOWED = {
    "detect_image": {"labels", "label"},
    "detect_text": {"labels", "label", "text"},
    "localize_image": {"labels", "label", "width", "height"},
    "localize_text": {"labels", "label", "text"},
}
_REQUIRED = {purpose: {"label", "text"} & allowed for purpose, allowed in _ALLOWED.items()}


@dataclass(frozen=True)
class Wording:
    """The two templates of a modality: whether a sample contains a label, and where."""

    detect: str
    localize: str

    def text(self, task: Task, labels: Sequence[str], label: str, **about: str | int) -> str:
        """The question of a task: `labels` is the list that is shown, `label` the one asked about, `about` the sample.

        `about` holds `text` for texts, `width` and `height` (pixels, as the model sees it) for images.
        """
        return string.Template(getattr(self, task)).substitute(labels=list_of(labels), label=label, **about)

    def sha256(self, task: Task) -> str:
        """SHA-256 of a template's text, as hex."""
        return hashlib.sha256(getattr(self, task).encode()).hexdigest()


def list_of(labels: Sequence[str]) -> str:
    """Labels as a list in quotation marks, so that one with a comma in it stays one."""
    return ", ".join(json.dumps(label, ensure_ascii=False) for label in labels)


def read_wording(modality: str, folder: Path | None = None) -> Wording:
    """The templates for samples of a modality: superact's own, or the files of the same name in `folder`, where it has them.

    Errors: BadInput for a folder without any, a file of another name, one that is not UTF-8 or blank, and placeholders that are
    unknown or missing.
    """
    if folder is not None:
        _check_folder(folder)
    return Wording(*(_read(f"{task}_{modality}", folder) for task in ("detect", "localize")))


def _check_folder(folder: Path) -> None:
    found = sorted(path.name for path in folder.glob("*.txt")) if folder.is_dir() else []
    names = [f"{purpose}.txt" for purpose in _ALLOWED]
    unknown = [name for name in found if name not in names]
    if unknown or not found:
        what = f"{folder / unknown[0]} is no template." if unknown else f"{folder} has no template."
        raise BadInput(what=what, remedy=f"Templates are called {', '.join(names)}.")


def _read(purpose: str, folder: Path | None) -> str:
    name = f"{purpose}.txt"
    own = folder / name if folder is not None else None
    if own is None or not own.is_file():
        return resources.files("superact.prompts").joinpath("templates", name).read_text(encoding="utf-8").strip("\n")
    try:
        text = own.read_text(encoding="utf-8-sig").strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(what=f"{own} cannot be read: {error}.", remedy="Give a UTF-8 text file.") from error
    _check(own, purpose, text)
    return text


def _check(path: Path, purpose: str, text: str) -> None:
    template = string.Template(text)
    allowed, required = _ALLOWED[purpose], _REQUIRED[purpose]
    names = ", ".join(f"${name}" for name in sorted(allowed))
    if not template.is_valid():
        raise BadInput(
            what=f"{path} has a '$' that begins no placeholder.", remedy=f"Write $$ for one; there are {names}."
        )
    used = set(template.get_identifiers())
    if unknown := sorted(used - allowed):
        raise BadInput(what=f"{path} uses ${unknown[0]}, which is unknown here.", remedy=f"There are {names}.")
    if missing := sorted(required - used):
        raise BadInput(what=f"{path} does not use ${missing[0]}.", remedy="Say where it belongs in the question.")
