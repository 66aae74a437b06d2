"""Writers killed with SIGKILL at chosen moments, resumed, and watched by a reader that never stops."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from folders import contents, write_folder

from superact.errors import BadInput
from superact.query import Session
from superact.schemas import tables
from superact.store import Warehouse
from superact.store.maintenance import debris, verify
from superact.store.rows import activation_rows

COUNTED = [table for table in tables().values() if table.room != "manifest"]
NOT_HERE = {"null_summary", "sae_units", "prompt_detection", "prompt_localization"}
"""Filled by `eval --null`, and from sparse autoencoders and prompt answers, alone."""
WITH_RUN = [
    table.name
    for table in COUNTED
    if any(column.name == "run" for column in table.columns) and table.name not in NOT_HERE
]
SIGHT = ", ".join(
    [f"(SELECT count(*) FROM {table.name}) AS {table.name}" for table in COUNTED]
    + [f"(SELECT list(DISTINCT run ORDER BY run) FROM {name}) AS run_{name}" for name in WITH_RUN]
    + ["(SELECT list(rms ORDER BY rms) FROM layer_stats) AS rms", "(SELECT min(digest) FROM datasets) AS digest"]
)
"""What a look sees: rows of every table, the runs behind the metrics, and two values that tell contents apart."""

BETWEEN_RENAMES, KILLS = 20, 50  # at least


class Writers:
    """The process that forks writers (crash_child.py)."""

    def __init__(self, cache: Path) -> None:
        script = Path(__file__).with_name("crash_child.py")
        environment = {**os.environ, "SUPERACT_CACHE": str(cache), "POLARS_MAX_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.kills = 0
        self.between_renames = 0

    def run(self, action: str, warehouse: Path, *, kind: str | None = None, at: int = 0, torn: bool = False, **more):
        command = {"action": action, "warehouse": str(warehouse), "kind": kind, "at": at, "torn": torn, **more}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["killed"] == (at > 0), answer
        assert answer.get("error") is None, answer["error"]
        self.kills += at > 0
        self.between_renames += kind == "rename"
        return answer

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Reader(threading.Thread):
    """Looks at a warehouse again and again: through a session of its own each time, and through one that is kept."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.path: Path | None = None
        self.seen: set[str] = set()
        self.failures: list[str] = []
        self._passes = 0
        self._ended = False
        self._changed = threading.Condition()

    def watch(self, path: Path) -> None:
        with self._changed:
            self.path = path
            self.seen = set()

    def leave(self) -> None:
        """Look at nothing any more; returns when the last look has ended."""
        with self._changed:
            self.path = None
        self.look()

    def look(self) -> None:
        """Wait until a look that begins from now on has ended: the one after the one under way."""
        with self._changed:
            wanted = self._passes + 2
            assert self._changed.wait_for(lambda: self._passes >= wanted or self.failures, timeout=120)

    def stop(self) -> None:
        self._ended = True
        self.join()

    def run(self) -> None:
        kept: Session | None = None
        of: Path | None = None
        while not self._ended:
            with self._changed:
                path = self.path
            if path != of:
                if kept:
                    kept.connection.close()
                kept, of = None, path
            found = []
            try:
                if path is not None:
                    if kept is None:
                        kept = _open(path)
                    if self._passes % 2:  # every other time it has to find out by itself
                        kept.refresh()
                    found.append(_sight(kept))
                    fresh = _open(path)
                    found.append(_sight(fresh))
                    fresh.connection.close()
            except BadInput as error:
                if "There is no warehouse" not in str(error):
                    self.failures.append(repr(error))
            except Exception as error:
                self.failures.append(repr(error))
            with self._changed:
                if path == self.path:
                    self.seen.update(found)
                self._passes += 1
                self._changed.notify_all()
                if not found:
                    self._changed.wait(0.005)  # nothing there yet: leave the processor to the writer


def _open(path: Path) -> Session:
    return Session(Warehouse.open(path), threads=1)


