"""`superact sae`: train a sparse autoencoder, encode embeddings with one, describe one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superact.cli.errors import extra_packages
from superact.cli.ingest_options import Device, Revision
from superact.cli.options import WAREHOUSE, Out, OutputFormat, Quiet, Replace, WarehousePath
from superact.cli.progress import note, progress_line
from superact.errors import BadInput

app = typer.Typer(
    help="Sparse autoencoders: train one, encode embeddings with one, describe one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="Slug of a dataset of the warehouse.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Slug of the model whose embeddings they are.")]
Ref = Annotated[
    str,
    typer.Argument(
        metavar="SAE", help="A folder or file, hf://owner/repository/path, or owner/repository with --file."
    ),
]
InRepository = Annotated[
    str | None, typer.Option("--file", metavar="PATH", help="The file or folder in the repository.", show_default=False)
]
Layer = Annotated[int, typer.Option("--layer", metavar="NUMBER", help="The layer, an index into hidden_states.")]

_STATS = {
    "split": "VARCHAR",
    "n": "BIGINT",
    "explained_variance": "DOUBLE",
    "mse": "DOUBLE",
    "l0": "DOUBLE",
    "n_features": "BIGINT",
    "n_dead": "BIGINT",
    "dead_share": "DOUBLE",
}


@app.command()
def train(
    dataset: DatasetArgument,
    model: ModelArgument,
    layer: Layer,
    folder: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to save it, in SAELens' format.")],
    warehouse: WarehousePath = WAREHOUSE,
    unit: Annotated[str, typer.Option("--unit", metavar="token|cls", help="Train on tokens or on cls rows.")] = "token",
    kind: Annotated[
        str, typer.Option("--kind", metavar="topk|l1", help="TopK, or a ReLU with an L1 penalty.")
    ] = "topk",
    features: Annotated[
        int | None,
        typer.Option("--features", metavar="NUMBER", min=1, help="Features. Default: four for each dimension."),
    ] = None,
    k: Annotated[int, typer.Option("--k", metavar="NUMBER", min=1, help="Active features a row (topk).")] = 64,
    l1: Annotated[float, typer.Option("--l1", metavar="NUMBER", min=0, help="Weight of the penalty (l1).")] = 0.1,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", metavar="NUMBER", min=1, help="Passes. Default: as many as make about 1500 steps."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", metavar="NUMBER", min=1, help="Rows a step.")] = 512,
    lr: Annotated[float, typer.Option("--lr", metavar="NUMBER", help="Learning rate of Adam.")] = 1e-3,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", min=0, help="Seed of weights and batches.")] = 0,
    device: Device = "auto",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an SAE that superact saved in --out.")] = False,
    format: OutputFormat = None,
    quiet: Quiet = False,
) -> None:
    """Train a sparse autoencoder on the stored embeddings of the train samples of a layer.

    It reads raw embeddings, content tokens only, and no label. Prints explained variance, active features a row (l0) and
    dead features on train and on held-out cal rows. Next: superact sae encode.
    """
    from superact.cli.output import print_records
    from superact.cli.places import check_out
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    with extra_packages("superact sae train"):
        from superact.concepts.sae.train import Recipe
        from superact.ingest.train_sae import check_place, save, train_sae
        from superact.models.base import choose_device

        _check_units((unit,))
        check_place(folder, replace)
        check_out(folder / "cfg.json")
        recipe = Recipe(kind, features, k, l1, epochs, batch, lr, seed)
        keys = {"dataset": dataset.lower(), "model": model.lower(), "layer": layer, "unit": unit}
        with progress_line(quiet) as report:
            trained = train_sae(opened, recipe, **keys, device=str(choose_device(device)), progress=report)  # type: ignore[arg-type]
        save(trained, folder)
    made = trained.record["recipe"]
    note(
        f"trained {made['features']:,} features on {trained.record['rows']:,} rows of {' '.join(map(str, keys.values()))}, "
        f"{made['epochs']} epochs; saved in {folder}",
        quiet,
    )
    print_records(trained.stats, _STATS, format, None)


@app.command()
def encode(
    dataset: DatasetArgument,
    model: ModelArgument,
    sae: Ref,
    layer: Layer,
    warehouse: WarehousePath = WAREHOUSE,
    unit: Annotated[
        str, typer.Option("--unit", metavar="token,cls", help="Tokens, whole samples (cls), or both.")
    ] = "token,cls",
    concept_set: Annotated[
        str, typer.Option("--concept-set", metavar="SLUG", help="Name of the set, for several SAEs side by side.")
    ] = "sae",
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", metavar="NUMBER", min=1, help="Keep the largest so many of each row. Default: all."),
    ] = None,
    file: InRepository = None,
    revision: Revision = None,
    device: Device = "auto",
    replace: Replace = False,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Encode the stored embeddings of a layer with a sparse autoencoder.

    Writes what is above 0 into table sae_activations, and its features as concepts of a set of method sae. Prints how
    well it explains each split. Resumes where it stopped. Next: superact eval.
    """
    from superact.cli.output import print_records
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    with extra_packages("superact sae encode"):
        from superact.concepts.sae import load_sae
        from superact.ingest.encode import encode as run_stage
        from superact.ingest.sae_stats import read_stats
        from superact.models.base import choose_device

        units = _check_units(tuple(part.strip() for part in unit.split(",")))
        loaded = load_sae(sae, file=file, revision=revision).to(choose_device(device))
        keys = {"dataset": dataset.lower(), "model": model.lower(), "layer": layer, "concept_set": concept_set}
        with progress_line(quiet) as report:
            rows = run_stage(opened, loaded, **keys, units=units, top_k=top_k, replace=replace, progress=report)  # type: ignore[arg-type]
        stats = read_stats(opened, **keys, unit=list(units))
    note(f"encode: {rows:,} rows of sae_activations" if rows else "encode: nothing to do, all of it is there", quiet)
    print_records(stats, {"unit": "VARCHAR", **_STATS}, format, out)


@app.command()
def describe(
    sae: Ref,
    file: InRepository = None,
    revision: Revision = None,
    format: OutputFormat = None,
    out: Out = None,
) -> None:
    """Load a sparse autoencoder and show what it is.

    Kind, sizes, what is done to its input, where it came from, its digest, and what its configuration says.
    """
    from superact.cli.output import print_records

    with extra_packages("superact sae describe"):
        from superact.concepts.sae import load_sae

        loaded = load_sae(sae, file=file, revision=revision)
    facts = {"name": loaded.name, "source": loaded.source, **loaded.settings, "digest": loaded.digest}
    facts |= {f"about.{name}": value for name, value in (loaded.about or {}).items()}
    records = [{"field": field, "value": str(value)} for field, value in facts.items() if value is not None]
    print_records(records, {"field": "VARCHAR", "value": "VARCHAR"}, format, out)


def _check_units(units: tuple[str, ...]) -> tuple[str, ...]:
    if not units or not set(units) <= {"token", "cls"}:
        raise BadInput(what=f"--unit {','.join(units)!r} is unknown.", remedy="Use token or cls.")
    return tuple(dict.fromkeys(units))
