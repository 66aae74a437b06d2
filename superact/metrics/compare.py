"""The methods x detectors table of the paper: one row a (concept set, detector), from the summaries that eval published.

Under them stands one row a prompted model of the dataset, whatever the comparison is narrowed to.
Nothing is locked or written, and nothing but paired differences is computed that is not in the warehouse already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import fmean, stdev
from typing import Any

from superact.errors import BadInput, MissingTable
from superact.metrics.paired import add_differences, layers_of
from superact.metrics.prompts import METHOD as PROMPT
from superact.metrics.prompts import PROMPT as PROMPT_KEYS
from superact.query import Session, sql_file
from superact.query.names import check_known, unknown
from superact.store import State

Row = dict[str, Any]

DETECTORS = ("superactivator", "max_token", "mean_token", "last_token", "random_token", "cls")
"""In the order they are compared: the tail, its nearest rival, then what looks at other tokens or at none."""
FLOORS = ("always", "coin")
"""Methods of the rows that are floors: every sample detected, and a coin that fires with the label's cal prevalence."""

_WHICH_SAE = ("digest", "source", "seed")
"""Hyperparameters of a set of method sae that say which autoencoder it is, and not how that was trained."""
_METHODS = ("avg", "linsep", "kmeans", "kmeans-linsep", "sae", "imported")
_COLUMNS = {
    **dict.fromkeys(("dataset", "model", "concept_set", "method", "unit", "detector", "layer_choice"), "VARCHAR"),
    "layer": "INTEGER",
    **dict.fromkeys(("f1", "ci_low", "ci_high"), "DOUBLE"),
    **dict.fromkeys(("n_labels", "n_positive"), "BIGINT"),
    "null_f1": "DOUBLE",
    "note": "VARCHAR",
}
_AGAINST = {"against": "VARCHAR", **dict.fromkeys(("difference", "difference_low", "difference_high"), "DOUBLE")}
_SEEDS = {"n_seeds": "BIGINT", "f1_std": "DOUBLE"}


@dataclass(frozen=True)
class Comparison:
    """The rows of one dataset and model, prompted models and floors last, and what a title over them says.

    `model` is None where nothing but prompted models was evaluated; `answering` gives those their display names. `layer` is
    None where each label stands at its best layer of `layers`. `n_labels` and `n_positive` are those of the floors, over every
    label that some row averages over; a row may have fewer. `sets` gives each concept set its layers.
    """

    dataset: str
    model: str | None
    blocks: int | None
    layer: int | None
    layers: tuple[int, ...]
    sets: dict[str, tuple[int, ...]]
    n_labels: int
    n_positive: int
    rows: list[Row]
    answering: dict[str, str] = field(default_factory=dict)


def columns(against: bool, seeds: bool) -> dict[str, str]:
    """The columns of the rows of a comparison, and the DuckDB type of each."""
    return {**_COLUMNS, **(_AGAINST if against else {}), **(_SEEDS if seeds else {})}


