"""What every way to a chat model offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from superact.prompts.questions import Request
from superact.store.identity import Identity

STOP, CUT = "stop", "length"
"""Why a reply ended, in the words of the OpenAI protocol: by itself, or because it was as long as replies may be."""


@dataclass(frozen=True)
class Answering:
    """The model that answers, as tables `models` and the path keys know it."""

    name: str
    slug: str
    source: str
    licence: str | None = None
    revision: str | None = None
    blocks: int | None = None
    width: int | None = None


@dataclass(frozen=True)
class Reply:
    """What a model said (empty where it said nothing), and why it ended: `stop`, `length`, or what else a server tells."""

    text: str
    finish: str = STOP


@dataclass
class Endings:
    """How replies ended: how many for each reason, and how many have no text."""

    reasons: Counter[str] = field(default_factory=Counter)
    no_text: int = 0

    def add(self, replies: Iterable[Reply]) -> None:
        """Count replies."""
        for reply in replies:
            self.reasons[reply.finish] += 1
            self.no_text += not reply.text.strip()

    def merge(self, noted: dict[str, Any]) -> None:
        """Add what `to_json` gave; nothing where nothing was counted."""
        self.reasons.update(noted.get("finish_reasons", {}))
        self.no_text += noted.get("no_text", 0)

    @property
    def cut(self) -> int:
        """How many were cut because they were as long as replies may be."""
        return self.reasons[CUT]

    def to_json(self) -> dict[str, Any]:
        """The counts, as they are noted with answers and recorded with a run."""
        return {"finish_reasons": dict(sorted(self.reasons.items())), "cut": self.cut, "no_text": self.no_text}


class Backend(Protocol):
    """A way to a chat model. Replies are greedy (temperature 0): asked twice, the same is answered."""

    model: Answering

    @property
    def identity(self) -> Identity:
        """What determines the replies: the kind of back-end, the model, the longest reply."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What is recorded but not compared: where it ran, how many at a time, what had to be tried again."""

    def start(self) -> None:
        """Make ready to answer. Errors: ServerFailed where nothing listens."""

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The reply to each request, in order, as the model gave it. Errors: those of the back-end, none of them partial."""
