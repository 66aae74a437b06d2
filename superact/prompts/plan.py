"""What a prompt run asks, and how that relates to what was asked before.

Answers are one partition a (dataset, answering model). What determines a single answer is one part of its identity, which must
be equal; what is asked (labels, splits, how many samples, whether also where) is the other: a run that asks for more takes
over the answers that are there, one that asks for less finds all of it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from superact.ingest.identity import by_label, digest
from superact.prompts.parse import VERSION
from superact.prompts.templates import Wording
from superact.schemas import FORMAT
from superact.store.identity import EXTENSIBLE, Identity

STEP_VERSION = 1
"""Raised when other questions are asked of the same settings; not the release number."""

_SCOPE = ("localize", "splits_asked", "sample_limit", "parser")


@dataclass(frozen=True)
class Plan:
    """What is asked: labels (name order), splits, the first `sample_limit` samples of each (None: all), and where."""

    labels: tuple[str, ...]
    splits: tuple[str, ...] = ("test",)
    sample_limit: int | None = None
    localize: bool = False


def answers_identity(
    samples: Identity, listed: Sequence[str], wording: Wording, plan: Plan, backend: Identity
) -> Identity:
    """Identity of the answers; `listed` are the labels that every question shows."""
    return {
        "step": "prompt",
        "step_version": STEP_VERSION,
        "schema_version": FORMAT,
        "sources": samples["sources"],
        "splits": samples["splits"],
        "listed": digest(*listed),
        "template": wording.sha256("detect"),
        **backend,
        "localize": wording.sha256("localize") if plan.localize else None,
        "splits_asked": ",".join(plan.splits),
        "sample_limit": plan.sample_limit,
        "parser": VERSION,
        **by_label(dict.fromkeys(plan.labels, "asked")),
    }


def plan_of(identity: Identity) -> Plan:
    """The plan that an identity of answers was made from."""
    labels = tuple(name.removeprefix(EXTENSIBLE) for name in _labels(identity))
    splits = tuple(identity["splits_asked"].split(","))
    return Plan(labels, splits, identity["sample_limit"], identity["localize"] is not None)


def covers(wide: Identity, narrow: Identity) -> bool:
    """True when answers of identity `wide` hold all that `narrow` asks, under the same settings (whatever the parser)."""
    if _settings(wide) != _settings(narrow):
        return False
    if not set(_labels(narrow)) <= set(_labels(wide)) or narrow["localize"] not in (None, wide["localize"]):
        return False
    if not set(narrow["splits_asked"].split(",")) <= set(wide["splits_asked"].split(",")):
        return False
    return wide["sample_limit"] is None or (narrow["sample_limit"] or 1 << 62) <= wide["sample_limit"]


def holds(published: Identity, wanted: Identity) -> bool:
    """True when published answers are all that is wanted: nothing is to be asked, or to be read again by a newer parser."""
    return covers(published, wanted) and published.get("parser") == wanted["parser"]


def _settings(identity: Identity) -> dict[str, Any]:
    return {name: v for name, v in identity.items() if name not in _SCOPE and not name.startswith(EXTENSIBLE)}


def _labels(identity: Identity) -> list[str]:
    return [name for name in identity if name.startswith(EXTENSIBLE)]