def compare(
    session: Session,
    dataset: str | None = None,
    model: str | None = None,
    *,
    unit: str | None = None,
    layer: int | None = None,
    against: str | None = None,
    seeds: bool = False,
) -> list[Comparison]:
    """Compare the detectors of every concept set: one comparison a (dataset, model) that matches, in name order.

    `layer` None takes each label at the layer that was best for it on cal. `against` names a detector: every other one of the
    same concept set gets the difference of its F1 to that one, with a paired bootstrap interval; `prompt` (`prompt:MODEL` where
    several models answered) sets every row against that prompted model. `seeds` adds, for concept sets that differ in nothing
    but seed and name, a row of their mean and standard deviation; its concept_set is their names with + between. A dataset that
    nothing but prompted models was evaluated on has a comparison of these alone, unless model, unit or layer ask for more.
    Errors: BadInput for names that are not there, MissingTable where nothing was evaluated, StaleInput and Damaged for
    differences that cannot be computed from what is there now.
    """
    state = session.warehouse.state()
    wanted = {"dataset": dataset, "model": model, "unit": unit}
    _check(session, state, wanted, layer)
    given = {**wanted, "layer": layer}
    rows = _ordered(_records(session, "compare", given))
    prompts = _records(session, "compare_prompts", {"dataset": dataset})
    floors = {(row["dataset"], row["model"]): row for row in _records(session, "compare_floors", given)}
    if against is not None:
        answering = _answering(rows, prompts, against)
        add_differences(session.warehouse, state, rows, against, answering)
        add_differences(session.warehouse, state, prompts, against, answering)
    if seeds and not any(len(members) > 1 for members in _families(rows)):
        raise BadInput(
            what="No two concept sets of one method differ only in their seed.",
            remedy="Learn another with `superact learn --seed 1 --suffix seed1`, score it and evaluate it; of method sae, "
            "train one with `superact sae train --seed 1` and encode it as another --concept-set. Sets of autoencoders whose "
            "recipe superact does not know are left out: train those again, and `superact sae encode ... --replace`.",
        )
    if seeds:
        rows = _with_means(rows)
    names = columns(against is not None, seeds)
    found: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        found.setdefault((row["dataset"], row["model"]), []).append(row)
    if (model, unit, layer) == (None, None, None):
        known = {row["dataset"] for row in rows}
        found |= {(row["dataset"], None): [] for row in prompts if row["dataset"] not in known}
    return [
        _comparison(found[key], [row for row in prompts if row["dataset"] == key[0]], floors.get(key), layer, names)
        for key in sorted(found, key=lambda key: (key[0], key[1] or ""))
    ]


def _answering(rows: list[Row], prompts: list[Row], against: str) -> dict[str, str] | None:
    """The prompted model of each dataset that `against` means, or None where it is a detector of the rows. Errors: BadInput."""
    detector, _, model = against.partition(":")
    found: dict[str, list[str]] = {}
    for row in prompts:
        found.setdefault(row["dataset"], []).append(row["model"])
    detectors = {row["detector"] for row in rows} | ({PROMPT} if prompts else set())
    if detector not in detectors or (model and detector != PROMPT):
        raise unknown("detector", against, detectors)
    if detector != PROMPT:
        return None
    if model and not any(model in own for own in found.values()):
        raise unknown("answering model", model, {one for own in found.values() for one in own})
    for dataset, own in found.items():
        if not model and len(own) > 1:
            raise BadInput(
                what=f"Several models answered for {dataset}: {', '.join(own)}.",
                remedy=f"Say which, as in --against {PROMPT}:{own[0]}.",
            )
    return {dataset: model or own[0] for dataset, own in found.items() if not model or model in own}


def _check(session: Session, state: State, wanted: dict[str, Any], layer: int | None) -> None:
    """Raise BadInput for a name or layer that is not there, MissingTable where it is and has no summary."""
    check_known(state, "samples", dataset=wanted["dataset"])
    check_known(state, model=wanted["model"])
    if wanted["unit"] not in (None, "token", "cls"):
        raise unknown("unit", wanted["unit"], ("token", "cls"))
    every = state.select("summary", **wanted)
    summaries = [published for published in every if not PROMPT_KEYS.items() <= dict(published.partition.keys).items()]
    if not summaries and (not every or wanted["model"] is not None or layer is not None):
        named = {name: value for name, value in wanted.items() if value is not None}
        raise MissingTable(
            stage="compare",
            table="summary",
            where=" ".join(named.values()) or "any dataset",
            warehouse=session.warehouse.root,
            command=" ".join(["superact eval", *(f"--{name} {value}" for name, value in named.items())]),
        )
    known = {number for published in summaries for number in layers_of(published)}
    if layer is not None and layer not in known:
        raise unknown("layer", layer, known)


def _records(session: Session, name: str, given: dict[str, Any]) -> list[Row]:
    with session.stream_own(sql_file("superact.metrics", name), given) as rows:
        return [record for batch in rows for record in batch.to_pylist()]


def _ordered(rows: Iterable[Row]) -> list[Row]:
    """By dataset and model, methods in the paper's order, then concept set, then detector."""

    def key(row: Row) -> tuple[Any, ...]:
        place = _place(_METHODS, row["method"]), row["concept_set"], _place(DETECTORS, row["detector"])
        return (row["dataset"], row["model"], *place)

    return sorted(rows, key=key)


