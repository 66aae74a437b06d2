"""Where things are: partitions, their directories, and the slugs that path keys are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from superact.errors import BadInput
from superact.schemas import Table, tables

ROOMS = ("tables", "metrics")
MANIFEST = "manifest"
STAGING = "staging"

_SLUG = re.compile(r"[a-z][a-z0-9.-]*")


def check_slug(value: str, what: str) -> str:
    """Return `value` if it may stand in a path; Hive readers disagree about anything that looks like a number."""
    if not _SLUG.fullmatch(value):
        raise BadInput(
            what=f"{what} {value!r} cannot be a path key.",
            remedy="Use lower-case letters, digits, '.' and '-', beginning with a letter.",
        )
    return value


@dataclass(frozen=True, order=True)
class Partition:
    """One directory of files: a table and the values of its path keys, in the order of the table's schema."""

    table: str
    keys: tuple[tuple[str, str | int], ...]

    @classmethod
    def of(cls, table: str, **keys: str | int) -> Partition:
        """Name the partition of `table` with these path keys: every key the table has, and no other."""
        schema = tables()[table]
        if set(keys) != set(schema.path):
            raise ValueError(f"{table} has the path keys {schema.path}, not {tuple(keys)}")
        for name, value in keys.items():
            if isinstance(value, str):
                check_slug(value, name)
        return cls(table, tuple((name, keys[name]) for name in schema.path))

    @property
    def schema(self) -> Table:
        """The schema of the table."""
        return tables()[self.table]

    @property
    def directory(self) -> PurePosixPath:
        """Directory relative to the warehouse, such as tables/samples/dataset=clevr."""
        return PurePosixPath(self.schema.room, self.table, *(f"{name}={value}" for name, value in self.keys))

    def matches(self, **wanted: Any) -> bool:
        """True when every wanted key that this partition has is equal to, or among, what is wanted (None: any)."""
        own = dict(self.keys)
        for name, value in wanted.items():
            if value is None or name not in own:
                continue
            allowed = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
            if own[name] not in allowed:
                return False
        return True

    def __str__(self) -> str:
        return " ".join([self.table, *(f"{name}={value}" for name, value in self.keys)])
