"""Which sets of concepts are exported, under which names, and that no two would write the same file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from superact.errors import BadInput, MissingTable
from superact.published.files import fetch
from superact.published.names import PERCENTS, con_label, folder_name, percent_of, short_name, stem_of
from superact.query import Session
from superact.query.names import check_known
from superact.schemas import tables
from superact.store import Published, State

EVALUATED = "selection"
"""The table that says that a set was evaluated: detect publishes it with thresholds and detection."""

PROMPTED = "prompt_detection"
"""The table that says that the answers of a prompted model were evaluated."""

_OF_SETS = ("thresholds", "detection", EVALUATED, "localization", "distributions", "layer_selection", "summary")

TABLES = (*_OF_SETS, PROMPTED)
"""What the files are made of: three tables of detect, those of the later stages of eval and of prompted models, which may be
missing."""

_KEYS = ("dataset", "model", "layer", "concept_set", "unit")


@dataclass(frozen=True)
class ConceptSet:
    """One set of concept vectors at one layer and unit, under its published names.

    `folder`: of the dataset. `short`: the model. `stem`: `con_label` without the layer; `percent`: the layer.
    `blocks`: T, where it is known. `listed`: the published percentages of the model.
    """

    keys: dict[str, Any]
    method: str
    supervised: bool
    score: str
    folder: str
    short: str
    stem: str
    percent: int
    blocks: int | None
    listed: tuple[int, ...]

    @property
    def con(self) -> str:
        """The published `con_label`."""
        return con_label(self.stem, self.method, self.percent)

    @property
    def unit(self) -> str:
        """`token` or `cls`."""
        return str(self.keys["unit"])

    @property
    def layer(self) -> int:
        """The layer."""
        return int(self.keys["layer"])

    def own(self, table: str) -> dict[str, Any]:
        """The path keys that one of its tables has."""
        return {name: self.keys[name] for name in tables()[table].path}

    def __str__(self) -> str:
        return " ".join(map(str, self.keys.values()))


def find_sets(session: Session, state: State, **wanted: Any) -> tuple[list[ConceptSet], list[str]]:
    """The evaluated sets that match, and the names of those that match and were not evaluated.

    Errors: BadInput for a name that no set has, and where two sets have one published name; MissingTable without any.
    """
    check_known(state, "concept_sets", **wanted)
    matching = {p.partition.keys for p in state.select("concept_sets", **wanted)}
    evaluated = {p.partition.keys for p in state.select(EVALUATED, **wanted)}
    found, left = [], []
    for row in fetch(session, "concept_sets", {}).to_dicts():
        keys = {name: row[name] for name in _KEYS}
        own = tuple(keys.items())
        if own in evaluated:
            found.append(_named(keys, row))
        elif own in matching:
            left.append(" ".join(map(str, keys.values())))
    if not found:
        where = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None) or "any dataset"
        raise MissingTable(
            stage="export --layout published",
            table=EVALUATED,
            where=where,
            warehouse=session.warehouse.root,
            command="superact eval",
        )
    check_distinct(found)
    return found, left


def inputs(state: State, chosen: Iterable[ConceptSet]) -> list[Published]:
    """The metric partitions behind the files of the sets, in key order."""
    found = set()
    for one in chosen:
        found |= {p.partition for p in state.select(PROMPTED, dataset=one.keys["dataset"])}
        for table in _OF_SETS:
            if "unit" in tables()[table].path or one.unit == "token":
                found |= {p.partition for p in state.select(table, **one.own(table))}
    return [state.partitions[partition] for partition in sorted(found)]


def has(state: State, table: str, one: ConceptSet) -> bool:
    """True when a table of a set was evaluated."""
    return state.get(table, **one.own(table)) is not None


def _named(keys: dict[str, Any], row: dict[str, Any]) -> ConceptSet:
    short = short_name(row["model"], row["model_name"], row["model_source"])
    listed = PERCENTS.get((short, row["modality"] or ""), ())
    return ConceptSet(
        keys=keys,
        method=row["method"],
        supervised=row["supervised"],
        score=row["score"],
        folder=folder_name(row["dataset"], row["dataset_name"]),
        short=short,
        stem=stem_of(short, row["method"], row["concept_set"], row["unit"], row["k"]),
        percent=percent_of(row["layer"], row["blocks"], listed),
        blocks=row["blocks"],
        listed=listed,
    )


def check_distinct(sets: list[ConceptSet]) -> None:
    """Raise BadInput where files of two sets would have one name: two seeds, two copies of a model."""
    _check(sets, lambda s: s.folder, lambda s: (s.keys["dataset"],), "--dataset")
    _check(sets, lambda s: (s.folder, s.short), lambda s: (s.keys["model"],), "--model")
    _check(sets, lambda s: (s.folder, s.stem), lambda s: (s.keys["concept_set"],), "--concept-set")
    _check(sets, lambda s: (s.folder, s.con), lambda s: (s.layer,), "--layers")


def _check(
    sets: list[ConceptSet], name: Callable[[ConceptSet], Any], source: Callable[[ConceptSet], Any], option: str
) -> None:
    first: dict[Any, ConceptSet] = {}
    for one in sets:
        other = first.setdefault(name(one), one)
        if source(other) != source(one):
            raise BadInput(
                what=f"{other} and {one} have the same published file names ({one.folder}, {one.con}).",
                remedy=f"Export one at a time with {option}, each into a folder of its own.",
            )
