"""eval killed with SIGKILL in the middle of its stages: nothing of it is seen, and the same command finishes it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eval_folders import WHERE, runs_of, scored_toys
from folders import contents
from test_crash import Writers, files_are_whole

from superact.store import Warehouse
from superact.store.layout import STAGING
from superact.store.maintenance import debris, verify

TABLES = {
    "sample_scores": 2,
    "detection": 2,
    "activations": 1,
    "localization_scores": 2,
    "localization": 2,
    "summary": 2,
}
"""Files of some tables that eval writes of a stored and a dense set of one layer, in the order in which it comes to them."""


@dataclass
class Scene:
    """A scored warehouse, its rows before and after eval, and the process that forks writers."""

    place: Path
    root: Path
    before: dict[str, list[str]]
    after: dict[str, list[str]]
    counted: dict[str, int]
    writers: Writers


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    # A kill loses nothing of what was written: memory serves, and is quicker to fsync.
    memory = "/dev/shm"
    place = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    writers = Writers(place / "cache")
    try:
        root = scored_toys(place, layers=(1,), units=("token",)).root
        whole = shutil.copytree(root, place / "whole")
        counted = writers.run("evaluate", whole, seed=0)
        yield Scene(place, root, contents(root), contents(whole), counted, writers)
    finally:
        writers.close()
        shutil.rmtree(place)


def test_the_files_are_counted(scene: Scene) -> None:
    assert {table: scene.counted[table] for table in TABLES} == TABLES


@pytest.mark.parametrize(("table", "at"), [(table, at) for table, n in TABLES.items() for at in range(1, n + 1)])
def test_killed_after_a_file_of(scene: Scene, table: str, at: int) -> None:
    root = shutil.copytree(scene.root, scene.place / f"{table}-{at}")
    scene.writers.run("evaluate", root, seed=0, kind=table, at=at)
    assert contents(root) == scene.before
    assert runs_of(Warehouse(root)) == {}
    assert files_are_whole(root)
    staged = {path.stat().st_ino for path in (root / STAGING).rglob("*.parquet")}
    assert len(staged) >= at
    scene.writers.run("evaluate", root, seed=0)
    assert contents(root) == scene.after
    assert [finding for _, finding in verify(Warehouse(root)) if finding] == []
    assert debris(Warehouse(root), 0) == []
    # The roll-up of stored activations is not made twice.
    (scores,) = Warehouse(root).paths("sample_scores", concept_set="avg", **WHERE)
    assert Path(scores).stat().st_ino in staged
    shutil.rmtree(root)
