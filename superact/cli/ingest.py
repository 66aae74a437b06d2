"""`superact ingest`, and its first two stages alone: `superact extract` and `superact learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superact.cli.errors import extra_packages
from superact.cli.options import (
    DATA_ROOT,
    WAREHOUSE,
    DataRoot,
    Dataset,
    Layers,
    Model,
    Out,
    OutputFormat,
    Quiet,
    Replace,
    WarehousePath,
    names,
    numbers,
)
from superact.cli.progress import note, progress_line
from superact.errors import BadInput

if TYPE_CHECKING:
    from superact.ingest.job import Job
    from superact.ingest.learn import Recipe

DatasetRef = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="A folder under the data root, or the path of one.")
]
ModelRef = Annotated[
    str,
    typer.Option("--model", metavar="REF", help="A local model's name, a transformers folder, or a hub id."),
]
LayersOrAll = Annotated[
    str | None, typer.Option("--layers", metavar="all|NUMBERS", help="Layers, such as all or 1,6,12. Default: all.")
]
Percents = Annotated[
    str | None, typer.Option("--percent", metavar="NUMBERS", help="Layers by percent through the model: 25,50,100.")
]
Units = Annotated[str, typer.Option("--unit", metavar="token,cls", help="Tokens, whole samples (cls), or both.")]
Methods = Annotated[str, typer.Option("--methods", metavar="avg,linsep", help="How concept vectors are learned.")]
Seed = Annotated[int, typer.Option("--seed", metavar="NUMBER", min=0, help="Seed of the learners.")]
Suffix = Annotated[
    str, typer.Option("--suffix", metavar="SLUG", help="Name the sets METHOD-SLUG, beside those that are there.")
]
MaxRows = Annotated[
    int | None, typer.Option("--max-rows", metavar="NUMBER", min=2, help="Cap on linsep's training rows a label.")
]
TokenBudget = Annotated[
    int, typer.Option("--token-budget", metavar="NUMBER", min=1, help="Padded tokens a batch; part of the identity.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="NAME", help="float32, float16 or bfloat16.")]
Attention = Annotated[str, typer.Option("--attention", metavar="NAME", help="sdpa, eager or flash_attention_2.")]
Revision = Annotated[str | None, typer.Option("--revision", metavar="REF", help="Branch, tag or commit on the hub.")]
SpecialTokens = Annotated[
    str,
    typer.Option(
        "--special-tokens", metavar="auto|none", help="auto: the tokenizer's own; none: as the published runs."
    ),
]
GeometryName = Annotated[
    str | None, typer.Option("--geometry", metavar="NAME", help="squash, crop or letterbox (images).")
]
InputSize = Annotated[int | None, typer.Option("--input-size", metavar="PIXELS", min=1, help="Side of the input.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that a hub model brings.")]


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
    **options: Any,
) -> Job:
    if layers is not None and percent is not None:
        raise BadInput(what="--layers and --percent are both given.", remedy="Use one of them.")
    from superact.datasets import open_dataset
    from superact.ingest.job import Job
    from superact.models import load_model

    units = _units(unit)
    opened = open_dataset(dataset, data_root)
    loaded = load_model(model, **options)
    if percent is not None:
        chosen = loaded.resolve_layers(percents=_percents(percent))
    else:
        chosen = loaded.resolve_layers("all" if layers in (None, "all") else numbers(str(layers)))
    return Job(opened, loaded, chosen, units, token_budget)


def _recipe(methods: str, seed: int, suffix: str, max_rows: int | None) -> Recipe:
    from superact.ingest.learn import Recipe

    return Recipe(tuple(names(methods)), seed, max_rows, suffix)


def run(
    dataset: DatasetRef,
    model: ModelRef,
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    layers: LayersOrAll = None,
    percent: Percents = None,
    methods: Methods = "avg,linsep",
    unit: Units = "token,cls",
    embeddings: Annotated[
        str, typer.Option("--embeddings", metavar="keep|drop|none", help="Keep, drop after scoring, or never write.")
    ] = "keep",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print rows, bytes and files a table, and write nothing.")
    ] = False,
    seed: Seed = 0,
    suffix: Suffix = "",
    max_rows: MaxRows = None,
    token_budget: TokenBudget = 4096,
    device: Device = "auto",
    dtype: Dtype = "float32",
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
    none never writes them and runs the model three times.
    """
    from superact.store import Warehouse

    with extra_packages("superact ingest"):
        from superact.ingest.pipeline import ingest

        recipe = _recipe(methods, seed, suffix, max_rows)
        job = _job(
            dataset,
            data_root,
            model,
            layers,
            percent,
            unit,
            token_budget,
            device=device,
            dtype=dtype,
            attention=attention,
            revision=revision,
            special_tokens=special_tokens,
            geometry=geometry,
            input_size=input_size,
            trust_remote_code=trust_remote_code,
        )
        if dry_run:
            _print_estimate(job, recipe, embeddings, format, out, quiet)
            return
        note(f"{job.dataset.name} with {job.model.name}, layers {', '.join(map(str, job.layers))}", quiet)
        note(f"--embeddings {embeddings}: {_price(job, embeddings)}", quiet)
        with progress_line(quiet) as report:
            done = ingest(Warehouse(warehouse), job, recipe, embeddings=embeddings, replace=replace, progress=report)
    for stage, rows in done.__dict__.items():
        note(f"{stage}: {rows:,} rows" if rows else f"{stage}: nothing to do, all of it is there", quiet)
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


