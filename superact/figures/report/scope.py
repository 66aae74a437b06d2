"""What a report is about: the datasets, models and concept sets that were evaluated, and what was chosen for each label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from superact.errors import MissingTable
from superact.figures.frames import run
from superact.metrics.compare import DETECTORS
from superact.query.names import check_known

if TYPE_CHECKING:
    import polars as pl

    from superact.query import Session
    from superact.store import State

PACKAGE = "superact.figures.report"
SUPERACTIVATOR = "superactivator"
ABSENT_IS_ZERO = "activation"
"""The measure of sparse autoencoders: a score that is not stored is 0."""
AGGREGATES = {
    "superactivator": "max",
    "max_token": "max",
    "mean_token": "mean",
    "last_token": "last",
    "random_token": "random",
    "cls": "cls",
}
"""What of the token scores each detector reads."""


@dataclass(frozen=True)
class Choice:
    """What a detector reads for a label at a layer: the concept and delta selected on cal."""

    unit: str
    concept: str
    delta: float
    f1_cal: float


@dataclass
class ConceptSet:
    """One concept set of a model. `choices`: by (layer, detector, label index), where something could be selected."""

    name: str
    method: str
    measure: str
    units: dict[int, list[str]]
    choices: dict[tuple[int, str, int], Choice] = field(default_factory=dict)
    best: dict[tuple[str, int], int] = field(default_factory=dict)
    """By (detector, label index) the layer that was best on cal."""

    @property
    def layers(self) -> list[int]:
        """In order."""
        return sorted(self.units)

    def detectors(self, layer: int) -> list[str]:
        """Those with a choice for some label at a layer, in the order they are compared."""
        found = {detector for at, detector, _ in self.choices if at == layer}
        return [name for name in DETECTORS if name in found] + sorted(found - set(DETECTORS))

    def ranked_layers(self, label: int) -> list[int]:
        """The layers at which a label has a choice, the best first: by layer_selection, then by F1 on cal."""
        found = {
            layer: max(own.f1_cal for (at, _, index), own in self.choices.items() if (at, index) == (layer, label))
            for layer in self.layers
            if any((at, index) == (layer, label) for at, _, index in self.choices)
        }
        best = self.best.get((SUPERACTIVATOR, label), self.best.get(("cls", label)))
        return sorted(found, key=lambda layer: (layer != best, -found[layer], layer))


@dataclass
class Model:
    """One model of a dataset and its concept sets."""

    name: str
    title: str
    blocks: int | None
    sets: list[ConceptSet]


@dataclass
class Dataset:
    """One dataset: its evaluated labels, the numbers of its samples by split, and its models."""

    name: str
    title: str
    modality: str
    labels: list[str]
    positives: list[int]
    facts: dict[str, Any]
    models: list[Model]

    @property
    def n_test(self) -> int:
        """Test samples."""
        return int(self.facts["test"])


@dataclass
class Scope:
    """Everything a report is about."""

    datasets: list[Dataset]
    models: list[dict[str, Any]]


def read(session: Session, name: str, **parameters: Any) -> pl.DataFrame:
    """The rows of a `.sql` file of this package."""
    return run(session, PACKAGE, name, **parameters)


def read_scope(session: Session, state: State, dataset: str | None, model: str | None) -> Scope:
    """What was evaluated, of one dataset and model, or of all.

    Errors: BadInput for names that are not there, MissingTable where nothing was evaluated.
    """
    check_known(state, "samples", dataset=dataset)
    check_known(state, dataset=dataset, model=model)
    pairs = sorted({_pair(p.partition.keys) for p in state.select("selection", dataset=dataset, model=model)})
    if not pairs:
        wanted = {"dataset": dataset, "model": model}
        named = {name: value for name, value in wanted.items() if value is not None}
        raise MissingTable(
            stage="A report",
            table="selection",
            where=" ".join(named.values()) or "any dataset",
            warehouse=session.warehouse.root,
            command=" ".join(["superact eval", *(f"--{name} {value}" for name, value in named.items())]),
        )
    titles = {row["model"]: row for row in read(session, "models").to_dicts()}
    facts = {row["dataset"]: row for row in read(session, "datasets", dataset=dataset).to_dicts()}
    datasets = []
    for name in dict.fromkeys(own for own, _ in pairs):
        labels = read(session, "labels", dataset=name)
        one = facts[name]
        found = Dataset(
            name, one["name"], one["modality"], labels["label"].to_list(), labels["positives"].to_list(), one, []
        )
        for own in (model_name for pair, model_name in pairs if pair == name):
            about = titles.get(own, {})
            sets = _sets(session, name, own, found.labels)
            found.models.append(Model(own, about.get("name") or own, about.get("blocks"), sets))
        datasets.append(found)
    used = {own for _, own in pairs} | {
        str(dict(p.partition.keys)["model"]) for p in state.select("summary", dataset=dataset, model=model)
    }
    return Scope(datasets, [row for name, row in titles.items() if name in used])


def _pair(keys: tuple[tuple[str, str | int], ...]) -> tuple[str, str]:
    named = dict(keys)
    return str(named["dataset"]), str(named["model"])


def _sets(session: Session, dataset: str, model: str, labels: list[str]) -> list[ConceptSet]:
    """The concept sets of one model with what was selected for them."""
    index = {label: number for number, label in enumerate(labels)}
    found: dict[str, ConceptSet] = {}
    for row in read(session, "sets", dataset=dataset, model=model).to_dicts():
        one = found.setdefault(row["concept_set"], ConceptSet(row["concept_set"], row["method"], row["measure"], {}))
        one.units.setdefault(row["layer"], []).append(row["unit"])
    for one in found.values():
        for row in read(session, "choices", dataset=dataset, model=model, concept_set=one.name).to_dicts():
            if row["concept"] is not None and row["label"] in index:
                key = row["layer"], row["detector"], index[row["label"]]
                one.choices[key] = Choice(row["unit"], row["concept"], row["delta"], row["f1_cal"])
    for row in read(session, "best_layers", dataset=dataset, model=model).to_dicts():
        if row["layer"] is not None and row["label"] in index and row["concept_set"] in found:
            found[row["concept_set"]].best[row["detector"], index[row["label"]]] = row["layer"]
    return list(found.values())
