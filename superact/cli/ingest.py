"""`superact ingest`, and its first two stages alone: `superact extract` and `superact learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superact.cli.concept_notes import note_costs, note_dropped, note_left_to_eval, note_without_vector
from superact.cli.errors import extra_packages
from superact.cli.ingest_options import (
    Attention,
    Autocast,
    DatasetRef,
    Device,
    DeviceMap,
    Dtype,
    GeometryName,
    InputSize,
    LayersOrAll,
    MaxRows,
    Methods,
    ModelRef,
    Percents,
    Revision,
    Seed,
    SpecialTokens,
    Suffix,
    TokenBudget,
    TrustRemoteCode,
    Units,
)
from superact.cli.options import (
    DATA_ROOT,
    WAREHOUSE,
    ClsClusters,
    Clusters,
    DataRoot,
    Dataset,
    Keep,
    Layers,
    Model,
    Out,
    OutputFormat,
    Quiet,
    Replace,
    WarehousePath,
    names,
    numbers,
    spans,
)
from superact.cli.progress import note, progress_line
from superact.cli.reading import EvaluatedLabels, ImageRoot, TextRoot, note_decisions
from superact.errors import BadInput

if TYPE_CHECKING:
    from superact.ingest.job import Job
    from superact.ingest.recipe import Recipe


def _units(text: str) -> tuple[str, ...]:
    found = tuple(names(text))
    if not found or not set(found) <= {"token", "cls"}:
        raise BadInput(what=f"--unit {text!r} is unknown.", remedy="Use token, cls, or token,cls.")
    return found


def _percents(text: str) -> list[float]:
    try:
        return [float(part) for part in names(text)]
    except ValueError:
        raise BadInput(what=f"--percent {text!r} is not a list of numbers.", remedy="Such as 25,50,100.") from None


def _job(
    dataset: str,
    data_root: Path,
    model: str,
    layers: str | None,
    percent: str | None,
    unit: str,
    token_budget: int,
    reading: dict[str, Any],
    **options: Any,
) -> Job:
    if layers is not None and percent is not None:
        raise BadInput(what="--layers and --percent are both given.", remedy="Use one of them.")
    from superact.datasets import open_dataset
    from superact.ingest.job import Job
    from superact.models import load_model

    units = _units(unit)
    opened = open_dataset(dataset, data_root, **reading)
    loaded = load_model(model, modality=opened.modality, **options)
    if percent is not None:
        chosen = loaded.resolve_layers(percents=_percents(percent))
    else:
        chosen = loaded.resolve_layers("all" if layers in (None, "all") else numbers(str(layers)))
    return Job(opened, loaded, chosen, units, token_budget)


def _recipe(methods: str, seed: int, suffix: str, max_rows: int | None, clusters: int, cls_clusters: int) -> Recipe:
    from superact.ingest.recipe import Recipe

    return Recipe(tuple(names(methods)), seed, max_rows, suffix, clusters, cls_clusters)


def run(
    dataset: DatasetRef,
    model: ModelRef,
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    labels: EvaluatedLabels = "published",
    image_root: ImageRoot = None,
    text_root: TextRoot = None,
    layers: LayersOrAll = None,
    percent: Percents = None,
    methods: Methods = "avg,linsep",
    unit: Units = "token,cls",
    embeddings: Annotated[
        str, typer.Option("--embeddings", metavar="keep|drop|none", help="Keep, drop after scoring, or never write.")
    ] = "keep",
    keep: Keep = "selected",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print rows, bytes and files a table, and write nothing.")
    ] = False,
    seed: Seed = 0,
    suffix: Suffix = "",
    max_rows: MaxRows = None,
    clusters: Clusters = 1000,
    cls_clusters: ClsClusters = 50,
    token_budget: TokenBudget = 4096,
    device: Device = "auto",
    device_map: DeviceMap = None,
    dtype: Dtype = "float32",
    autocast: Autocast = None,
    attention: Attention = "sdpa",
    revision: Revision = None,
    special_tokens: SpecialTokens = "auto",
    geometry: GeometryName = None,
    input_size: InputSize = None,
    trust_remote_code: TrustRemoteCode = False,
    replace: Replace = False,
    format: OutputFormat = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Extract hidden states, learn concepts, and score every token.

    Each stage publishes by itself, leaves alone what is there with the same settings, and resumes where it stopped.
    With --embeddings keep, further concept sets need no model; drop removes the embeddings once the scores are there;
    none never writes them and runs the model three times. Clusters (kmeans, kmeans-linsep) look at no label; superact eval
    scores them from the embeddings and stores the activations of those that it selects, unless --keep all stores every
    one here.
    """
    from superact.store import Warehouse

    with extra_packages("superact ingest"):
        from superact.ingest.learn import dropped_clusters, labels_without_vector
        from superact.ingest.pipeline import check_modes, ingest
        from superact.ingest.targets import left_to_eval

        recipe = _recipe(methods, seed, suffix, max_rows, clusters, cls_clusters)
        check_modes(recipe, embeddings, keep)
        job = _job(
            dataset,
            data_root,
            model,
            layers,
            percent,
            unit,
            token_budget,
            {"labels": labels, "image_root": image_root, "text_root": text_root},
            device=device,
            device_map=device_map,
            dtype=dtype,
            autocast=autocast,
            attention=attention,
            revision=revision,
            special_tokens=special_tokens,
            geometry=geometry,
            input_size=input_size,
            trust_remote_code=trust_remote_code,
        )
        note_decisions(job.dataset, quiet)
        if dry_run:
            _print_estimate(job, recipe, embeddings, keep, format, out, quiet)
            return
        note(f"{job.dataset.name} with {job.model.name}, layers {spans(job.layers, ', ')}", quiet)
        note(f"--embeddings {embeddings}: {_price(job, embeddings)}", quiet)
        store = Warehouse(warehouse)
        with progress_line(quiet) as report:
            done = ingest(store, job, recipe, embeddings=embeddings, keep=keep, replace=replace, progress=report)
        wanted: dict[str, Any] = {**job.keys, "layer": job.layers, "unit": job.units}
        dropped = dropped_clusters(store, recipe, **wanted)
        without = labels_without_vector(store, recipe, **wanted)
        left = left_to_eval(store, keep, **wanted, concept_set=recipe.concept_sets())
    for stage, rows in done.__dict__.items():
        if rows or not (left and stage == "score"):
            note(f"{stage}: {rows:,} rows" if rows else f"{stage}: nothing to do, all of it is there", quiet)
    note_dropped(dropped, quiet)
    note_without_vector(without, quiet)
    note_left_to_eval(left, quiet)
    note("next: superact eval", quiet)


