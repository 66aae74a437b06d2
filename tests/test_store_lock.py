"""Two writers, full disks, damage and debris: what is told, and what is left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folders import contents, tree, write_folder
from test_crash import add_activations
from test_store import findings, seen, write

import superact
from superact.errors import Damaged, Locked, NotEnoughDisk
from superact.ingest.import_folder import import_folder
from superact.metrics.evaluate import Protocol, evaluate
from superact.store import Warehouse
from superact.store.files import VerifiedFiles, sha256_of
from superact.store.maintenance import Finding, debris, sweep, verify
from superact.store.manifest import _read_document

HOLDER = """
import sys
from superact.store import Warehouse
with Warehouse(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture
def holder(warehouse):
    """A process that holds the write lock of a warehouse with one published run."""
    write(warehouse, {"a": 1})
    arguments = [sys.executable, "-c", HOLDER, str(warehouse.root)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_writes(warehouse, holder):
    for call in (lambda: write(warehouse, {"a": 1}), lambda: sweep(warehouse, 0), lambda: warehouse.remove([], "drop")):
        with pytest.raises(Locked) as caught:
            call()
        assert re.search(rf"\(process {holder.pid}, `-c {re.escape(str(warehouse.root))}`, since 20", str(caught.value))
        assert caught.value.exit_code == 6


def test_readers_do_not_wait(warehouse, holder):
    assert seen(warehouse) == (["red"], 1)
    assert findings(warehouse) == [] and debris(warehouse, 0) == []
    assert holder.poll() is None


def test_a_kill_releases_the_lock(warehouse, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    write(warehouse, {"a": 2}, replace=True)
    assert not (warehouse.root / "staging/owner.json").exists()


def test_a_lock_within_one_process(warehouse):
    with warehouse.lock():
        with pytest.raises(Locked, match=f"process {os.getpid()}"), Warehouse(warehouse.root).lock():
            raise AssertionError("not reached")
        (warehouse.root / "staging/owner.json").write_text("{")
        with pytest.raises(Locked, match="has not said who it is"), Warehouse(warehouse.root).lock():
            raise AssertionError("not reached")
    with warehouse.lock():
        assert json.loads((warehouse.root / "staging/owner.json").read_text())["process"] == os.getpid()


LIMITED = """
import resource, sys
from pathlib import Path
from superact.errors import SuperactError
from superact.ingest.import_folder import import_folder
from superact.store import Warehouse
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)) if limit else None
try:
    import_folder(Warehouse(sys.argv[1]), Path(sys.argv[2]))
except SuperactError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""


def limited(warehouse, folder, limit):
    arguments = [sys.executable, "-c", LIMITED, str(warehouse.root), str(folder), str(limit)]
    return subprocess.run(arguments, capture_output=True, text=True)


@pytest.mark.parametrize("limit", [0, 100, 700, 4000, 12_000])
def test_a_file_size_limit_is_a_full_disk(tmp_path, warehouse, limit):
    """100 bytes stop the identity of the first partition, 700 a progress file, 4000 embeddings, 12 000 the document."""
    folder = write_folder(tmp_path / "folder", samples=90, width=8)
    done = limited(warehouse, folder, limit)
    if limit == 0:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("NotEnoughDisk") and "(File too large)" in done.stdout
    assert not list((warehouse.root / "manifest").iterdir())
    assert not list((warehouse.root / "tables").rglob("*.parquet"))
    import_folder(warehouse, folder)
    whole = Warehouse(tmp_path / "whole")
    import_folder(whole, folder)
    assert contents(warehouse.root) == contents(whole.root)
    assert findings(warehouse) == [] and debris(warehouse, 0) == []


def test_a_full_disk(tmp_path):
    """A file system of one megabyte, where this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here: " + mounted.stderr.decode().strip())
    try:
        warehouse = Warehouse(place / "warehouse")
        (place / "ballast").write_bytes(bytes(640 << 10))
        folder = write_folder(tmp_path / "folder", samples=900, width=16)  # about 0.5 MB of embeddings
        with pytest.raises(NotEnoughDisk, match="are needed"):
            import_folder(warehouse, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("superact.store.warehouse.check_free", lambda path, needed: None)
            with pytest.raises(NotEnoughDisk, match="No space left on device"):
                import_folder(warehouse, folder)
        assert warehouse.state().partitions == {}
        with pytest.raises(OSError, match="No space left"), (place / "rest").open("wb", buffering=0) as handle:
            while True:
                handle.write(bytes(4096))
        assert sweep(warehouse, 0)  # a full disk does not keep gc from making room
        for name in ("ballast", "rest"):
            (place / name).unlink(missing_ok=True)
        import_folder(warehouse, folder)
        assert findings(warehouse) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_verify_names_each_kind_of_damage(warehouse):
    write(warehouse, {"a": 1}, shards=4)
    files = [Path(path) for path in warehouse.paths("sample_labels")]
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    files[0].write_bytes(data)
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].unlink()
    (files[3].parent / "extra.parquet").write_bytes(b"x")
    found = {Path(f.path).name: f.problem for f in findings(warehouse)}
    size = len(files[3].read_bytes())
    assert found == {
        "part-00000.parquet": "content changed: sha256 differs",
        "part-00001.parquet": f"{size - 1} bytes, {size} were written",
        "part-00002.parquet": "missing",
        "extra.parquet": "stray: no published run lists it",
    }
    assert len(list(verify(warehouse))) == 6


def forge(warehouse, name, **fields) -> None:
    """Change what the manifest says of a file."""
    (path,) = (warehouse.root / "manifest").glob("*.json")
    document = json.loads(path.read_text())
    (record,) = [f for entry in document["partitions"] for f in entry["files"] if f["path"] == name]
    record.update(fields)
    path.write_text(json.dumps(document))
    _read_document.cache_clear()


def test_verify_compares_the_row_counts(warehouse):
    write(warehouse, {"a": 1}, shards=2)
    path = Path(warehouse.paths("sample_labels")[1])
    name = str(path.relative_to(warehouse.root))
    forge(warehouse, name, rows=5)
    assert findings(warehouse) == [Finding(name, "1 rows, the manifest says 5")]
    forge(warehouse, name, rows=1)
    assert findings(warehouse) == []


@pytest.mark.parametrize(
    "content", [b"no footer", b"PAR1" + bytes(64) + b"\x08\0\0\0PAR1"], ids=["no footer", "torn footer"]
)
def test_verify_names_a_file_that_is_no_parquet(warehouse, content):
    write(warehouse, {"a": 1})
    path = Path(warehouse.paths("sample_labels")[0])
    name = str(path.relative_to(warehouse.root))
    path.write_bytes(content)
    forge(warehouse, name, bytes=len(content), sha256=sha256_of(path))
    (found,) = findings(warehouse)
    assert found.path == name
    assert found.problem.startswith(("not a Parquet file: ", "cannot be read: ")) and "None" not in found.problem


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    warehouse = Warehouse(tmp_path / "evaluated")
    import_folder(warehouse, write_folder(tmp_path / "folder", layers=(1,), units=("token",), sets=("avg",)))
    add_activations(warehouse.root)
    evaluate(warehouse, protocol=Protocol(seed=1, replicates=5), threads=1)
    return warehouse


@pytest.mark.parametrize("table", ["activations", "samples", "tokens", "token_labels", "concepts"])
def test_eval_refuses_a_damaged_input_that_it_knew_as_whole(evaluated, table):
    """The file was hashed and cached by the first eval; a flipped byte changes its time, so that it is hashed again."""
    (path,) = map(Path, evaluated.paths(table))
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    published = tree(evaluated.root / "metrics")
    with pytest.raises(Damaged, match=rf"{path} is damaged: its content is not what was written") as caught:
        evaluate(evaluated, protocol=Protocol(seed=2, replicates=5), threads=1)
    assert caught.value.exit_code == 4
    assert tree(evaluated.root / "metrics") == published


def test_the_cache_of_what_is_whole(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abcd")
    good = sha256_of(path)
    cache = VerifiedFiles(tmp_path / "cache" / "verified.json")
    cache.check(path, good, 4)
    cache.save()
    hashed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("superact.store.files.sha256_of", lambda p: hashed.append(p) or sha256_of(p))
        again = VerifiedFiles(tmp_path / "cache" / "verified.json")
        again.check(path, good, 4)
        assert hashed == []
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        again.check(path, good, 4)
        assert hashed == [path]
        other = tmp_path / "b"
        other.write_bytes(b"abcd")
        os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        other.replace(path)  # another inode, same size and time
        again.check(path, good, 4)
        assert hashed == [path, path]
    path.write_bytes(b"abce")
    with pytest.raises(Damaged, match="sha256 differs"):
        again.check(path, good, 4)
    path.write_bytes(b"abc")
    with pytest.raises(Damaged, match="it has 3 bytes, 4 were written"):
        again.check(path, good, 4)
    path.unlink()
    with pytest.raises(Damaged, match="the file is missing"):
        again.check(path, good, 4)
    (tmp_path / "cache" / "verified.json").write_text("{torn")
    VerifiedFiles(tmp_path / "cache" / "verified.json").save()


def test_a_damaged_file_is_named_by_a_session(warehouse):
    write(warehouse, {"a": 1})
    (path,) = map(Path, warehouse.paths("sample_labels"))
    session = superact.open(warehouse.root)
    path.unlink()
    with pytest.raises(Damaged, match="part-00000"):
        session.sql("SELECT * FROM sample_labels")
    assert session.sql("SELECT label FROM labels")["label"].to_list() == ["red"]
    session.connection.close()


def aged(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.utime(file, (then, then))


def test_the_sweep_takes_debris_by_age_and_nothing_else(warehouse):
    write(warehouse, {"a": 1})
    live = tree(warehouse.root / "tables")
    for dataset, days in (("old", 10), ("young", 3)):
        write(warehouse, {"a": 1}, publish=False, dataset=dataset)
        for table in ("labels", "sample_labels"):
            aged(warehouse.root / f"staging/tables/{table}/dataset={dataset}", days)
    for name, days in (("old", 8), ("young", 1)):
        stray = warehouse.root / f"tables/labels/dataset=toys/{name}.parquet"
        stray.write_bytes(b"xyz")
        aged(stray, days)
    listed = debris(warehouse, 7)
    names = {
        "staging/tables/labels/dataset=old": "staged",
        "staging/tables/sample_labels/dataset=old": "staged",
        "tables/labels/dataset=toys/old.parquet": "stray",
    }
    assert {item.path: item.kind for item in listed} == names
    assert [item.bytes for item in listed if item.kind == "stray"] == [3]
    assert all(7.9 < item.age_days < 10.1 for item in listed)
    assert all((warehouse.root / name).exists() for name in names)  # listing removes nothing
    assert {item.path for item in sweep(warehouse, 7)} == set(names)
    assert not any((warehouse.root / name).exists() for name in names)
    assert debris(warehouse, 7) == [] and len(debris(warehouse, 0)) == 3
    sweep(warehouse, 0)
    assert tree(warehouse.root / "tables") == live
    assert [path.name for path in (warehouse.root / "staging").rglob("*")] == ["lock"]
    assert findings(warehouse) == []


def test_the_sweep_finishes_a_publish_and_does_not_call_its_files_stray(warehouse, monkeypatch):
    class Stop(BaseException):
        pass

    def stop(source, target):
        raise Stop

    write(warehouse, {"a": 1}, publish=False)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr("superact.store.publish.move_durably", lambda source, target: stop(source, target))
        write(warehouse, {"a": 1})
    assert list((warehouse.root / "tables").rglob("*.parquet")) and not list((warehouse.root / "manifest").iterdir())
    assert findings(warehouse) == []  # half published: its writer, or the next one, finishes it
    assert [item.kind for item in debris(warehouse, 0)] == ["staged", "staged"]
    assert sweep(warehouse, 0) == []
    assert seen(warehouse) == (["red"], 1)
