"""How a command ends: one line on stderr and an exit code for what superact can name, a traceback for what it cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from superact.errors import BadInput, SuperactError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports for a program that SIGINT or SIGPIPE ended."""

_EXTRAS = frozenset({"torch", "transformers", "safetensors", "sklearn", "PIL", "httpx2", "tenacity"})


class Commands(TyperGroup):
    """The command group that turns errors into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            result = super().invoke(ctx)
            # Here, not at exit, so that a closed pipe is noticed where it can be handled.
            sys.stdout.flush()
            return result
        except SuperactError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader has gone (`| head`).
            _give_up_stdout()
            raise typer.Exit(BROKEN_PIPE) from error
        except OSError as error:
            from superact.store.files import disk_error

            named = disk_error(error, Path(error.filename or "standard output"))
            if not isinstance(named, SuperactError):
                raise
            _give_up_stdout()
            typer.echo(f"error: {named}", err=True)
            raise typer.Exit(named.exit_code) from error


def _give_up_stdout() -> None:
    # The interpreter flushes stdout once more at exit: let that go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextmanager
def extra_packages(what: str) -> Iterator[None]:
    """Name the extra to install where one of its packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise BadInput(
            what=f"{what} needs the package {package}, which is not installed.",
            remedy="pip install 'superact[extract]'",
        ) from error