def _price(job: Job, embeddings: str) -> str:
    """What the embeddings mode costs, in a line; --dry-run measures it."""
    from superact.store.files import human

    rows = (job.counts.content if "token" in job.units else 0) + (job.counts.samples if "cls" in job.units else 0)
    size = human(4 * job.model.width * rows * len(job.layers))
    return {
        "keep": f"at most {size} stay on disk, and further concept sets need no model",
        "drop": f"at most {size} on disk until the scores are there",
        "none": f"at most {size} are never written, for two more forward passes",
    }.get(embeddings, "unknown")


def _print_estimate(
    job: Job, recipe: Recipe, embeddings: str, keep: str, format: Any, out: Path | None, quiet: bool
) -> None:
    from superact.cli.output import print_records
    from superact.ingest.estimate import estimate, measure, prices
    from superact.store.files import human

    probe = measure(job, recipe)
    schema = {"table": "VARCHAR", "rows": "BIGINT", "bytes": "BIGINT", "files": "BIGINT"}
    print_records(estimate(job, recipe, embeddings, probe, keep).to_dicts(), schema, format, out)
    for row in prices(job, recipe, probe, keep).iter_rows(named=True):
        note(
            f"--embeddings {row['embeddings']}: {human(row['kept_bytes'])} kept, {human(row['peak_bytes'])} at most, "
            f"{row['passes']} forward pass{'es' if row['passes'] > 1 else ''} of about {row['seconds']:.0f} s in all",
            quiet,
        )
    note_costs(job, recipe, probe, keep, quiet)


