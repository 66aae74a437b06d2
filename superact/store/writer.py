"""The background writer: one thread that takes work in order, within a byte budget.

Guarantees
----------
Order         work is done first in, first out, by one thread.
Back-pressure `submit` waits while the bytes in flight exceed the budget, so that a slow disk slows the producer down
              instead of filling memory. One item larger than the budget passes alone.
Failure       the first failure is kept; it is raised by the next `submit` or by `drain`, and nothing after it runs.
End           `drain` returning is the only success. Leaving the context on an error drops what still waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

DEFAULT_BUDGET = 256 << 20


class BackgroundWriter:
    """Runs submitted calls on one thread, holding at most `budget` bytes of pending work."""

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self._budget = budget
        self._pending: deque[tuple[Callable[[], None], int]] = deque()
        self._in_flight = 0
        self._unfinished = 0  # items, because one of zero bytes is unfinished, too
        self._failure: BaseException | None = None
        self._closing = False
        self._dropped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="superact-writer", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], None], size: int) -> None:
        """Queue `call`, which holds `size` bytes until it has run; waits while the budget is spent."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or self._closing or not self._in_flight or self._in_flight + size <= self._budget
            )
            self._raise_failure()
            if self._closing:
                raise RuntimeError("the writer is closed")
            self._pending.append((call, size))
            self._in_flight += size
            self._unfinished += 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until everything submitted has run; raise the first failure if there was one.

        Errors: RuntimeError when `close` dropped work, which is then not done.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._unfinished or self._dropped)
            self._raise_failure()
            if self._dropped:
                raise RuntimeError("the writer was closed before its work was done")

    def close(self) -> None:
        """Stop the thread after the item it is at; pending work is dropped."""
        with self._changed:
            self._closing = True
            self._dropped = self._dropped or bool(self._pending)
            self._pending.clear()
            self._changed.notify_all()
        self._thread.join()

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                call, size = self._pending.popleft()
            failure: BaseException | None = None
            try:
                call()
            except BaseException as error:  # handed to the producer, whatever it is
                failure = error
            # The closure holds the data: let go of it before its bytes are given back.
            del call
            with self._changed:
                self._in_flight -= size
                self._unfinished -= 1
                if failure:
                    self._failure = failure
                    self._pending.clear()
                self._changed.notify_all()
            if failure:
                return

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
