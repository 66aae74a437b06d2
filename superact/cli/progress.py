"""What goes to stderr: notes, and a progress line where a person is looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

Report = Callable[[str, int, int], None]
"""Called with what is being done, the number of steps done before it, and the number of all steps."""


def note(text: str, quiet: bool) -> None:
    """Say something to the person, never to the pipe."""
    if not quiet:
        typer.echo(text, err=True)


@contextmanager
def progress_line(quiet: bool) -> Iterator[Report]:
    """Yield a function that shows how far the work is; it does nothing unless stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda text, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda text, done, total: progress.update(task, description=text, completed=done, total=total)
