"""What every way to a chat model offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from superact.prompts.questions import Request
from superact.store.identity import Identity


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

    def answer(self, requests: Sequence[Request]) -> list[str]:
        """The reply to each request, in order, as the model gave it. Errors: those of the back-end, none of them partial."""
