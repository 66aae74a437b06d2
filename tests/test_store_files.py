"""Files as they are written: encodings, row groups, hashes, and what the record says."""

import hashlib
import os

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from superact.errors import NotEnoughDisk
from superact.schemas import tables
from superact.store.files import check_free, human, make_directories, write_atomically, write_durably
from superact.store.parquet import conform, write_file
from superact.store.rows import activation_rows, embedding_rows, from_columns, lists, optional_lists

ACTIVATIONS, EMBEDDINGS = tables()["activations"], tables()["embeddings"]


def scores(n=1000, concepts=("b", "a", "10")):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, len(concepts), n)).astype(np.float32)
    sample = np.repeat(np.arange(n // 10, dtype=np.int32), 10)
    token = np.tile(np.arange(10, dtype=np.int32), n // 10)
    return list(concepts), sample, token, *values


def column(metadata, name, group=0):
    found = metadata.row_group(group)
    return next(
        found.column(i) for i in range(found.num_columns) if found.column(i).path_in_schema.split(".")[0] == name
    )


def test_activations_are_one_row_group_a_concept_in_byte_order(tmp_path):
    record = write_file(tmp_path / "a.parquet", ACTIVATIONS, activation_rows(*scores()))
    file = pq.ParquetFile(tmp_path / "a.parquet")
    groups = [file.read_row_group(i)["concept"].unique().to_pylist() for i in range(file.num_row_groups)]
    assert groups == [["10"], ["a"], ["b"]]
    assert record.rows == 3000
    assert record.ranges == {"concept": ["10", "b"], "sample": [0, 99]}
    assert record.path == "a.parquet"


def test_encodings(tmp_path):
    write_file(tmp_path / "a.parquet", ACTIVATIONS, activation_rows(*scores()))
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    for name in ("cosine", "signed_distance"):
        found = column(metadata, name)
        assert set(found.encodings) == {"RLE", "BYTE_STREAM_SPLIT"} and not found.has_dictionary_page
        assert found.statistics is None
    for name in ("sample", "token"):
        found = column(metadata, name)
        assert "DELTA_BINARY_PACKED" in found.encodings and not found.has_dictionary_page
    concept = column(metadata, "concept")
    assert concept.has_dictionary_page and "RLE_DICTIONARY" in concept.encodings
    assert {column(metadata, c.name).compression for c in ACTIVATIONS.stored} == {"ZSTD"}
    assert concept.physical_type == "BYTE_ARRAY"
    schema = metadata.schema
    assert str(schema.column(0).logical_type) == "String"


def test_embeddings_are_plain_and_uncompressed(tmp_path):
    rows = embedding_rows(np.arange(3, dtype=np.int32), np.zeros(3, np.int32), np.ones((3, 8), np.float32))
    write_file(tmp_path / "a.parquet", EMBEDDINGS, [rows])
    found = column(pq.read_metadata(tmp_path / "a.parquet"), "embedding")
    assert set(found.encodings) == {"RLE", "PLAIN"} and not found.has_dictionary_page
    assert found.compression == "UNCOMPRESSED"


def test_no_arrow_schema_is_stored_so_that_strings_stay_strings(tmp_path):
    write_file(tmp_path / "a.parquet", ACTIVATIONS, activation_rows(*scores()))
    assert b"ARROW:schema" not in (pq.read_metadata(tmp_path / "a.parquet").metadata or {})
    assert pq.read_schema(tmp_path / "a.parquet").field("concept").type == pa.string()
    assert pl.read_parquet(tmp_path / "a.parquet")["concept"].dtype == pl.String


def test_the_hash_is_that_of_the_file(tmp_path):
    record = write_file(tmp_path / "a.parquet", ACTIVATIONS, activation_rows(*scores()))
    data = (tmp_path / "a.parquet").read_bytes()
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert record.bytes == len(data)


@pytest.mark.parametrize("name", sorted(t.name for t in tables().values() if t.room != "manifest"))
def test_a_file_without_rows_has_the_schema(name, tmp_path):
    table = tables()[name]
    for number, groups in enumerate([[], [table.arrow_schema().empty_table()]]):
        record = write_file(tmp_path / f"{number}.parquet", table, groups)
        file = pq.ParquetFile(tmp_path / f"{number}.parquet")
        assert (record.rows, record.ranges, file.num_row_groups) == (0, {}, 0)
        assert file.schema_arrow.names == [c.name for c in table.stored]
        assert pl.read_parquet(tmp_path / f"{number}.parquet").is_empty()


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_activations_round_trip(tmp_path_factory, data):
    concepts = data.draw(st.lists(names, unique=True, min_size=1, max_size=4))
    n = data.draw(st.integers(0, 30))
    values = data.draw(arrays.arrays(np.float32, (2, len(concepts), n), elements=finite))
    sample = np.sort(data.draw(arrays.arrays(np.int32, n, elements=st.integers(0, 2**31 - 1))))
    token = data.draw(arrays.arrays(np.int32, n, elements=st.integers(-1, 2**31 - 1)))
    path = tmp_path_factory.mktemp("round") / "a.parquet"
    record = write_file(path, ACTIVATIONS, activation_rows(concepts, sample, token, *values))
    read = pq.ParquetFile(path).read()
    order = sorted(range(len(concepts)), key=lambda i: concepts[i].encode())
    assert record.rows == len(read) == n * len(concepts)
    assert read["concept"].to_pylist() == [concepts[i] for i in order for _ in range(n)]
    assert read["sample"].to_numpy().tolist() == sample.tolist() * len(concepts)
    assert read["token"].to_numpy().tolist() == token.tolist() * len(concepts)
    assert read["cosine"].to_numpy().tobytes() == values[0][order].tobytes()
    assert read["signed_distance"].to_numpy().tobytes() == values[1][order].tobytes()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record.sha256


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 9)), elements=finite))
def test_embeddings_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("round") / "a.parquet"
    keys = np.arange(len(values), dtype=np.int32)
    write_file(path, EMBEDDINGS, [embedding_rows(keys, keys, values)])
    read = pq.ParquetFile(path).read()["embedding"].to_pylist()
    assert np.array(read, dtype=np.float32).reshape(values.shape).tobytes() == values.tobytes()


