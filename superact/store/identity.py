"""Identity: the flat JSON object that says what determines the content of a partition, and its hash.

Fields that begin with `label:` may be added without a mismatch: learning a label more leaves every other row as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

Identity = dict[str, Any]

EXTENSIBLE = "label:"
DERIVED_BY = "eval"
"""The step whose partitions are derived: it makes them anew by itself when an input changed."""


def canonical(identity: Identity) -> str:
    """The JSON text that is hashed: sorted keys, no blanks."""
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_of(identity: Identity) -> str:
    """Sha256 of the canonical JSON, as hex."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def digest(*parts: Any) -> str:
    """Sha256 (32 hex digits) over strings, bytes and arrays, in order."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(str((part.dtype.str, part.shape)).encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(part if isinstance(part, bytes) else str(part).encode())
        found.update(b"\0")
    return found.hexdigest()[:32]


def split_digest(sample: np.ndarray[Any, Any], split: Iterable[str]) -> str:
    """Digest of which split each sample is in: int32 [n] in ascending order, and the n names of their splits."""
    return digest(sample, *split)


def split_column_digest(split: Iterable[str]) -> str:
    """Digest of the split column of table samples, in order of its samples: what identities call `splits`."""
    return digest("\n".join(split))


def derived(identity: Identity) -> bool:
    """True for what eval computes from other tables: superseded without being asked, and stale until then."""
    return identity.get("step") == DERIVED_BY


def differences(found: Identity, wanted: Identity) -> list[str]:
    """The fields in which two identities differ, as `field: found -> wanted`, in name order."""
    missing = "(absent)"
    return [
        f"{name}: {_short(found.get(name, missing))} -> {_short(wanted.get(name, missing))}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name, missing) != wanted.get(name, missing)
    ]


def extends(found: Identity, wanted: Identity) -> bool:
    """True when `wanted` is `found` with further extensible fields and nothing else changed."""
    added = wanted.keys() - found.keys()
    return all(name in wanted and wanted[name] == value for name, value in found.items()) and all(
        name.startswith(EXTENSIBLE) for name in added
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:12] + "..."