def extract(
    dataset: DatasetRef,
    model: ModelRef,
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    labels: EvaluatedLabels = "published",
    image_root: ImageRoot = None,
    text_root: TextRoot = None,
    layers: LayersOrAll = None,
    percent: Percents = None,
    unit: Units = "token,cls",
    embeddings: Annotated[
        str, typer.Option("--embeddings", metavar="keep|none", help="Write embeddings, or only their statistics.")
    ] = "keep",
    token_budget: TokenBudget = 4096,
    device: Device = "auto",
    device_map: DeviceMap = None,
    dtype: Dtype = "float32",
    autocast: Autocast = None,
    attention: Attention = "sdpa",
    revision: Revision = None,
    special_tokens: SpecialTokens = "auto",
    geometry: GeometryName = None,
    input_size: InputSize = None,
    trust_remote_code: TrustRemoteCode = False,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Run the model over a dataset: samples, labels, tokens, statistics, embeddings.

    One forward pass captures all wanted layers, and only the blocks up to the deepest of them run.
    """
    from superact.store import Warehouse

    if embeddings not in ("keep", "none"):
        raise BadInput(what=f"--embeddings {embeddings!r} is unknown here.", remedy="Use keep or none.")
    with extra_packages("superact extract"):
        from superact.ingest.extract import extract as run_stage

        job = _job(
            dataset,
            data_root,
            model,
            layers,
            percent,
            unit,
            token_budget,
            {"labels": labels, "image_root": image_root, "text_root": text_root},
            device=device,
            device_map=device_map,
            dtype=dtype,
            autocast=autocast,
            attention=attention,
            revision=revision,
            special_tokens=special_tokens,
            geometry=geometry,
            input_size=input_size,
            trust_remote_code=trust_remote_code,
        )
        note_decisions(job.dataset, quiet)
        with progress_line(quiet) as report:
            rows = run_stage(
                Warehouse(warehouse),
                job,
                keep_embeddings=embeddings == "keep",
                replace=replace,
                progress=lambda i, n: report(f"extract {job.dataset.name}", i, n),
            )
    note(f"extract: {rows:,} rows" if rows else "extract: nothing to do, all of it is there", quiet)


def learn(
    dataset: Dataset = None,
    model: Model = None,
    warehouse: WarehousePath = WAREHOUSE,
    layers: Layers = None,
    unit: Units = "token,cls",
    methods: Methods = "avg,linsep",
    seed: Seed = 0,
    suffix: Suffix = "",
    max_rows: MaxRows = None,
    clusters: Clusters = 1000,
    cls_clusters: ClsClusters = 50,
    device: Device = "auto",
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Learn concept vectors from the stored embeddings of the train split.

    For every extracted (dataset, model) that matches. Needs no model; where embeddings were not kept, use `superact
    ingest --embeddings none`.
    """
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    with extra_packages("superact learn"):
        from superact.ingest.learn import dropped_clusters, labels_without_vector
        from superact.ingest.learn import learn as run_stage
        from superact.models.base import choose_device

        recipe = _recipe(methods, seed, suffix, max_rows, clusters, cls_clusters)
        found = {
            (str(dict(p.partition.keys)["dataset"]), str(dict(p.partition.keys)["model"]))
            for p in opened.state().select("layer_stats", dataset=dataset, model=model)
        }
        if not found:
            raise BadInput(what="Nothing that matches has been extracted.", remedy="Run `superact extract` first.")
        wanted = None if layers is None else numbers(layers)
        rows = 0
        with progress_line(quiet) as report:
            for one, other in sorted(found):
                rows += run_stage(
                    opened,
                    recipe,
                    dataset=one,
                    model=other,
                    layers=wanted,
                    units=_units(unit),
                    device=str(choose_device(device)),
                    replace=replace,
                    progress=report,
                )
        chosen: dict[str, Any] = {"dataset": dataset, "model": model, "layer": wanted, "unit": _units(unit)}
        dropped = dropped_clusters(opened, recipe, **chosen)
        without = labels_without_vector(opened, recipe, **chosen)
    note(f"learn: {rows:,} rows" if rows else "learn: nothing to do, all of it is there", quiet)
    note_dropped(dropped, quiet)
    note_without_vector(without, quiet)