def _sight(session: Session) -> str:
    return json.dumps(session.sql(f"SELECT {SIGHT}").to_dicts()[0], default=list, sort_keys=True)


def sight(root: Path) -> dict:
    session = _open(root)
    try:
        return json.loads(_sight(session))
    finally:
        session.connection.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    # A kill, unlike a power cut, loses nothing of what was written: memory serves, and is quicker to fsync.
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("crash")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def writers(place) -> Iterator[Writers]:
    process = Writers(place / "cache")
    yield process
    process.close()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    thread = Reader()
    thread.start()
    yield thread
    thread.stop()


def files_are_whole(root: Path) -> bool:
    """What a bare glob reads: every Parquet file under tables/ and metrics/ is complete, whatever was killed."""
    for room in ("tables", "metrics"):
        for path in (root / room).rglob("*.parquet"):
            pq.read_table(path)
    return True


def spread(last: int, n: int) -> list[int]:
    """n different whole numbers from 1 to last, evenly."""
    return sorted({1 + round(i * (last - 1) / (n - 1)) for i in range(n)})


def crash_and_resume(writers: Writers, reader: Reader, root: Path, wanted: dict, killed: dict, **action) -> set[str]:
    """Kill a writer, look, let another finish, look; everything must be as if nothing had happened."""
    reader.watch(root)
    reader.look()  # what was there before is seen, however busy the machine
    writers.run(warehouse=root, **action, **killed)
    reader.look()
    assert files_are_whole(root)
    writers.run(warehouse=root, **action)
    reader.look()
    assert reader.failures == []
    warehouse = Warehouse(root)
    assert contents(root) == wanted
    assert [finding for _, finding in verify(warehouse) if finding] == []
    assert debris(warehouse, 0) == []
    seen = set(reader.seen)
    reader.leave()
    shutil.rmtree(root)
    return seen


@pytest.fixture(scope="module")
def imported(place, writers):
    """An uninterrupted import: its folder, its rows, what a reader sees of it, and how many moments it has."""
    folder = write_folder(place / "folder", units=("token",), sets=("avg", "linsep", "avg.b"))
    counted = writers.run("import", place / "whole", folder=str(folder), replace=False)
    return folder, contents(place / "whole"), sight(place / "whole"), counted


def nothing(full: dict) -> dict:
    return {name: 0 if isinstance(value, int) else None for name, value in full.items()}


def allowed(*sights: dict) -> set[str]:
    return {json.dumps(each, sort_keys=True) for each in sights}


def import_kills(imported, writers, reader, place, kills):
    folder, rows, full, _ = imported
    for number, killed in enumerate(kills):
        root = place / f"import-{number}"
        action = {"action": "import", "folder": str(folder), "replace": False}
        seen = crash_and_resume(writers, reader, root, rows, killed, **action)
        assert seen <= allowed(nothing(full), full)
        assert json.dumps(full, sort_keys=True) in seen


def test_an_import_has_many_renames(imported):
    _, rows, full, counted = imported
    assert counted["rename"] == 7 + 2 + 2 + 6 + 6
    assert full["embeddings"] == 2 * 9 * 3 == len(rows["embeddings"])
    assert full["concepts"] == 2 * 3 * 2


def test_killed_between_the_first_and_the_last_rename(imported, writers, reader, place):
    moved = imported[3]["rename"]
    import_kills(imported, writers, reader, place, [{"kind": "rename", "at": at} for at in range(1, moved)])


def test_killed_at_any_moment(imported, writers, reader, place):
    counted, chance = imported[3], random.Random(7)
    kills = [{"at": at} for at in chance.sample(range(1, counted["any"] + 1), 6)]
    kills += [{"kind": "replace", "at": at} for at in range(1, counted["replace"] + 1)]
    kills += [{"kind": "unlink", "at": at} for at in range(1, counted["unlink"] + 1)]
    kills += [{"kind": "write", "at": at, "torn": True} for at in chance.sample(range(1, counted["write"] + 1), 2)]
    import_kills(imported, writers, reader, place, kills)


