"""Identities of what ingest writes: short digests of rows, so that a partition names what it was made from."""

from __future__ import annotations

from superact.schemas import FORMAT
from superact.store.identity import EXTENSIBLE, Identity
from superact.store.identity import digest as digest  # offered here, too

STEP_VERSION = {"import": 1, "extract": 1, "learn": 1, "score": 1, "encode": 1}
"""Raised when a step's results change; not the release number."""

ASKED = ("prompt_answers",)
"""Tables made from samples alone, by a model that was asked: what is wrong with their hidden states leaves them alone."""


def base(step: str) -> Identity:
    """The fields every identity of a step begins with."""
    return {"step": step, "step_version": STEP_VERSION[step], "schema_version": FORMAT}


def by_label(digests: dict[str, str]) -> Identity:
    """One extensible field a label: adding a label later is not a mismatch."""
    return {EXTENSIBLE + label: value for label, value in sorted(digests.items())}
