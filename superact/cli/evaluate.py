"""`superact eval`: from scores to every metric table."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from superact.cli.options import (
    WAREHOUSE,
    ConceptSet,
    Dataset,
    Layers,
    Model,
    Quiet,
    Replace,
    Unit,
    WarehousePath,
    path_keys,
)
from superact.cli.progress import note, progress_line


class Stage(StrEnum):
    """What of eval is to run."""

    all = "all"
    detect = "detect"
    localize = "localize"
    layers = "layers"
    distributions = "distributions"


def run(
    stages: Annotated[
        list[Stage] | None,
        typer.Argument(metavar="[STAGE]...", help="detect, localize, layers, distributions or all, the default."),
    ] = None,
    warehouse: WarehousePath = WAREHOUSE,
    dataset: Dataset = None,
    model: Model = None,
    layers: Layers = None,
    concept_set: ConceptSet = None,
    unit: Unit = None,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="Concept sets of this method only.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Evaluate this label, beside those evaluated already. May be repeated."),
    ] = None,
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs", help="Keep detection on cal of every (label, concept) pair of an unsupervised set."
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            metavar="NUMBER", min=0, max=(1 << 64) - 1, help="Of the random token, the random floor and the bootstrap."
        ),
    ] = 0,
    replicates: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Bootstrap replicates of the intervals.")
    ] = 1000,
    null: Annotated[
        bool,
        typer.Option("--null", help="Fill null_summary instead: what the same search finds when labels are shuffled."),
    ] = False,
    shuffles: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Shuffles of --null.")] = 5,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Compute the metrics of what is scored.

    detect fills sample_scores, thresholds, detection and selection; localize localization; layers layer_selection and summary;
    distributions distributions, separation and superactivator_ratio: for every layer and concept set that matches. What is
    published with the same inputs is left alone; what has other inputs by now is superseded. Unsupervised sets are scored here.
    With no stage named and nothing narrowed but the dataset, the answers of prompted models are evaluated as well.
    """
    from superact.metrics.evaluate import STAGES, Protocol, evaluate
    from superact.metrics.null import evaluate_null
    from superact.metrics.prompts import evaluate_prompts
    from superact.store import Warehouse

    opened = Warehouse.open(warehouse)
    wanted = {**path_keys(dataset, model, layers, concept_set, unit), "method": method}
    protocol = Protocol(seed=seed, replicates=replicates, all_pairs=all_pairs, labels=tuple(label) if label else None)
    chosen = STAGES if not stages or Stage.all in stages else [stage.value for stage in stages]
    if null and stages:
        raise typer.BadParameter("--null runs its own search: name no stage beside it.")
    left_out: list[str] = []
    shared = {"protocol": protocol, "replace": replace, "say": left_out.append, **wanted}
    narrowed = any(value is not None for name, value in wanted.items() if name != "dataset") or label or null
    prompted = not narrowed and chosen == STAGES and opened.state().select("prompt_answers", dataset=dataset)
    written: dict[str, int] = {}
    with progress_line(quiet) as report:
        if null:
            written = evaluate_null(opened, shuffles=shuffles, progress=report, **shared)
        elif not prompted or opened.state().select("concepts", dataset=dataset):
            written = evaluate(opened, chosen, progress=report, **shared)
        if prompted:
            own = evaluate_prompts(
                opened, dataset=dataset, protocol=protocol, replace=replace, progress=report, say=left_out.append
            )
            written |= {table: rows + written.get(table, 0) for table, rows in own.items()}
    for text in left_out:
        note(text, quiet)
    if not written:
        note("nothing was stale: every metric is there already", quiet)
    for table, rows in written.items():
        note(f"{table}: {rows:,} rows", quiet)
    if "summary" in written or not written:
        note("see it with: superact compare, or superact export summary", quiet)
