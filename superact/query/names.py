"""Names that a caller gives, checked against those that there are, with the nearest ones suggested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput
from superact.schemas import tables
from superact.store import State

if TYPE_CHECKING:
    from superact.query.session import Session

_MOST = 5

_WORDS = {"unit": ("token", "cls", "sample"), "split": ("train", "cal", "test")}
"""Columns whose values are fixed, whatever the warehouse holds."""

_LISTED = {
    "label": "SELECT DISTINCT label AS name FROM labels",
    "detector": "SELECT detector AS name FROM detectors() UNION ALL SELECT 'prompt'",
    "method": "SELECT method AS name FROM concept_sets UNION SELECT method FROM summary",
    "delta": "SELECT unnest(deltas()) AS name",
}
"""Columns whose values are those of a table."""


Name = str | int | float


def nearest(name: Name, known: Iterable[Name]) -> list[Name]:
    """The known names most like `name`: numbers by distance, text by likeness (case aside), else the first few."""
    known = sorted(set(known))
    if not isinstance(name, str):
        return sorted(sorted(known, key=lambda other: abs(float(other) - name))[:_MOST])
    by_fold = {str(other).casefold(): other for other in known}
    found = [by_fold[fold] for fold in get_close_matches(name.casefold(), by_fold, _MOST, cutoff=0.4)]
    return found or known[:_MOST]


def unknown(kind: str, name: Name, known: Iterable[Name], of: str = "") -> BadInput:
    """The error for a name that is not there; `of` says among what it was looked for."""
    known = list(known)
    shown = f"{name!r}" if isinstance(name, str) else str(name)
    if not known:
        return BadInput(what=f"There is no {kind} {shown}: there is none at all.", remedy="See `superact info`.")
    remedy = f"The nearest: {', '.join(map(str, nearest(name, known)))}."
    return BadInput(what=f"There is no {kind} {shown}{of}.", remedy=remedy)


def check_known(state: State, table: str = "concepts", **wanted: Any) -> None:
    """Raise BadInput, suggesting names, where a wanted path key is none that the table's partitions have.

    Keys are looked at in path order, each among the partitions that have those before it: a layer among the layers of the
    wanted dataset and model.
    """
    before: dict[str, Any] = {}
    for name in tables()[table].path:
        value = wanted.get(name)
        if value is None:
            continue
        known = _keys(state, table, name, **before)
        for one in value if isinstance(value, (list, tuple, set, frozenset)) else [value]:
            if known and one not in known:
                given = " ".join(map(str, before.values()))
                raise unknown(name.replace("_", " "), one, known, f" of {given}" if given else "")
        before[name] = value


def _keys(state: State, table: str, name: str, **wanted: Any) -> set[Name]:
    """The values of a path key among the partitions of a table that match."""
    keys = (dict(published.partition.keys) for published in state.select(table, **wanted))
    return {own[name] for own in keys if name in own}


def check_values(session: Session, wanted: Mapping[str, Any]) -> None:
    """Raise BadInput, suggesting names, where a filter asks for a value that no table of the warehouse could have.

    Known are the path keys of all partitions, the words for units and splits, the detectors, the labels of table labels and
    the methods of table concept_sets: what is known and has no row is no mistake. Columns besides those are not checked, and
    neither is a column that the warehouse has no value of.
    """
    for name, value in wanted.items():
        known = _known_values(session, name)
        if name == "delta":
            check_delta(value)
        for one in value if isinstance(value, (list, tuple, set, frozenset)) else [value]:
            if known and one not in known:
                raise unknown(name.replace("_", " "), one, known)


def check_delta(delta: float) -> None:
    """Raise BadInput for a delta that is no fraction between 0 and 1."""
    if not 0 < delta < 1:
        raise BadInput(
            what=f"{delta} is no delta: a delta is the fraction of in-concept calibration values kept above the threshold.",
            remedy="Give a number between 0 and 1, such as 0.05.",
        )


def _known_values(session: Session, name: str) -> list[Any]:
    if name in _WORDS:
        return list(_WORDS[name])
    if name in _LISTED:
        return session.sql(_LISTED[name])["name"].to_list()
    keys = (dict(partition.keys) for partition in session.warehouse.state().partitions)
    return list({own[name] for own in keys if name in own})