def test_killed_while_replacing(imported, writers, reader, place):
    _, _, before, _ = imported
    labels, sets = ("blue", "green", "red"), ("avg", "linsep", "avg.b")
    other = write_folder(place / "other", seed=1, samples=12, labels=labels, units=("token",), sets=sets)
    action = {"action": "import", "folder": str(other), "replace": True}
    shutil.copytree(place / "whole", place / "replaced")
    counted = writers.run(warehouse=place / "replaced", **action)
    rows, after = contents(place / "replaced"), sight(place / "replaced")
    assert after["samples"] == 12 != before["samples"]
    kills = [{"kind": "rename", "at": at} for at in spread(counted["rename"] - 1, 4)]
    kills += [{"kind": "replace", "at": at} for at in range(1, counted["replace"] + 1)]
    kills += [{"kind": "unlink", "at": at} for at in spread(counted["unlink"], 2)]
    for number, killed in enumerate(kills):
        root = place / f"replace-{number}"
        shutil.copytree(place / "whole", root)
        seen = crash_and_resume(writers, reader, root, rows, killed, **action)
        assert seen == allowed(before, after)


def add_activations(root: Path) -> None:
    """Activations of every concept set of a warehouse, without a model."""
    warehouse, rng = Warehouse(root), np.random.default_rng(3)
    with warehouse.run("score") as run:
        for concepts in run.state.select("concepts"):
            keys = dict(concepts.partition.keys)
            table = run.state.get("embeddings", **{k: v for k, v in keys.items() if k != "concept_set"})
            rows = pq.ParquetFile(root / table.files[0].path).read(["sample", "token"])
            sample, token = rows["sample"].to_numpy(), rows["token"].to_numpy()
            scores = rng.normal(size=(2, 2, len(sample))).astype(np.float32)
            part = run.partition("activations", {"made": "up"}, **keys)
            part.write(0, activation_rows(["blue", "red"], sample, token, *scores))
        run.publish()


def test_killed_while_evaluating_again(place, writers, reader):
    folder = write_folder(place / "small", layers=(1,), units=("token",))
    writers.run("import", place / "scored", folder=str(folder), replace=False)
    add_activations(place / "scored")
    writers.run("evaluate", place / "scored", seed=1)
    before = sight(place / "scored")
    assert before["thresholds"] > 0 and len(before["run_summary"]) == 1
    shutil.copytree(place / "scored", place / "evaluated")
    action = {"action": "evaluate", "seed": 2}
    counted = writers.run(warehouse=place / "evaluated", **action)
    rows, after = contents(place / "evaluated"), sight(place / "evaluated")
    kills = [{"kind": "rename", "at": at} for at in spread(counted["rename"] - 1, 4)]
    kills += [{"kind": "replace", "at": at} for at in spread(counted["replace"], 3)]
    kills += [{"kind": "unlink", "at": at} for at in spread(counted["unlink"], 2)]
    for number, killed in enumerate(kills):
        root = place / f"evaluate-{number}"
        shutil.copytree(place / "scored", root)
        seen = [json.loads(each) for each in crash_and_resume(writers, reader, root, rows, killed, **action)]
        runs = [[each.pop(f"run_{name}") for name in WITH_RUN] for each in seen]
        # All metric tables speak of one run, the old one or the new one, and hold all of its rows.
        assert all(len(each[0]) == 1 and each == [each[0]] * len(WITH_RUN) for each in runs)
        assert {each[0][0] for each in runs} >= {before["run_summary"][0]}
        assert len({each[0][0] for each in runs}) == 2
        counts = [{k: v for k, v in each.items() if not k.startswith("run_")} for each in (before, after)]
        assert all(each in counts for each in seen)


def test_enough_kills_were_made(writers):
    if writers.kills == 0:
        pytest.skip("counts the kills of the tests before it")
    assert writers.kills >= KILLS
    assert writers.between_renames >= BETWEEN_RENAMES
