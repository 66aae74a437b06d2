"""Which derived partitions were made from inputs that have changed since: they stand until the next eval, and are named."""

from __future__ import annotations

from superact.schemas import tables
from superact.store.layout import Partition
from superact.store.manifest import Published, State

_INPUT, _LAYER = "input:", "layer:"


def stale(state: State) -> list[Published]:
    """The published partitions of metrics and sample_scores whose inputs are gone or have another identity, in key order."""
    found = [p for partition, p in state.partitions.items() if partition.derived and _is_stale(state, p)]
    return sorted(found, key=lambda p: p.partition)


def _is_stale(state: State, published: Published) -> bool:
    keys = dict(published.partition.keys)
    for name, wanted in published.identity.items():
        if name.startswith(_INPUT):
            table, own = name.removeprefix(_INPUT), keys
        elif name.startswith(_LAYER):
            table, own = "detection", {**keys, "layer": int(name.removeprefix(_LAYER))}
        else:
            continue
        source = state.partitions.get(Partition.of(table, **{key: own[key] for key in tables()[table].path}))
        if source is None or source.hash != wanted or (source.partition.derived and _is_stale(state, source)):
            return True
    return False