def _print_estimate(job: Job, recipe: Recipe, embeddings: str, format: Any, out: Path | None, quiet: bool) -> None:
    from superact.cli.output import print_records
    from superact.ingest.estimate import estimate, measure, prices
    from superact.store.files import human

    probe = measure(job, recipe)
    schema = {"table": "VARCHAR", "rows": "BIGINT", "bytes": "BIGINT", "files": "BIGINT"}
    print_records(estimate(job, recipe, embeddings, probe).to_dicts(), schema, format, out)
    for row in prices(job, recipe, probe).iter_rows(named=True):
        note(
            f"--embeddings {row['embeddings']}: {human(row['kept_bytes'])} kept, {human(row['peak_bytes'])} at most, "
            f"{row['passes']} forward pass{'es' if row['passes'] > 1 else ''} of about {row['seconds']:.0f} s in all",
            quiet,
        )


def extract(
    dataset: DatasetRef,
    model: ModelRef,
    warehouse: WarehousePath = WAREHOUSE,
    data_root: DataRoot = DATA_ROOT,
    layers: LayersOrAll = None,
    percent: Percents = None,
    unit: Units = "token,cls",
    embeddings: Annotated[
        str, typer.Option("--embeddings", metavar="keep|none", help="Write embeddings, or only their statistics.")
    ] = "keep",
    token_budget: TokenBudget = 4096,
    device: Device = "auto",
    dtype: Dtype = "float32",
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
            device=device,
            dtype=dtype,
            attention=attention,
            revision=revision,
            special_tokens=special_tokens,
            geometry=geometry,
            input_size=input_size,
            trust_remote_code=trust_remote_code,
        )
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
        from superact.ingest.learn import learn as run_stage
        from superact.models.base import choose_device

        recipe = _recipe(methods, seed, suffix, max_rows)
        found = {
            (str(dict(p.partition.keys)["dataset"]), str(dict(p.partition.keys)["model"]))
            for p in opened.state().select("layer_stats", dataset=dataset, model=model)
        }
        if not found:
            raise BadInput(what="Nothing that matches has been extracted.", remedy="Run `superact extract` first.")
        rows = 0
        with progress_line(quiet) as report:
            for one, other in sorted(found):
                rows += run_stage(
                    opened,
                    recipe,
                    dataset=one,
                    model=other,
                    layers=None if layers is None else numbers(layers),
                    units=_units(unit),
                    device=str(choose_device(device)),
                    replace=replace,
                    progress=report,
                )
    note(f"learn: {rows:,} rows" if rows else "learn: nothing to do, all of it is there", quiet)
