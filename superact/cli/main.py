"""The command `superact`: one line a verb. Modules of verbs import nothing heavy until their command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli import (
    compare,
    data,
    demo,
    evaluate,
    export,
    gc,
    import_folder,
    info,
    ingest,
    models,
    plot,
    prompt,
    report,
    sae,
    score,
    show,
    sql,
    verify,
)
from superact.cli.errors import Commands

app = typer.Typer(
    cls=Commands,
    # Plain help: twice as quick as the boxed one, and the same in a pipe.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from superact import __version__

        typer.echo(f"superact {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A columnar activation store with a SQL query engine for interpretability research.

    Rows go to stdout, progress and notes to stderr. Exit codes: 0 done, 2 wrong usage, 3 wrong input, 4 damaged files,
    5 other settings than what is stored, 6 another writer, 7 no disk space, 8 a server that fails.
    """


app.command("demo")(demo.run)
app.command("ingest")(ingest.run)
app.command("extract")(ingest.extract)
app.command("learn")(ingest.learn)
app.command("import")(import_folder.run)
app.command("score")(score.run)
app.command("eval")(evaluate.run)
app.command("compare")(compare.run)
app.command("plot")(plot.run)
app.command("show")(show.run)
app.command("report")(report.run)
app.command("sql")(sql.run)
app.command("export")(export.run)
app.command("info")(info.run)
app.command("verify")(verify.run)
app.command("gc")(gc.run)
app.add_typer(prompt.app, name="prompt")
app.add_typer(sae.app, name="sae")
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="superact")


if __name__ == "__main__":
    main()
