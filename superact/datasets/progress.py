"""A progress bar on stderr, for library functions that are otherwise silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int, show: bool | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a bar of `total` steps by some; without a bar it does nothing.

    `show`: True or False, or None for a bar only where stderr is a terminal. Nothing to do shows no bar.
    """
    if show is False or total == 0:
        yield _stay_silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=show is None and not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda steps: progress.advance(task, steps)


def _stay_silent(steps: int) -> None:
    """Advance no bar."""