def test_vectors_may_be_missing():
    found = optional_lists([np.array([1.0, 2.0]), None])
    assert found.to_pylist() == [[1.0, 2.0], None]
    assert lists(np.zeros((0, 3), np.float32)).to_pylist() == []


def test_columns_by_name():
    schema = tables()["samples"].arrow_schema()
    rows = from_columns(schema, sample=[0], split=["cal"], modality=["text"])
    assert rows.to_pylist() == [
        {"sample": 0, "path": None, "split": "cal", "modality": "text", "text": None, "width": None, "height": None}
    ]
    with pytest.raises(ValueError, match=r"not columns of this table: \['colour'\]"):
        from_columns(schema, colour=["red"])


def test_conform_refuses_null_wrong_types_and_missing_columns(tmp_path):
    schema = tables()["sample_labels"].arrow_schema()
    good = pa.table({"label": ["a"], "sample": pa.array([1], pa.int64())})
    assert conform(good, schema).to_pylist() == [{"sample": 1, "label": "a"}]
    with pytest.raises(ValueError, match="column label may not be NULL, and is in 1 rows"):
        conform(pa.table({"sample": [1], "label": pa.array([None], pa.string())}), schema)
    with pytest.raises(KeyError, match="label"):
        conform(pa.table({"sample": [1]}), schema)
    with pytest.raises(pa.ArrowInvalid):
        conform(pa.table({"sample": [2**40], "label": ["a"]}), schema)


def test_a_full_disk_names_the_file_and_leaves_none(tmp_path, monkeypatch):
    import superact.store.parquet as parquet

    def full(self, data):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(parquet._HashingFile, "write", full)
    with pytest.raises(NotEnoughDisk, match=r"a\.parquet has nothing \(No space left on device\) free") as caught:
        write_file(tmp_path / "a.parquet", ACTIVATIONS, activation_rows(*scores()))
    assert caught.value.exit_code == 7
    assert list(tmp_path.iterdir()) == []


def test_other_failures_keep_their_kind(tmp_path, monkeypatch):
    import superact.store.parquet as parquet

    def broken(self, data):
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(parquet._HashingFile, "write", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write_file(tmp_path / "a.parquet", ACTIVATIONS, activation_rows(*scores()))


def test_text_is_written_all_or_not_at_all(tmp_path, monkeypatch):
    path, temporary = tmp_path / "a.json", tmp_path / "a.tmp"
    write_atomically(path, "old", temporary)
    assert path.read_text() == "old" and not temporary.exists()

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotEnoughDisk):
        write_atomically(path, "new", temporary)
    assert path.read_text() == "old" and not temporary.exists()


def test_a_short_write_is_carried_on(tmp_path):
    import superact.store.parquet as parquet

    class Stubborn:
        def __init__(self):
            self.got = b""

        def write(self, data):
            self.got += bytes(data[:3])
            return len(data[:3])

    file = parquet._HashingFile(tmp_path / "a")
    file._handle.close()
    file._handle = Stubborn()
    file.write(b"abcdefgh")
    assert file._handle.got == b"abcdefgh"
    assert file.sha256.hexdigest() == hashlib.sha256(b"abcdefgh").hexdigest()


def test_directories_are_made_durable_one_by_one(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("superact.store.files.fsync_directory", synced.append)
    make_directories(tmp_path / "a" / "b" / "c")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    make_directories(tmp_path / "a" / "b" / "c")
    assert len(synced) == 3
    write_durably(tmp_path / "a" / "x", "x")
    assert synced[3:] == [tmp_path / "a"]


def test_free_space_is_checked_with_a_twentieth_to_spare(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10_000, 0, 2100))
    check_free(tmp_path, 2000)
    with pytest.raises(NotEnoughDisk, match=r"has 2.1 kB free and 2.1 kB are needed"):
        check_free(tmp_path, 2001)


def test_sizes_for_people():
    assert [human(n) for n in (0, 999, 1000, 1_500_000, 2e9, 3e12, 4e15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.0 GB",
        "3.0 TB",
        "4000.0 TB",
    ]
