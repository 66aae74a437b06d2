"""Any server that speaks the OpenAI chat protocol (`POST {base}/v1/chat/completions`): vLLM, llama.cpp, transformers serve.

Requests of a batch are in flight together, up to `concurrency`. One that fails for a reason that may pass (no connection, a
time limit, 408, 425, 429, 5xx, an answer that is none) is sent again with exponentially growing pauses, and never before a
Retry-After is over; `retry_for` seconds after its first try no other begins, and the run gives up. No more of a response is
read than 8 MiB. The key comes from an environment variable, is sent in a header, and stands in no table, message or provenance.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2 as httpx
import tenacity

from superact.datasets.base import slug
from superact.errors import BadInput, ServerFailed
from superact.prompts.backends.base import Answering, Reply
from superact.prompts.questions import Request
from superact.store.identity import Identity

KEY_VARIABLE = "OPENAI_API_KEY"
_TRANSIENT = frozenset({408, 425, 429})
_LONGEST_PAUSE_S = 60.0
_SHOWN = 300  # characters of a server's message
_LARGEST = 8 << 20  # bytes of a response that are read; a reply of 100,000 tokens has under one MiB


class _Again(Exception):
    """A failure that may pass. `pause`: seconds that the server wants to be left alone."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass
class OpenAIBackend:
    """A model behind a server. Errors when made: BadInput for a URL that is none."""

    served: str
    """The model's name, as the server knows it."""
    url: str = field(repr=False)
    """Where the server is, with or without /v1."""
    max_tokens: int = 256
    concurrency: int = 8
    timeout: float = 120.0
    """Seconds that one try may take."""
    retry_for: float = 600.0
    """Seconds after the first try of a question after which none begins any more."""
    key_variable: str = KEY_VARIABLE
    name: str | None = None
    """What the model is called in the warehouse; by default the last part of `served`."""
    first_pause: float = 1.0
    """Seconds before the second try; each further pause is up to twice as long, and 60 at most."""
    retries: dict[str, int] = field(default_factory=dict, init=False)
    """How often something was tried again, by reason."""
    _key: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._base, self.shown_url = _base_url(self.url)
        name = self.name or self.served.rstrip("/").rsplit("/", 1)[-1]
        self.model = Answering(name, slug(name), f"server:{self.served}")
        self._key = os.environ.get(self.key_variable, "").strip() or None
        if self._key and not (self._key.isascii() and self._key.isprintable()):
            # Named here, without its value: the client's own error would print it.
            raise BadInput(
                what=f"The key in {self.key_variable} holds characters that no HTTP header may have.",
                remedy="Set it again, on one line and without quotes.",
            )

    @property
    def identity(self) -> Identity:
        """The kind of back-end, the name under which the model is served, the longest reply."""
        return {"backend": "http", "model:served": self.served, "max_tokens": self.max_tokens}

    @property
    def provenance(self) -> dict[str, Any]:
        """The server without credentials, how many requests at a time, limits, and retries by reason."""
        return {
            "server": self.shown_url,
            "concurrency": self.concurrency,
            "timeout": self.timeout,
            "retry_for": self.retry_for,
            "retries": dict(self.retries),
            "httpx": httpx.__version__,
        }

    def start(self) -> None:
        """Raise ServerFailed at once where nothing listens, instead of after `retry_for`; anything else counts as there."""
        limit = min(self.timeout, 10.0)
        try:
            # The headers alone: whoever drips a body is not waited for.
            with httpx.stream("GET", f"{self._base}/v1/models", headers=self._headers(), timeout=limit):
                return
        except httpx.ConnectError as error:
            raise self._failed("the first question", f"nothing listens there ({error})") from error
        except httpx.HTTPError:
            return  # slow, or without such a page: the questions will tell

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies in order. Errors: ServerFailed for the first request that has none."""
        return asyncio.run(self._answer(requests))

    async def _answer(self, requests: Sequence[Request]) -> list[Reply]:
        slots = asyncio.Semaphore(self.concurrency)
        limits = httpx.Limits(max_connections=self.concurrency)
        async with httpx.AsyncClient(headers=self._headers(), timeout=None, limits=limits) as client:

            async def one(request: Request) -> Reply:
                async with slots:
                    return await self._ask(client, request)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(request)) for request in requests]
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None  # the first one; the group has cancelled the others
        return [task.result() for task in tasks]

    async def _ask(self, client: httpx.AsyncClient, request: Request) -> Reply:
        """One question until it is answered, fails for good, or took too long."""
        growing = tenacity.wait_exponential(self.first_pause, max=_LONGEST_PAUSE_S) + tenacity.wait_random(
            0, self.first_pause
        )

        def pause(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            return max(growing(state), failure.pause if isinstance(failure, _Again) else 0.0)

        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Again),
            wait=pause,
            stop=tenacity.stop_before_delay(self.retry_for),
            before_sleep=self._count,
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    return await self._try(client, request)
        except _Again as error:
            n = tries.statistics.get("attempt_number", 1)
            raise self._failed(request.about, f"{error} (tried {n} times)" if n > 1 else str(error)) from error
        raise AssertionError("tenacity ends with a result or an error")

    def _count(self, state: tenacity.RetryCallState) -> None:
        reason = str(state.outcome.exception() if state.outcome else "").split(":")[0]
        self.retries[reason] = self.retries.get(reason, 0) + 1

    async def _try(self, client: httpx.AsyncClient, request: Request) -> Reply:
        url = f"{self._base}/v1/chat/completions"
        try:
            # The client's own limits are for one read each: a server that drips would never end.
            async with (
                asyncio.timeout(self.timeout),
                client.stream("POST", url, json=self._payload(request)) as response,
            ):
                status, wait = response.status_code, response.headers.get("retry-after")
                body = await _beginning(response)
        except TimeoutError as error:
            raise _Again(f"no answer within {self.timeout:g} s") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Again(f"the connection failed: {type(error).__name__} {error}".rstrip()) from error
        if status in _TRANSIENT or status >= 500:
            raise _Again(f"HTTP {status}: {self._message(body)}", _retry_after(wait))
        if status != 200:
            raise self._failed(request.about, f"HTTP {status}: {self._message(body)}")
        return _reply(body)

    def _payload(self, request: Request) -> dict[str, Any]:
        content: str | list[dict[str, Any]] = request.text
        if request.picture is not None:
            image = {"type": "image_url", "image_url": {"url": request.picture.data_url}}
            content = [image, {"type": "text", "text": request.text}]
        return {
            "model": self.served,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
            "stream": False,
        }

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _message(self, body: bytes) -> str:
        """What a server says about a failure, in one line."""
        try:
            told = json.loads(body)
            told = told.get("error", told)
            text = str(told.get("message", told) if isinstance(told, dict) else told)
        except (ValueError, AttributeError, RecursionError):
            text = body.decode("utf-8", "replace")
        # Hidden before it is cut: half a key is a leak, too.
        return self._hidden(" ".join(text.split()))[:_SHOWN].rstrip(".") or "no reason given"

    def _failed(self, about: str, reason: str) -> ServerFailed:
        return ServerFailed(url=self.shown_url, about=about, reason=self._hidden(reason))

    def _hidden(self, text: str) -> str:
        """A text without the key, should a server repeat it."""
        return text.replace(self._key, "***") if self._key else text


async def _beginning(response: httpx.Response) -> bytes:
    """The body, or a beginning of it that is longer than any answer: what sends without end must not fill the memory."""
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _LARGEST:
            break
    return bytes(body)


def _reply(body: bytes) -> Reply:
    """The reply in a response. A message without content (a refusal, a tool call) is a reply without text. Errors: _Again."""
    if len(body) > _LARGEST:
        raise _Again(f"an answer that is none: it is longer than {_LARGEST >> 20} MiB")
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        # Some servers leave out what is null.
        content = message.get("content") if "role" in message else message["content"]
        if not isinstance(content, str | None):
            raise TypeError(f"its content is of type {type(content).__name__}")
        finish = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _Again(f"an answer that is none: {type(error).__name__} {error}") from error
    # JSON can escape half a character, which no table can hold.
    text = (content or "").encode("utf-8", "replace").decode()
    return Reply(text, finish if isinstance(finish, str) and re.fullmatch(r"\w{1,40}", finish) else "unknown")


def _base_url(text: str) -> tuple[str, str]:
    """(what requests are sent to, what is shown): the URL without /v1, and that without credentials."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        # What stands before an @ may be a password, and the client's reason repeats it.
        shown, reason = (text, f": {error}") if "@" not in text else (text.rpartition("@")[2], "")
        raise BadInput(what=f"--url {shown!r} is no URL{reason}.", remedy="Such as http://localhost:8000.") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        shown = str(url.copy_with(username=None, password=None, query=None, fragment=None))
        raise BadInput(
            what=f"--url {shown!r} is no address of a server (http or https, without '?' or '#').",
            remedy="Such as http://localhost:8000, or https://host/prefix/v1.",
        )
    path = url.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    plain = url.copy_with(path=path or "/")
    return str(plain).rstrip("/"), str(plain.copy_with(username=None, password=None)).rstrip("/")


def _retry_after(value: str | None) -> float:
    """Seconds to wait by a Retry-After header: a number of seconds, or a date."""
    if value is None:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
