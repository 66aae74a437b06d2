"""`superact data`: datasets on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from superact.cli import data_build, data_check
from superact.cli.options import DATA_ROOT, DataRoot, Out, OutputFormat, Quiet
from superact.cli.progress import note

app = typer.Typer(
    help="Datasets on this machine: list, render, build, check and describe them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
renderers = typer.Typer(help="Make a dataset with nothing to download.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(renderers, name="render")
app.add_typer(data_build.app, name="build")
app.command("check")(data_check.check)
app.command("describe")(data_check.describe)


@app.command("list")
def list_data(data_root: DataRoot = DATA_ROOT, format: OutputFormat = None, out: Out = None) -> None:
    """List the datasets of the data root, and those that plug-ins bring.

    Modality, samples, labels, the size of each split, and the package of a plug-in.
    """
    from superact.cli.output import print_records
    from superact.datasets import list_datasets
    from superact.errors import BadInput
    from superact.plugins import DATASETS, plugins

    if not data_root.is_dir() and not plugins(DATASETS):
        raise BadInput(what=f"There is no folder {data_root}.", remedy="Name the folder of datasets with --data-root.")
    texts, counts = ("name", "slug", "modality"), ("samples", "labels", "train", "cal", "test")
    columns = {**dict.fromkeys(texts, "VARCHAR"), **dict.fromkeys(counts, "BIGINT"), "source": "VARCHAR"}
    print_records(list_datasets(data_root).to_dicts(), columns, format, out)


@renderers.command()
def clevr(
    n: Annotated[int, typer.Option("--n", metavar="NUMBER", help="Scenes.")] = 400,
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Width and height.")] = 224,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The same seed gives the same pictures.")] = 0,
    name: Annotated[str, typer.Option(metavar="NAME", help="Folder below the data root.")] = "CLEVR-Mini",
    workers: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Processes; one a core when not given.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Discard an earlier render of other settings.")] = False,
    data_root: DataRoot = DATA_ROOT,
    quiet: Quiet = False,
) -> None:
    """Render scenes of one object with exact pixel masks.

    Three colours, three shapes, in CLEVR's published folder layout. Running it again renders only what is missing.
    """
    from superact.cli.errors import extra_packages
    from superact.datasets.clevr import render_clevr

    progress = False if quiet else None
    with extra_packages("superact data render"):
        done = render_clevr(data_root / name, n, size, seed, workers=workers, progress=progress, force=force)
    note(f"{done.path}: {done.n_rendered} scenes rendered, {done.n_skipped} were there already", quiet)
