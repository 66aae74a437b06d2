"""Names that a caller gives, checked against those that there are, with the nearest ones suggested."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from superact.errors import BadInput
from superact.store import State

_MOST = 5


def nearest(name: str | int, known: Iterable[str | int]) -> list[str | int]:
    """The known names most like `name`: numbers by distance, text by likeness (case aside), else the first few."""
    known = sorted(set(known))
    if isinstance(name, int):
        return sorted(sorted(known, key=lambda other: abs(int(other) - name))[:_MOST])
    by_fold = {str(other).casefold(): other for other in known}
    found = [by_fold[fold] for fold in get_close_matches(name.casefold(), by_fold, _MOST, cutoff=0.4)]
    return found or known[:_MOST]


def unknown(kind: str, name: str | int, known: Iterable[str | int]) -> BadInput:
    """The error for a name that is not there."""
    known = list(known)
    shown = f"{name!r}" if isinstance(name, str) else str(name)
    if not known:
        return BadInput(what=f"There is no {kind} {shown}: there is none at all.", remedy="See `superact info`.")
    remedy = f"The nearest: {', '.join(map(str, nearest(name, known)))}."
    return BadInput(what=f"There is no {kind} {shown}.", remedy=remedy)


def check_known(state: State, table: str = "concepts", **wanted: Any) -> None:
    """Raise BadInput, suggesting names, where a wanted path key is none that the table's partitions have."""
    for name, value in wanted.items():
        if value is None:
            continue
        known = {dict(p.partition.keys)[name] for p in state.select(table) if name in dict(p.partition.keys)}
        if not known:
            continue
        for one in value if isinstance(value, (list, tuple, set, frozenset)) else [value]:
            if one not in known:
                raise unknown(name.replace("_", " "), one, known)