def _place(names: Sequence[str], name: str) -> tuple[int, str]:
    return (names.index(name) if name in names else len(names), name)


def _comparison(
    rows: list[Row], prompts: list[Row], floor: Row | None, layer: int | None, names: Iterable[str]
) -> Comparison:
    first, floors = [*rows, *prompts][0], [] if floor is None else _floors(floor)
    sets: dict[str, tuple[int, ...]] = {}
    for row in rows:
        if row.get("layers"):
            sets[row["concept_set"]] = tuple(sorted({*sets.get(row["concept_set"], ()), *row["layers"]}))
    return Comparison(
        dataset=first["dataset_name"],
        model=first["model_name"] if rows else None,
        blocks=first["blocks"] if rows else None,
        layer=layer,
        layers=tuple(sorted({number for own in sets.values() for number in own})),
        sets=sets,
        n_labels=floor["n_labels"] if floor else 0,
        n_positive=floor["n_positive"] if floor else 0,
        rows=[{name: row.get(name) for name in names} for row in [*rows, *prompts, *floors]],
        answering={row["model"]: row["model_name"] for row in prompts},
    )


def _floors(floor: Row) -> list[Row]:
    shared = {name: floor[name] for name in ("dataset", "model", "n_labels", "n_positive")}
    return [{**shared, "method": name, "f1": floor[name]} for name in FLOORS]


def _families(rows: list[Row]) -> list[list[Row]]:
    """The rows of each detector whose concept sets differ in seed and name alone, one row a seed.

    Of autoencoders only those that say how they were trained: others may differ in more than they say.
    """
    found: dict[tuple[Any, ...], dict[int, Row]] = {}
    for row in rows:
        settings = None if row["seed"] is None else _settings(row)
        if settings is not None:
            key = (*(row[name] for name in ("dataset", "model", "method", "unit", "detector")), settings)
            found.setdefault(key, {}).setdefault(row["seed"], row)
    return [list(members.values()) for members in found.values()]


def _settings(row: Row) -> str | None:
    """How the set of a row was made at each of its layers, but for the seed; None where that of an autoencoder is not known."""
    found = [dict(settings) for settings in row["settings"]]
    if row["method"] == "sae":
        for settings in found:
            own = json.loads(settings["hyperparameters"] or "{}")
            if "recipe" not in own:
                return None
            settings["hyperparameters"] = {name: value for name, value in own.items() if name not in _WHICH_SAE}
    return json.dumps(found, sort_keys=True)


def _with_means(rows: list[Row]) -> list[Row]:
    """The rows, and after the last concept set of each family the means of its detectors."""

    def concept_set(row: Row) -> tuple[str, ...]:
        return row["dataset"], row["model"], row["concept_set"]

    means: dict[tuple[str, ...], list[Row]] = {}
    for members in _families(rows):
        if len(members) > 1:
            means.setdefault(concept_set(members[-1]), []).append(_mean(members))
    found = []
    for key, own in groupby(rows, concept_set):
        found += [{**row, "n_seeds": 1} for row in own]
        found += means.get(key, [])
    return found


def _mean(members: list[Row]) -> Row:
    """One detector over the seeds of a family: means, the deviation of F1 (ddof 1), and whatever all of them agree in."""
    first = {name: value for name, value in members[0].items() if name != "layers"}
    same = {name: value if all(row[name] == value for row in members) else None for name, value in first.items()}
    f1 = [row["f1"] for row in members]
    return {
        **same,
        "concept_set": "+".join(row["concept_set"] for row in members),
        **{
            name: _average((row.get(name) for row in members), len(members)) for name in ("f1", "null_f1", "difference")
        },
        **dict.fromkeys(("ci_low", "ci_high", "difference_low", "difference_high")),
        "n_seeds": len(members),
        "f1_std": None if None in f1 else stdev(f1),
    }


def _average(values: Iterable[float | None], n: int) -> float | None:
    numbers = [number for number in values if number is not None]
    return fmean(numbers) if len(numbers) == n else None
