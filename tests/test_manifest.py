"""The manifest: what the documents add up to, and what is refused."""

import json

import pytest
from test_store import write

import superact
from superact.errors import Damaged, NewerWarehouse
from superact.schemas import FORMAT
from superact.store import Partition, Warehouse
from superact.store.identity import canonical, derived, differences, extends, hash_of
from superact.store.manifest import FileRecord, read_state
from superact.store.publish import JOURNAL


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def documents(warehouse) -> list:
    return sorted((warehouse.root / "manifest").iterdir())


def change(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def copy(warehouse, tmp_path) -> Warehouse:
    """The same warehouse under another path: a document is parsed once a process and path."""
    return Warehouse(warehouse.root.rename(tmp_path / "other"))


def test_an_empty_warehouse():
    state = read_state(Warehouse("/nonexistent").root)
    assert (state.partitions, state.documents, state.sequence) == ({}, (), 0)


def test_the_newest_document_counts(warehouse):
    write(warehouse, {"a": 1})
    write(warehouse, {"a": 2}, replace=True)
    write(warehouse, {"a": 1}, dataset="others")
    state = warehouse.state()
    assert [path.name[:7] for path in documents(warehouse)] == ["000001-", "000002-", "000003-"]
    assert [p.identity for p in state.select("labels")] == [{"a": 1}, {"a": 2}]
    assert [dict(p.partition.keys) for p in state.select("labels", dataset=["toys"])] == [{"dataset": "toys"}]
    assert state.generations[Partition.of("labels", dataset="toys")] == 2
    assert len(list(state.files())) == 4


def test_a_newer_warehouse_is_refused_by_readers_and_writers(warehouse, tmp_path):
    write(warehouse, {"a": 1})
    change(documents(warehouse)[0], format=FORMAT + 1)
    other = copy(warehouse, tmp_path)
    for call in (superact.open, Warehouse.open, lambda path: write(Warehouse(path), {"a": 1})):
        with pytest.raises(
            NewerWarehouse, match=rf"newer superact \(format {FORMAT + 1}; this one reads up to {FORMAT}\)"
        ) as caught:
            call(other.root)
        assert caught.value.exit_code == 4


def test_the_journal_of_a_newer_superact_is_left_alone(warehouse):
    write(warehouse, {"a": 1})
    journal = warehouse.root / "staging" / JOURNAL
    journal.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(NewerWarehouse):
        write(warehouse, {"a": 1})
    assert journal.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "x"}'])
def test_a_document_that_is_none_is_named(warehouse, tmp_path, text):
    write(warehouse, {"a": 1})
    (path,) = documents(warehouse)
    path.write_text(text)
    other = copy(warehouse, tmp_path)
    with pytest.raises(Damaged, match=rf"{path.name} is damaged: not a manifest document"):
        other.state()
    (other.root / "staging" / JOURNAL).write_text(text)
    with pytest.raises(Damaged, match=JOURNAL), other.lock():
        raise AssertionError("not reached")


def test_a_lost_document_is_noticed(warehouse):
    for number in range(3):
        write(warehouse, {"a": number}, replace=True)
    documents(warehouse)[1].unlink()
    with pytest.raises(Damaged, match="manifest is damaged: document 2 is missing"):
        warehouse.state()


def test_a_number_that_occurs_twice_is_noticed(warehouse):
    write(warehouse, {"a": 1})
    path = documents(warehouse)[0]
    (path.parent / "000001-copy.json").write_text(path.read_text())
    with pytest.raises(Damaged, match="two documents have one number"):
        warehouse.state()


def test_a_listing_with_a_gap_is_taken_again(warehouse, monkeypatch):
    """Two runs published during a listing: it may show the second and not the first."""
    write(warehouse, {"a": 1})
    write(warehouse, {"a": 2}, replace=True)
    listings = [documents(warehouse)[1:], documents(warehouse)]
    monkeypatch.setattr(type(warehouse.root), "glob", lambda self, pattern: listings.pop(0))
    assert read_state(warehouse.root).sequence == 2
    assert listings == []


def test_removal_and_return(warehouse):
    write(warehouse, {"a": 1})
    partition = Partition.of("labels", dataset="toys")
    warehouse.remove([partition], "drop")
    state = warehouse.state()
    assert partition not in state.partitions and state.generations[partition] == 1
    write(warehouse, {"a": 1})
    assert warehouse.state().partitions[partition].generation == 2


def test_identities():
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1}) != hash_of({"a": 1, "b": 3})
    assert differences({"a": 1, "b": 2}, {"b": 3, "c": None}) == [
        "a: 1 -> (absent)",
        "b: 2 -> 3",
        "c: (absent) -> null",
    ]
    assert differences({"a": "x" * 50}, {"a": "y" * 40}) == ["a: xxxxxxxxxxxx... -> " + "y" * 40]
    assert extends({"a": 1}, {"a": 1, "label:x": 2}) and extends({"a": 1}, {"a": 1})
    assert not extends({"a": 1}, {"a": 1, "x": 2}) and not extends({"a": 1, "label:x": 2}, {"a": 1})


def test_what_eval_makes_is_derived():
    assert derived({"step": "eval"}) and not derived({"step": "score"}) and not derived({})


def test_matching():
    partition = Partition.of("embeddings", dataset="d", model="m", layer=3, unit="cls")
    assert partition.matches() and partition.matches(layer=3, unit=None, concept_set="any")
    assert partition.matches(layer=[1, 3], dataset={"d"}) and not partition.matches(layer=(1, 2))
    assert Partition.of("runs").schema.room == "manifest"


def test_file_records():
    record = FileRecord("a", 1, 2, "c", {"sample": [0, 1]})
    assert FileRecord(**record.to_json()) == record
