"""Which derived partitions were made from inputs that have changed since: they stand until the next eval, and are named."""

from __future__ import annotations

from superact.schemas import tables
from superact.store.identity import hash_of
from superact.store.layout import Partition
from superact.store.manifest import Published, State

_INPUT, _LAYER = "input:", "layer:"
_OPTIONAL = frozenset({"embeddings"})
"""Inputs that may be dropped once they served: what was made from them stands."""
_OF_TOKENS = frozenset({"tokens", "token_labels"})
"""Inputs that are of the model in `tokens_of`, where a path has it: `model` is then the one that answered."""
_BY_CONTENT = frozenset({"prompt_answers"})
"""Inputs whose identity does not determine their rows: a model that is asked anew may answer otherwise."""


def input_hash(source: Published) -> str:
    """What a derived partition names an input by: the hash of its identity, and of its files where that does not say enough."""
    if source.partition.table not in _BY_CONTENT:
        return source.hash
    return hash_of({"identity": source.hash, "files": [file.sha256 for file in source.files]})


def stale(state: State) -> list[Published]:
    """The published derived partitions whose inputs are gone or have another identity, in key order."""
    found = [p for p in state.partitions.values() if p.derived and is_stale(state, p)]
    return sorted(found, key=lambda p: p.partition)


def is_stale(state: State, published: Published) -> bool:
    """True when an input of a derived partition, or an input of that, is not what it was made from."""
    # Tables without a unit in their path are about tokens.
    keys = {"unit": "token", **dict(published.partition.keys)}
    for name, wanted in published.identity.items():
        if name.startswith(_INPUT):
            table, own = name.removeprefix(_INPUT), keys
            if table in _OF_TOKENS:
                own = {**keys, "model": keys.get("tokens_of", keys["model"])}
        elif name.startswith(_LAYER):
            table, own = "selection", {**keys, "layer": int(name.removeprefix(_LAYER))}
        else:
            continue
        source = state.partitions.get(Partition.of(table, **{key: own[key] for key in tables()[table].path}))
        if source is None:
            if table not in _OPTIONAL:
                return True
        elif input_hash(source) != wanted or (source.derived and is_stale(state, source)):
            return True
    return False
