"""Runs through the store: publishing step by step, resuming, identity, removal, and what a reader is shown."""

import json
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from folders import tree

import superact
from superact.errors import BadInput, Damaged, IdentityMismatch, NotEnoughDisk
from superact.schemas import FORMAT
from superact.store import Partition, Warehouse
from superact.store.maintenance import debris, inventory, verify
from superact.store.publish import JOURNAL, PREPARED


def labels(*names, dataset="toys"):
    return pa.table({"label": list(names), "source": ["import"] * len(names), "evaluated": [True] * len(names)})


def positives(*pairs):
    return pa.table({"sample": pa.array([s for s, _ in pairs], pa.int32()), "label": [name for _, name in pairs]})


def write(warehouse, identity, *, replace=False, publish=True, names=("red",), dataset="toys", shards=1):
    """A run of two tables: labels in one file, sample_labels in `shards` files."""
    with warehouse.run("import", replace=replace) as run:
        part = run.partition("labels", identity, dataset=dataset)
        if not part.current and 0 not in part.done:
            part.write(0, [labels(*names)])
        part = run.partition("sample_labels", identity, dataset=dataset)
        for shard in range(shards):
            if not part.current and shard not in part.done:
                part.write(shard, [positives((shard, names[0]))])
        run.drain()
        return run.publish() if publish else None


def seen(warehouse) -> dict:
    """Labels and number of positives that a reader is shown."""
    session = superact.open(warehouse.root)
    try:
        found = session.sql(
            "SELECT (SELECT list(label ORDER BY label) FROM labels) AS l, (SELECT count(*) FROM sample_labels) AS n"
        )
        return found.row(0)
    finally:
        session.connection.close()


def findings(warehouse) -> list:
    return [finding for _, finding in verify(warehouse) if finding]


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def test_a_run_is_visible_only_when_published(warehouse):
    with warehouse.run("import") as run:
        part = run.partition("labels", {"a": 1}, dataset="toys")
        part.write(0, [labels("red", "blue")])
        run.drain()
        assert warehouse.state().partitions == {}
        assert not list((warehouse.root / "tables").rglob("*.parquet"))
        document = run.publish()
    state = warehouse.state()
    published = state.get("labels", dataset="toys")
    assert (state.sequence, published.rows, published.generation, published.run) == (1, 2, 1, document["run"])
    assert published.identity == {"a": 1}
    assert warehouse.paths("labels") == [str(warehouse.root / "tables/labels/dataset=toys/part-00000.parquet")]
    assert findings(warehouse) == [] and debris(warehouse, 0) == []
    assert not any((warehouse.root / "staging").rglob("*.json*"))


