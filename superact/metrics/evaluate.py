"""`superact eval`: from activations (or, of unsupervised sets, embeddings) to every metric table, in SQL.

One (layer, concept set, unit) at a time and, inside it, one range of concepts or one batch of labels at a time, so that memory
does not grow with the tables; it does with the tokens of one label's concept, whose quantiles do not spill (about 10M). What
is published already with the same inputs is left alone. Stages:

    detect          sample_scores, thresholds, detection, selection; activations of what unsupervised sets selected
    localize        localization_scores, localization
    layers          layer_selection, summary
    distributions   distributions, separation, superactivator_ratio
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from superact.cache import cache_path
from superact.errors import BadInput
from superact.metrics.detect import detect_layer
from superact.metrics.distributions import distribute_layer
from superact.metrics.evaluation import Evaluation
from superact.metrics.layer import STAGES, Keys, Layer, Protocol
from superact.metrics.layers import summarise_group
from superact.metrics.localize import localize_layer
from superact.metrics.partition import BATCH_ROWS, evaluation_connection
from superact.metrics.plan import adopted, declare, outdated, plan_layer, wanted_sets, with_labels
from superact.store import Warehouse
from superact.store.files import VerifiedFiles
from superact.store.manifest import Document

__all__ = ["STAGES", "Protocol", "evaluate"]

WRITE_BUDGET = 32 << 20
"""Bytes of finished rows that may wait to be written."""
ABOUT_TOKENS = frozenset({"localize", "distributions"})


def evaluate(
    warehouse: Warehouse,
    stages: Sequence[str] = STAGES,
    *,
    protocol: Protocol | None = None,
    replace: bool = False,
    threads: int | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[str, int, int], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
    **wanted: Any,
) -> dict[str, int]:
    """Run stages of eval for every concept set that matches `wanted` (dataset, model, layer, concept_set, unit, method).

    Stage layers takes in the layers evaluated earlier, whatever this call is narrowed to; when detect runs too, they are
    brought up to date. `say` is told what had to be left out. Publishes one run; returns the rows written to each table (empty
    when all was current).
    Errors: BadInput for unknown stages and names, MissingTable when there is nothing to evaluate or an earlier stage has
    not run, StaleInput, Damaged when an input file is not as it was published.
    """
    protocol = protocol or Protocol()
    stages = check_stages(stages, wanted.get("unit"))
    with warehouse.run("eval", replace=replace, budget=WRITE_BUDGET) as run:
        run.provenance = {"batch_rows": batch_rows, "duckdb_threads": threads, "stages": list(stages)}
        verified = VerifiedFiles(cache_path("verified.json"))
        with evaluation_connection(threads) as connection:
            evaluation = Evaluation(run, protocol, verified, connection, batch_rows, say)
            found = wanted_sets(run, evaluation.paths, say, **wanted)
            groups = group_sets(with_labels(run, evaluation.paths, found, protocol.labels))
            done, total = 0, sum(len(sets) for sets in groups)
            for sets in groups:
                if progress:
                    progress("eval " + " ".join(str(v) for k, v in sets[0].items() if k != "layer"), done, total)
                _evaluate_group(evaluation, sets, stages)
                done += len(sets)
        document = run.publish()
        verified.save()
    return rows_written(document)


def check_stages(stages: Sequence[str], unit: Any) -> list[str]:
    """The stages in the order they run. Errors: BadInput."""
    for stage in stages:
        if stage not in STAGES:
            raise BadInput(what=f"{stage!r} is not a stage of eval.", remedy=f"Choose among {', '.join(STAGES)}, all.")
    if unit == "cls" and ABOUT_TOKENS.issuperset(stages):
        raise BadInput(what=f"{' and '.join(stages)}: unit cls has no tokens.", remedy="Leave --unit out.")
    return [stage for stage in STAGES if stage in stages]


def group_sets(sets: list[Keys]) -> list[list[Keys]]:
    """The layers of every (dataset, model, concept set, unit), in order."""

    def group(keys: Keys) -> tuple[str, ...]:
        return tuple(str(keys[name]) for name in ("dataset", "model", "concept_set", "unit"))

    ordered = sorted(sets, key=lambda keys: (group(keys), keys["layer"]))
    return [list(members) for _, members in groupby(ordered, group)]


def rows_written(document: Document | None) -> dict[str, int]:
    """Rows of every table that a run published."""
    written: dict[str, int] = {}
    for entry in document["partitions"] if document else []:
        written[entry["table"]] = written.get(entry["table"], 0) + entry["rows"]
    return written


def _evaluate_group(evaluation: Evaluation, sets: list[Keys], stages: list[str]) -> None:
    """The wanted layers of one (dataset, model, concept set, unit), and for its summary those evaluated earlier.

    Of the earlier ones only what is out of date is made anew, whatever is to be replaced.
    """
    layers = [planned(evaluation, keys, stages) for keys in sets]
    for layer in layers:
        declare(evaluation.run, layer, stages)
    earlier = [planned(evaluation, keys, stages) for keys in evaluated(evaluation, sets) if "layers" in stages]
    for layer in earlier:
        if "detect" in stages and outdated(evaluation.run, layer, ["detect"]):
            declare(evaluation.run, layer, ["detect"])
    for layer in [*layers, *earlier]:
        detect_layer(evaluation, layer)
        localize_layer(evaluation, layer)
        distribute_layer(evaluation, layer)
    if "layers" in stages:
        both = sorted([*layers, *earlier], key=lambda layer: layer.number)
        summarise_group(evaluation, sets[0], both)


def planned(evaluation: Evaluation, keys: Keys, stages: Sequence[str] = ()) -> Layer:
    """The plan of one layer; a call that does not detect goes on from the detection that is published."""
    run, protocol = evaluation.run, evaluation.protocol
    if "detect" not in stages:
        protocol = adopted(run, keys, protocol)
    return plan_layer(run, protocol, keys, evaluation.paths)


def evaluated(evaluation: Evaluation, sets: list[Keys]) -> list[Keys]:
    """The other layers of a group that have detection."""
    group = {name: value for name, value in sets[0].items() if name != "layer"}
    published = evaluation.run.state.select("detection", **group)
    return [keys for keys in (dict(p.partition.keys) for p in published) if keys not in sets]
