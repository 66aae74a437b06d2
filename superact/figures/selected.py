"""What was selected on cal for a label, which every picture of a sample is drawn with: concept, delta, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput, MissingTable
from superact.figures.about import About
from superact.figures.frames import PACKAGE, check_labels, listed, pick, run, session_of
from superact.query.names import check_delta, check_known, unknown

if TYPE_CHECKING:
    import polars as pl

    from superact.figures.frames import Source, Strings
    from superact.query import Session

DETECTORS = {
    "superactivator": ("token", "max"),
    "max_token": ("token", "max"),
    "mean_token": ("token", "mean"),
    "last_token": ("token", "last"),
    "random_token": ("token", "random"),
    "cls": ("cls", "cls"),
}
"""The detectors by name: the unit each belongs to, and the aggregate of token scores that it reads."""


@dataclass(frozen=True)
class Selected:
    """The concept that a detector reads for a label at one layer, and the threshold above which it fires.

    `delta` and `threshold` are those asked for; `measure` says which number scores a token (cosine, signed_distance or
    activation), `aggregate` how token scores become the detector's sample score.
    """

    dataset: str
    model: str
    layer: int
    concept_set: str
    unit: str
    detector: str
    label: str
    concept: str
    delta: float
    threshold: float
    f1_cal: float
    measure: str
    aggregate: str

    @property
    def keys(self) -> dict[str, Any]:
        """The parameters that the queries of this folder take."""
        return dict(self.__dict__)


def selected(
    session: Session,
    *,
    dataset: str,
    model: str,
    concept_set: str,
    label: str,
    layer: int | None = None,
    detector: str = "superactivator",
    delta: float | None = None,
) -> Selected:
    """What was selected on cal; `layer` None is the best layer on cal, `delta` None the selected one.

    Errors: BadInput for names that are not there (the nearest are suggested), for a delta that is none of the grid and for a
    label that could not be calibrated; MissingTable where nothing was evaluated.
    """
    if detector not in DETECTORS:
        raise unknown("detector", detector, DETECTORS)
    unit, aggregate = DETECTORS[detector]
    keys: dict[str, Any] = {
        "dataset": dataset,
        "model": model,
        "layer": layer,
        "concept_set": concept_set,
        "unit": unit,
    }
    _check(session, keys, label)
    keys |= {"detector": detector, "label": label}
    if layer is None:
        keys["layer"] = layer = _best_layer(session, keys)
    found = run(session, PACKAGE, "selected", **keys).to_dicts()
    if not found:
        raise _missing(session, "selection", keys)
    if found[0]["concept"] is None:
        raise BadInput(
            what=f"{label} has no threshold in concept set {concept_set} at layer {layer}: nothing could be selected on cal.",
            remedy="Choose another label or layer; table thresholds says why in column status.",
        )
    keys |= {name: found[0][name] for name in ("concept", "delta", "threshold", "f1_cal", "measure")}
    if delta is not None and delta != keys["delta"]:
        keys |= {"delta": delta, "threshold": _threshold(session, {**keys, "delta": delta})}
    return Selected(**keys, aggregate=aggregate)


@dataclass(frozen=True)
class Place:
    """A dataset, a model and a concept set, with their display names."""

    session: Session
    dataset: str
    model: str
    concept_set: str
    about: About

    def of(self, label: str, layer: int | None, delta: float | None) -> Selected:
        """What is selected there for a label."""
        keys = {"dataset": self.dataset, "model": self.model, "concept_set": self.concept_set}
        return selected(self.session, label=label, layer=layer, delta=delta, **keys)


def place(
    source: Source, modality: str | None, dataset: str | None, model: str | None, concept_set: str | None
) -> Place:
    """The dataset, model and concept set of a figure of samples; what is left out is taken where there is one.

    `modality` (image, text) narrows what counts as one dataset, None does not. Errors: those of `superact.figures.frames.pick`,
    BadInput for a dataset of the other modality.
    """
    session = session_of(source)
    if dataset is not None:
        check_known(session.warehouse.state(), "selection", dataset=dataset)
    known = run(session, PACKAGE, "modalities")
    if modality is not None:
        found = [name for name, _, kind in known.iter_rows() if kind == modality]
        if dataset is None and len(found) == 1:
            dataset = found[0]
        if dataset in known["dataset"] and dataset not in found:
            raise BadInput(
                what=f"{dataset} is no dataset of {modality}s.",
                remedy="Its figures are image_concepts, top_patches and outcome_gallery."
                if modality == "text"
                else "Its figures are text_concepts and top_tokens.",
            )
    keys = pick(session, "selection", dataset=dataset, model=model, concept_set=concept_set)
    about = run(session, PACKAGE, "about", **keys).row(0, named=True)
    return Place(session, keys["dataset"], keys["model"], keys["concept_set"], About(**about))


def labels_for(at: Place, samples: Sequence[int], label: Strings, layer: int | None, fewest: int = 3) -> list[str]:
    """The labels of a figure: those asked for, else those that the samples carry, filled up to `fewest` in name order.

    Labels that could not be calibrated (at `layer`, None: at any) are left out where none was asked for. Errors: BadInput for a
    label or layer that is not there, and where none is left.
    """
    if label is not None:
        check_labels(at.session, at.dataset, label)
        return list(dict.fromkeys(listed(label) or []))
    keys: dict[str, Any] = {"dataset": at.dataset, "model": at.model, "layer": layer, "concept_set": at.concept_set}
    check_known(at.session.warehouse.state(), "selection", **keys)
    known = run(at.session, PACKAGE, "calibrated_labels", **keys)["label"].to_list()
    if not known:
        raise BadInput(
            what=f"No label of {at.dataset} could be calibrated for detector superactivator of concept set {at.concept_set}"
            f"{'' if layer is None else f' at layer {layer}'}.",
            remedy="Choose another concept set; table thresholds says why in column status.",
        )
    carried = set(carried_by(at, samples)["label"])
    first = [name for name in known if name in carried]
    return [*first, *[name for name in known if name not in carried][: max(0, fewest - len(first))]]


def carried_by(at: Place, samples: Sequence[int]) -> pl.DataFrame:
    """The evaluated labels that samples carry: sample Int32, label String."""
    return run(at.session, PACKAGE, "carried_labels", dataset=at.dataset, samples=list(samples))


def _check(session: Session, keys: dict[str, Any], label: str) -> None:
    state = session.warehouse.state()
    check_known(state, "concept_sets", **keys)
    check_labels(session, keys["dataset"], label)
    if not state.select("selection", **keys):
        raise _missing(session, "selection", keys)


def _missing(session: Session, table: str, keys: dict[str, Any]) -> MissingTable:
    named = {name: value for name, value in keys.items() if value is not None and name not in ("detector", "label")}
    where = " ".join(f"{name} {value}" for name, value in named.items())
    command = f"superact eval --dataset {keys['dataset']} --model {keys['model']}"
    return MissingTable(
        stage="This figure", table=table, where=where, warehouse=session.warehouse.root, command=command
    )


def _best_layer(session: Session, keys: dict[str, Any]) -> int:
    found = run(session, PACKAGE, "best_layer", **keys)["layer"].to_list()
    if not found:
        raise _missing(session, "layer_selection", keys)
    if found[0] is None:
        raise BadInput(
            what=f"{keys['label']} has a threshold at no layer of concept set {keys['concept_set']}.",
            remedy="Choose another label; table thresholds says why in column status.",
        )
    return int(found[0])


def _threshold(session: Session, keys: dict[str, Any]) -> float:
    check_delta(keys["delta"])
    found = run(session, PACKAGE, "threshold_at", **keys)["threshold"].to_list()
    if not found:
        raise unknown("delta", keys["delta"], session.sql("SELECT unnest(deltas()) AS delta")["delta"].to_list())
    return float(found[0])