def test_the_document(warehouse):
    write(warehouse, {"a": 1})
    (path,) = (warehouse.root / "manifest").iterdir()
    document = json.loads(path.read_text())
    assert path.name == f"000001-{document['run']}.json"
    assert set(document) == {
        "format",
        "sequence",
        "run",
        "stage",
        "started_at",
        "seconds",
        "versions",
        "provenance",
        "partitions",
        "removed",
    }
    assert (document["format"], document["stage"]) == (FORMAT, "import")
    assert [entry["table"] for entry in document["partitions"]] == ["labels", "sample_labels"]
    entry = document["partitions"][0]
    assert set(entry) == {"table", "keys", "generation", "identity", "meta", "rows", "files"}
    assert set(entry["files"][0]) == {"path", "rows", "bytes", "sha256", "ranges"}
    assert {"python", "duckdb", "pyarrow", "numpy"} <= set(document["versions"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", document["started_at"])


def test_equal_identity_is_a_no_op(warehouse):
    write(warehouse, {"a": 1})
    before = tree(warehouse.root)
    assert write(warehouse, {"a": 1}) is None
    assert tree(warehouse.root) == before


def test_a_run_publishes_once(warehouse):
    with warehouse.run("import") as run:
        run.partition("labels", {}, dataset="toys").write(0, [labels("a")])
        run.publish()
        with pytest.raises(RuntimeError, match="is published already"):
            run.publish()


def test_a_partition_without_a_file_cannot_be_published(warehouse):
    with warehouse.run("import") as run:
        run.partition("labels", {}, dataset="toys")
        with pytest.raises(RuntimeError, match="labels dataset=toys has no file"):
            run.publish()


def test_replacing_makes_new_names_and_deletes_the_old(warehouse):
    write(warehouse, {"a": 1}, shards=3)
    before = tree(warehouse.root / "tables")
    write(warehouse, {"a": 2}, replace=True, names=("blue", "green"), shards=2)
    after = tree(warehouse.root / "tables")
    assert sorted(Path(name).name for name in before) == [
        "part-00000.parquet",
        *(f"part-0000{i}.parquet" for i in range(3)),
    ]
    assert sorted(Path(name).name for name in after) == [
        "part-00000-2.parquet",
        "part-00000-2.parquet",
        "part-00001-2.parquet",
    ]
    assert not before.keys() & after.keys()
    assert seen(warehouse) == (["blue", "green"], 2)


def test_replacing_leaves_other_partitions_alone(warehouse):
    write(warehouse, {"a": 1})
    write(warehouse, {"a": 1}, dataset="others")
    kept = {name: data for name, data in tree(warehouse.root / "tables").items() if "others" in name}
    write(warehouse, {"a": 2}, replace=True)
    assert kept.items() <= tree(warehouse.root / "tables").items()


def test_a_removed_partition_takes_its_name_along(warehouse):
    """A name that was live once never holds other bytes: who still has the old list must not read new rows by it."""
    write(warehouse, {"a": 1})
    warehouse.remove([Partition.of("sample_labels", dataset="toys")], "drop")
    assert warehouse.state().get("sample_labels", dataset="toys") is None
    assert not (warehouse.root / "tables/sample_labels").exists()
    assert seen(warehouse) == (["red"], 0)
    write(warehouse, {"a": 1})
    assert [Path(path).name for path in warehouse.paths("sample_labels")] == ["part-00000-2.parquet"]


def test_remove_others(warehouse):
    write(warehouse, {"a": 1})
    write(warehouse, {"a": 1}, dataset="others")
    with warehouse.run("import", replace=True) as run:
        run.partition("labels", {"a": 2}, dataset="toys").write(0, [labels("blue")])
        run.remove_others(dataset="toys")
        run.publish()
    assert sorted(map(str, warehouse.state().partitions)) == [
        "labels dataset=others",
        "labels dataset=toys",
        "sample_labels dataset=others",
    ]
    assert findings(warehouse) == []
    with warehouse.run("import", replace=True) as run:
        run.remove_others(but=("labels",), dataset="others")
        run.publish()
    assert sorted(map(str, warehouse.state().partitions)) == ["labels dataset=others", "labels dataset=toys"]


class Interrupted(BaseException):
    pass


CALLS = [
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (Path, "rmdir"),
    (os, "fsync"),
    (shutil, "rmtree"),
]


class Stops:
    """Counts system calls by wrapping what makes them, and raises at the `at`-th, before or after it was made."""

    def __init__(self, monkeypatch, at=0, after=False):
        self.count, self.at, self.after = 0, at, after
        for owner, name in CALLS:
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, original):
        def call(*args, **kwargs):
            self.count += 1
            stop = self.count == self.at
            if stop and not self.after:
                raise Interrupted
            result = original(*args, **kwargs)
            if stop:
                raise Interrupted
            return result

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_publish_interrupted_at_every_step_is_finished_by_the_next_writer(tmp_path, monkeypatch, after):
    old, new = (["red"], 2), (["blue", "green"], 3)
    start = Warehouse(tmp_path / "start")
    write(start, {"a": 1}, shards=2)
    action = {"identity": {"a": 2}, "replace": True, "names": ("blue", "green"), "shards": 3}
    write(start, publish=False, **action)

    def attempt(number, at):
        warehouse = Warehouse(tmp_path / f"{after}-{number}")
        shutil.copytree(start.root, warehouse.root)
        with monkeypatch.context() as patch:
            stops = Stops(patch, at, after)
            try:
                write(warehouse, **action)
            except Interrupted:
                return warehouse, True, stops.count
            return warehouse, False, stops.count

    whole, stopped, steps = attempt("whole", 0)
    assert not stopped and seen(whole) == new and steps > 25
    wanted = sorted(tree(whole.root / "tables"))
    shown = set()
    for at in range(1, steps + 1):
        warehouse, stopped, _ = attempt(at, at)
        assert stopped, at
        found = seen(warehouse)
        shown.add((tuple(found[0]), found[1]))
        assert found in (old, new)
        assert [f for f in findings(warehouse) if "stray" not in f.problem] == []
        write(warehouse, **action)  # recovers, or resumes
        assert seen(warehouse) == new
        assert findings(warehouse) == [] and debris(warehouse, 0) == []
        names = tree(warehouse.root / "tables")
        if len(warehouse.state().documents) == 2:
            assert sorted(names) == wanted
        assert not (warehouse.root / "staging" / JOURNAL).exists()
        shutil.rmtree(warehouse.root)
    assert len(shown) == 2


def test_everything_is_on_disk_before_it_is_named(warehouse, monkeypatch):
    """The order that survives a power cut: file, its directory, journal, renames, their directories, document."""
    events = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def note(kind, path):
        events.append((kind, str(Path(path).relative_to(warehouse.root))))

    monkeypatch.setattr(os, "fsync", lambda fd: (note("fsync", Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda a, b: (note("rename", b), rename(a, b))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (note("replace", b), replace(a, b))[1])
    warehouse.root.mkdir()
    write(warehouse, {"a": 1})
    staged = "staging/tables/labels/dataset=toys"
    live = "tables/labels/dataset=toys"
    (document,) = [path for kind, path in events if kind == "replace" and path.startswith("manifest/")]
    order = [
        ("fsync", f"{staged}/part-00000.parquet"),
        ("fsync", f"staging/{PREPARED}"),
        ("replace", f"staging/{JOURNAL}"),
        ("rename", f"{live}/part-00000.parquet"),
        ("fsync", live),
        ("replace", document),
        ("fsync", "manifest"),
    ]
    at = -1
    for event in order:
        at = events.index(event, at + 1)
    last_rename = max(i for i, (kind, _) in enumerate(events) if kind == "rename")
    assert {f"{live}", "tables/sample_labels/dataset=toys"} <= {p for k, p in events[last_rename:] if k == "fsync"}
    assert ("fsync", staged) in events[events.index(order[0]) : events.index(order[2])]


def test_a_publish_that_cannot_be_finished_is_undone(warehouse, monkeypatch):
    """Only a hand can remove a staged file under a journal; the run is then resumed like any interrupted one."""
    write(warehouse, {"a": 1}, publish=False, shards=3)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        original = Path.rename
        moved = []

        def rename(source, target):
            if len(moved) == 2:
                raise Interrupted
            moved.append(target)
            return original(source, target)

        patch.setattr(Path, "rename", rename)
        write(warehouse, {"a": 1}, shards=3)
    (warehouse.root / "staging/tables/sample_labels/dataset=toys/part-00002.parquet").unlink()
    with warehouse.lock():
        assert warehouse.state().partitions == {}
        assert not list((warehouse.root / "tables").rglob("*.parquet"))
        assert not (warehouse.root / "staging" / JOURNAL).exists()
    write(warehouse, {"a": 1}, shards=3)
    assert seen(warehouse) == (["red"], 3)
    assert findings(warehouse) == []


def test_a_staged_file_that_is_gone_is_not_published(warehouse):
    with warehouse.run("import") as run:
        part = run.partition("labels", {}, dataset="toys")
        part.write(0, [labels("a")])
        run.drain()
        (part.directory / "part-00000.parquet").unlink()
        with pytest.raises(Damaged, match="it was staged to be published, and is gone"):
            run.publish()
    assert warehouse.state().documents == ()


def test_resume_takes_up_finished_files(warehouse):
    write(warehouse, {"a": 1}, publish=False, shards=2)
    with warehouse.run("import") as run:
        part = run.partition("sample_labels", {"a": 1}, dataset="toys")
        assert sorted(part.done) == [0, 1]
        assert part.rows == 2 and not part.current


def test_resume_writes_again_what_is_torn(warehouse):
    write(warehouse, {"a": 1}, publish=False, shards=3)
    staged = warehouse.root / "staging/tables/sample_labels/dataset=toys"
    progress = staged / "progress.jsonl"
    whole = progress.read_bytes()
    progress.write_bytes(whole[:-5])  # the last line was being written
    with (staged / "part-00001.parquet").open("ab") as handle:
        handle.write(b"x")  # not the size that was noted
    write(warehouse, {"a": 1}, publish=False, shards=3)  # appends after the torn line
    assert (
        len(progress.read_bytes().splitlines()) == 3 + 3
    )  # identity and two files; one of them struck out, and two written anew
    assert [json.loads(line) for line in progress.read_bytes().splitlines()]
    write(warehouse, {"a": 1}, shards=3)
    assert seen(warehouse) == (["red"], 3) and findings(warehouse) == []


def test_a_torn_identity_begins_anew(warehouse):
    write(warehouse, {"a": 1}, publish=False)
    progress = warehouse.root / "staging/tables/labels/dataset=toys/progress.jsonl"
    progress.write_bytes(progress.read_bytes()[:4])
    write(warehouse, {"a": 2}, publish=False, dataset="others")
    with warehouse.run("import") as run:
        assert run.partition("labels", {"a": 3}, dataset="toys").done == {}


def test_a_file_that_is_written_anew_strikes_out_its_line(warehouse, monkeypatch):
    """Killed between the new file and its line, the old line must not vouch for the new bytes: they can be as many."""
    with warehouse.run("import") as run:
        part = run.partition("labels", {}, dataset="toys")
        part.write(0, [labels("red")])
        run.drain()
        monkeypatch.setattr(part, "_append", _only_first(part._append))
        part.write(0, [labels("tan")])
        with pytest.raises(Interrupted):
            run.drain()
    monkeypatch.undo()
    with warehouse.run("import") as run:
        part = run.partition("labels", {}, dataset="toys")
        assert part.done == {}
        part.write(0, [labels("tan")])
        run.publish()
    assert findings(warehouse) == []


def _only_first(append):
    calls = []

    def call(line):
        if calls:
            raise Interrupted
        calls.append(line)
        append(line)

    return call


def test_notes_of_shards_are_taken_up(warehouse):
    with warehouse.run("x") as run:
        part = run.partition("labels", {}, dataset="toys")
        part.remember(3, {"sum": 1})
        part.write(0, [labels("a")], note={"n": 2})
        run.drain()
    with warehouse.run("x") as run:
        part = run.partition("labels", {}, dataset="toys")
        assert part.notes == {3: {"sum": 1}} and part.done[0].note == {"n": 2}


def test_another_identity_is_refused_with_the_fields(warehouse):
    write(warehouse, {"seed": 1, "model": "m" * 50, "gone": True})
    with pytest.raises(IdentityMismatch) as caught:
        write(warehouse, {"seed": 2, "model": "m" * 50, "new": [1]})
    assert caught.value.exit_code == 5
    assert caught.value.fields["differences"] == "gone: true -> (absent); new: (absent) -> [1]; seed: 1 -> 2"
    assert "labels dataset=toys is published with another identity" in str(caught.value)
    assert debris(warehouse, 0) == []


def test_another_identity_is_refused_on_resume(warehouse):
    write(warehouse, {"seed": 1}, publish=False)
    with pytest.raises(IdentityMismatch, match=r"was begun and not finished with another identity.*seed: 1 -> 2"):
        write(warehouse, {"seed": 2})
    write(warehouse, {"seed": 2}, replace=True)
    assert warehouse.state().get("labels", dataset="toys").identity == {"seed": 2}


def test_labels_may_be_added_and_not_changed_or_taken_away(warehouse):
    write(warehouse, {"seed": 1, "label:red": "x"})
    write(warehouse, {"seed": 1, "label:red": "x", "label:blue": "y"}, names=("blue", "red"))
    assert seen(warehouse)[0] == ["blue", "red"]
    for other in (
        {"label:red": "x"},
        {"label:red": "z", "label:blue": "y"},
        {"label:red": "x", "label:blue": "y", "k": 1},
    ):
        with pytest.raises(IdentityMismatch):
            write(warehouse, {"seed": 1, **other})


def test_derived_tables_are_superseded_without_asking(warehouse):
    keys = {"dataset": "toys", "model": "tiny", "layer": 1, "concept_set": "avg", "unit": "token"}
    for number in (1, 2):
        with warehouse.run("eval") as run:
            run.partition("sample_scores", {"step": "eval", "n": number}, **keys).write(0, [])
            run.publish()
    assert warehouse.state().get("sample_scores", **keys).generation == 2
    # What another stage stores takes the place of what eval derived; eval never takes the place of what was stored.
    with warehouse.run("score") as run:
        run.partition("sample_scores", {"step": "score"}, **keys).write(0, [])
        run.publish()
    with warehouse.run("eval") as run, pytest.raises(IdentityMismatch):
        run.partition("sample_scores", {"step": "eval", "n": 3}, **keys)


def test_path_keys_are_slugs_and_complete(warehouse):
    with pytest.raises(BadInput, match="dataset '7up' cannot be a path key"):
        Partition.of("labels", dataset="7up")
    for bad in ("Upper", "a_b", "a/b", "..", "", "é", "a b", "-a", "a\n"):
        with pytest.raises(BadInput):
            Partition.of("labels", dataset=bad)
    with pytest.raises(ValueError, match="has the path keys"):
        Partition.of("labels", dataset="a", model="b")
    keys = {"unit": "token", "layer": 3, "model": "m", "dataset": "d"}
    assert str(Partition.of("embeddings", **keys).directory) == "tables/embeddings/dataset=d/model=m/layer=3/unit=token"


def test_a_warehouse_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match="There is no warehouse at"):
        Warehouse.open(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_readers_take_for_keys_is_refused(tmp_path):
    (tmp_path / "layer=7").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "layer=7")
    for root in (tmp_path / "layer=7/deep/wh", tmp_path / "link/wh", tmp_path / "wh=1"):
        for make in (Warehouse, Warehouse.open, superact.open):
            with pytest.raises(
                BadInput, match=r"lies below '(layer=7|wh=1)'.* Move the warehouse .* or rename the folder"
            ):
                make(root)
    assert list((tmp_path / "layer=7").iterdir()) == []


def test_too_little_space_is_refused_before_anything_is_written(warehouse):
    with pytest.raises(NotEnoughDisk, match="are needed"), warehouse.run("import", expected_bytes=2**60):
        raise AssertionError("not reached")
    assert not any(path.is_file() and path.name != "lock" for path in warehouse.root.rglob("*"))


def test_the_inventory_counts(warehouse):
    write(warehouse, {"a": 1}, shards=3)
    found = {item.table: item for item in inventory(warehouse.state())}
    assert sorted(found) == ["labels", "sample_labels"]
    item = found["sample_labels"]
    assert (item.dataset, item.model, item.layers, item.partitions, item.files, item.rows) == (
        "toys",
        None,
        (),
        1,
        3,
        3,
    )
    assert item.bytes == sum(Path(path).stat().st_size for path in warehouse.paths("sample_labels"))


def test_a_session_takes_up_what_superseded_its_files(warehouse):
    write(warehouse, {"a": 1})
    session = superact.open(warehouse.root)
    write(warehouse, {"a": 2}, replace=True, names=("blue",))
    assert session.sql("SELECT label FROM labels")["label"].to_list() == ["blue"]
    assert session.refresh() is False
    session.connection.close()


def test_a_session_opens_while_files_are_superseded(warehouse, monkeypatch):
    """The state that was read is gone when its views are made: the newer one is taken instead."""
    write(warehouse, {"a": 1})
    old = warehouse.state()
    write(warehouse, {"a": 2}, replace=True, names=("blue",))
    reader = Warehouse(warehouse.root)
    states = [old]
    monkeypatch.setattr(Warehouse, "state", lambda self: states.pop() if states else warehouse_state(self))
    session = superact.query.Session(reader)
    assert session.sql("SELECT label FROM labels")["label"].to_list() == ["blue"]
    session.connection.close()


warehouse_state = Warehouse.state
