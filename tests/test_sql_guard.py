"""`Session.sql` reads and nothing else: every statement that could write, look outside or change a setting is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import superact
from superact.errors import BadInput, BadQuery, Damaged
from superact.query import Session
from superact.query.export import select_rows
from superact.query.rows import BATCH_ROWS
from superact.store import Warehouse

SAMPLES = 5


def samples(dataset_size: int) -> pa.Table:
    rows = [
        {"sample": n, "path": None, "split": ("train", "cal", "test")[n % 3], "modality": "text", "text": f"text {n}"}
        for n in range(dataset_size)
    ]
    columns = {
        name: pa.array([row[name] for row in rows], pa.string()) for name in ("path", "split", "modality", "text")
    }
    empty = pa.nulls(dataset_size, pa.int32())
    return pa.table({"sample": pa.array(range(dataset_size), pa.int32()), **columns, "width": empty, "height": empty})


def publish(root: Path, **sizes: int) -> Warehouse:
    """A warehouse with the table `samples` of a few datasets."""
    warehouse = Warehouse(root)
    with warehouse.run("import", replace=True) as run:
        for dataset, size in sizes.items():
            run.partition("samples", {"size": size}, dataset=dataset).write(0, [samples(size)])
        run.publish()
    return warehouse


def tree(folder: Path) -> dict[str, str]:
    """Every file and link below a folder, with the hash of its content or where it points."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a warehouse, files beside it, and links out of and into the warehouse."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "place"
    place.mkdir()
    publish(place / "wh", small=SAMPLES)
    outside = place / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("word\nxyzzy\n")
    (outside / "secret.txt").write_text("xyzzy")
    duckdb.sql("SELECT 'xyzzy' AS word").write_parquet(str(outside / "secret.parquet"))
    (place / "wh/tables/out").symlink_to(outside)
    (place / "way_in").symlink_to(place / "wh/tables")
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def session(place: Path) -> Iterator[Session]:
    session = superact.open(place / "wh")
    yield session
    session.connection.close()


PUBLISHED = "tables/samples/dataset=small/part-00000.parquet"

WRITING = {
    "copy inside": "COPY (SELECT 1) TO '{wh}/tables/x.parquet'",
    "copy outside": "COPY (SELECT 1) TO '{place}/x.csv'",
    "copy over a published file": "COPY (SELECT 1) TO '{wh}/{published}'",
    "copy in place": "COPY (SELECT 1) TO '{wh}/{published}' (FORMAT parquet, USE_TMP_FILE false)",
    "copy a folder": "COPY (SELECT 1 AS a) TO '{wh}/tables' (FORMAT parquet, PARTITION_BY (a), OVERWRITE)",
    "copy per thread": "COPY (SELECT 1) TO '{wh}/tables/threads' (FORMAT parquet, PER_THREAD_OUTPUT)",
    "copy from": "COPY runs FROM '{place}/outside/secret.csv'",
    "copy database": "COPY FROM DATABASE memory TO memory",
    "copy through ..": "COPY (SELECT 1) TO '{wh}/tables/../../x.csv'",
    "copy through .. and back": "COPY (SELECT 1) TO '{place}/outside/../wh/{published}'",
    "copy through a link out": "COPY (SELECT 1) TO '{wh}/tables/out/secret.csv'",
    "copy through a link in": "COPY (SELECT 1) TO '{place}/way_in/x.parquet'",
    "copy in a CTE": "WITH x AS (COPY (SELECT 1) TO '{wh}/tables/x.csv') SELECT * FROM x",
    "copy in a CTE over a published file": "WITH x AS (COPY (SELECT 1) TO '{wh}/{published}') SELECT 1",
    "copy in a subquery": "SELECT * FROM (COPY (SELECT 1) TO '{wh}/tables/x.csv')",
    "closing bracket": "SELECT 1) ; COPY (SELECT 1) TO '{wh}/tables/x.csv'",
    "closing bracket, balanced": "SELECT 1) ; COPY (SELECT 1) TO '{wh}/tables/x.csv' ; SELECT * FROM (SELECT 1",
    "closing bracket after SHOW": "SHOW TABLES) ; COPY (SELECT 1) TO '{wh}/tables/x.csv' ; SELECT * FROM (SELECT 1",
    "closing quote": "SELECT 1'); COPY (SELECT 1) TO '{wh}/tables/x.csv'; --",
    "query in a query": "SELECT * FROM query('COPY (SELECT 1) TO ''{wh}/tables/x.csv''')",
    "explain analyze copy": "EXPLAIN ANALYZE COPY (SELECT 1) TO '{wh}/tables/x.csv'",
    "summarize copy": "SUMMARIZE COPY (SELECT 1) TO '{wh}/tables/x.csv'",
    "prepare": "PREPARE p AS COPY (SELECT 1) TO '{wh}/tables/x.csv'",
    "attach inside": "ATTACH '{wh}/tables/x.duckdb'",
    "attach outside": "ATTACH '{place}/x.duckdb'",
    "attach a published file": "ATTACH '{wh}/{published}' AS x",
    "detach": "DETACH memory",
    "use": "USE memory.main",
    "export database": "EXPORT DATABASE '{wh}/tables/all'",
    "export database outside": "EXPORT DATABASE '{place}/all'",
    "import database": "IMPORT DATABASE '{place}/outside'",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "load a file": "LOAD '{place}/outside/secret.txt'",
    "set": "SET enable_external_access = true",
    "set directories": "SET allowed_directories = ['/']",
    "reset": "RESET allowed_directories",
    "reset lock": "RESET lock_configuration",
    "set variable": "SET VARIABLE x = 1",
    "pragma": "PRAGMA enable_profiling",
    "pragma setting": "PRAGMA threads = 1",
    "create table": "CREATE TABLE t AS SELECT 1",
    "create view": "CREATE OR REPLACE VIEW samples AS SELECT 1",
    "create macro": "CREATE MACRO f(x) AS x + 1",
    "create secret": "CREATE SECRET s (TYPE s3)",
    "insert": "INSERT INTO samples VALUES (1)",
    "insert in a CTE": "WITH x AS (INSERT INTO samples VALUES (1) RETURNING *) SELECT * FROM x",
    "update": "UPDATE samples SET sample = 1",
    "delete": "DELETE FROM samples",
    "truncate": "TRUNCATE samples",
    "drop": "DROP VIEW samples",
    "alter": "ALTER VIEW samples RENAME TO other",
    "vacuum": "VACUUM",
    "checkpoint": "CHECKPOINT",
    "begin": "BEGIN",
    "call": "CALL pragma_version()",
    "execute": "EXECUTE p",
    "two statements": "SELECT 1; SELECT 2",
    "two statements, one writing": "SELECT 1; COPY (SELECT 1) TO '{wh}/tables/x.csv'",
}

LOOKING_OUT = {
    "read_csv": "SELECT * FROM read_csv('{place}/outside/secret.csv')",
    "read_csv of the system": "SELECT * FROM read_csv('/etc/passwd', header = false, sep = '|')",
    "read_text": "SELECT * FROM read_text('{place}/outside/secret.txt')",
    "read_blob": "SELECT * FROM read_blob('{place}/outside/secret.txt')",
    "read_json": "SELECT * FROM read_json('{place}/outside/secret.txt')",
    "read_parquet": "SELECT * FROM read_parquet('{place}/outside/secret.parquet')",
    "parquet_metadata": "SELECT * FROM parquet_metadata('{place}/outside/secret.parquet')",
    "parquet_schema": "SELECT * FROM parquet_schema('{place}/outside/secret.parquet')",
    "sniff_csv": "SELECT * FROM sniff_csv('{place}/outside/secret.csv')",
    "name of a file": "SELECT * FROM '{place}/outside/secret.parquet'",
    "relative name": "SELECT * FROM 'outside/secret.parquet'",
    "through ..": "SELECT * FROM '{wh}/tables/../../outside/secret.parquet'",
    "the manifest": "SELECT * FROM read_text('{wh}/tables/../manifest/*.json')",
    "glob of the system": "SELECT * FROM glob('/etc/*')",
    "glob beside": "SELECT * FROM glob('{place}/*')",
    "file of the environment": "SELECT getenv('HOME')",
    "the network": "SELECT * FROM 'https://example.com/x.parquet'",
    "a Python variable": "SELECT * FROM frame_in_scope",
}


def filled(text: str, place: Path) -> str:
    return text.replace("{wh}", str(place / "wh")).replace("{place}", str(place)).replace("{published}", PUBLISHED)


@pytest.mark.parametrize("statement", WRITING.values(), ids=WRITING.keys())
def test_statements_that_write_or_change_are_refused(session: Session, place: Path, statement: str) -> None:
    before = tree(place)
    with pytest.raises(BadQuery):
        session.sql(filled(statement, place))
    with pytest.raises(BadQuery), session.stream(filled(statement, place)) as rows:
        list(rows)
    assert tree(place) == before
    assert session.sql("SELECT count(*) AS n FROM samples")["n"].to_list() == [SAMPLES]
    assert session.sql("SELECT value FROM duckdb_settings() WHERE name = 'lock_configuration'")["value"].to_list() == [
        "true"
    ]


@pytest.mark.parametrize("statement", LOOKING_OUT.values(), ids=LOOKING_OUT.keys())
def test_nothing_outside_the_tables_is_read(session: Session, place: Path, statement: str) -> None:
    frame_in_scope = pl.DataFrame({"word": ["xyzzy"]})
    with pytest.raises(BadQuery) as refused:
        session.sql(filled(statement, place))
    assert "xyzzy" not in str(refused.value)
    assert frame_in_scope.height == 1
    assert session.sql("SELECT count(*) AS n FROM samples")["n"].to_list() == [SAMPLES]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT sample FROM samples ORDER BY sample",
        "select sample from samples order by sample;",
        "FROM samples SELECT sample ORDER BY sample",
        "WITH s AS (SELECT sample FROM samples) SELECT sample FROM s ORDER BY sample",
        "WITH RECURSIVE n(sample) AS (SELECT 0 UNION ALL SELECT sample + 1 FROM n WHERE sample < 4) SELECT sample FROM n",
        "-- a comment\nSELECT sample FROM samples ORDER BY sample -- and another",
        "/* a comment; */ SELECT sample FROM samples ORDER BY sample;  ",
        "SELECT sample FROM '{wh}/{published}' ORDER BY sample",
        "SELECT sample FROM read_parquet('{wh}/{published}') ORDER BY sample",
        "SELECT sample FROM read_parquet('{wh}/tables/samples/**/*.parquet') ORDER BY sample",
        "(SELECT sample FROM samples WHERE sample < 2 UNION ALL SELECT sample FROM samples WHERE sample >= 2) ORDER BY 1",
    ],
)
def test_reading_works(session: Session, place: Path, query: str) -> None:
    assert session.sql(filled(query, place))["sample"].to_list() == list(range(SAMPLES))


def test_the_statements_that_describe_work(session: Session) -> None:
    assert session.sql("DESCRIBE samples")["column_name"].to_list() == session.columns("samples")
    assert session.sql("-- of what\ndescribe samples; ")["column_name"].to_list()[:2] == ["dataset", "sample"]
    assert session.sql("DESCRIBE samples -- all of it")["column_name"].to_list()[:2] == ["dataset", "sample"]
    assert session.sql("DESC SELECT 1 AS one")["column_name"].to_list() == ["one"]
    assert set(session.tables) <= set(session.sql("SHOW TABLES")["name"])
    summary = session.sql("SUMMARIZE samples")
    assert summary.filter(pl.col("column_name") == "sample")["max"].to_list() == [str(SAMPLES - 1)]


@pytest.mark.parametrize("query", ["", "  ", ";", " ; "])
def test_an_empty_query_is_named(session: Session, query: str) -> None:
    with pytest.raises(BadQuery, match="The query is empty"):
        session.sql(query)


def test_a_mistake_is_explained_in_terms_of_the_users_text(session: Session) -> None:
    with pytest.raises(BadQuery) as error:
        session.sql("SELECT nope FROM samples")
    assert str(error.value).startswith('Binder Error: Referenced column "nope" not found in FROM clause!')
    assert "query($1)" not in str(error.value)


def test_frames_are_registered_by_name_and_do_not_persist(session: Session) -> None:
    query = "SELECT text FROM samples JOIN wanted USING (sample) ORDER BY sample"
    expected = ["text 1", "text 3"]
    polars = pl.DataFrame({"sample": [1, 3]})
    assert session.sql(query, wanted=polars)["text"].to_list() == expected
    assert session.sql(query, wanted=polars.to_arrow())["text"].to_list() == expected
    assert session.sql(query, wanted=polars.to_arrow().to_batches()[0])["text"].to_list() == expected
    with pytest.raises(BadQuery, match="wanted does not exist"):
        session.sql(query)
    with pytest.raises(BadQuery):
        session.sql("SELECT nope FROM wanted", wanted=polars)
    with pytest.raises(BadQuery, match="wanted does not exist"):
        session.sql(query)


def test_pandas_frames(session: Session) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"sample": [1, 3], "word": ["a", "b"]})
    rows = session.sql("SELECT sample, word FROM samples JOIN wanted USING (sample) ORDER BY sample", wanted=frame)
    assert rows.rows() == [(1, "a"), (3, "b")]


def test_a_frame_cannot_take_the_name_of_a_table(session: Session) -> None:
    with pytest.raises(BadInput, match="'samples' is a table of the warehouse"):
        session.sql("SELECT * FROM samples", samples=pl.DataFrame({"sample": [1]}))
    assert session.sql("SELECT count(*) AS n FROM samples")["n"].to_list() == [SAMPLES]


def test_what_is_no_frame_is_named(session: Session) -> None:
    with pytest.raises(BadInput, match="numbers is not a frame"):
        session.sql("SELECT * FROM numbers", numbers=object())
    assert session.sql("SELECT 1 AS one")["one"].to_list() == [1]


def test_scan_is_lazy_and_has_the_path_keys(session: Session, place: Path) -> None:
    lazy = session.scan("samples")
    assert isinstance(lazy, pl.LazyFrame)
    assert "Parquet SCAN" in lazy.explain()
    assert lazy.filter(pl.col("sample") > 2).select("dataset", "sample").collect().rows() == [
        ("small", 3),
        ("small", 4),
    ]
    assert session.scan("detection").collect().is_empty()
    assert session.scan("scores").collect().is_empty()
    assert session.scan("runs").collect()["stage"].to_list() == ["import"]
    with pytest.raises(BadInput, match="There is no table 'nope'"):
        session.scan("nope")


def test_a_damaged_file_is_named_and_other_tables_still_answer(place: Path) -> None:
    path = place / "wh" / PUBLISHED
    content = path.read_bytes()
    session = superact.open(place / "wh")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(Damaged) as error:
        session.sql("SELECT sum(sample) FROM samples")
    assert str(path) in str(error.value)
    assert session.sql("SELECT count(*) AS n FROM detection")["n"].to_list() == [0]
    path.unlink()
    with pytest.raises(Damaged) as error:
        session.sql("SELECT sum(sample) FROM samples")
    assert str(path) in str(error.value)
    session.connection.close()


def test_opening_on_a_truncated_file_names_it(place: Path) -> None:
    os.truncate(place / "wh" / PUBLISHED, 10)
    with pytest.raises(Damaged) as error, superact.open(place / "wh").stream("SELECT sum(sample) FROM samples") as rows:
        list(rows)
    assert PUBLISHED in str(error.value)


def test_a_wrong_path_of_the_user_is_no_damage(session: Session, place: Path) -> None:
    with pytest.raises(BadQuery, match="No files found"):
        session.sql(f"SELECT * FROM '{place}/wh/tables/nope.parquet'")


def test_streamed_rows_come_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    size = 3 * BATCH_ROWS + 7
    session = superact.open(publish(tmp_path / "wh", large=size, small=SAMPLES).root)
    with session.stream("SELECT sample FROM samples WHERE dataset = 'large'") as rows:
        assert rows.schema.names == ["sample"]
        batches = list(rows)
    assert max(batch.num_rows for batch in batches) <= BATCH_ROWS
    assert pa.Table.from_batches(batches)["sample"].to_pylist() == list(range(size))
    with select_rows(session, "samples", ["sample", "dataset"], dataset="small", split=["cal", "test"]) as rows:
        assert pa.Table.from_batches(rows).to_pylist() == [{"sample": n, "dataset": "small"} for n in (1, 2, 4)]
    session.connection.close()


def test_an_unfinished_stream_is_never_cut_short_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    size = 3 * BATCH_ROWS
    session = superact.open(publish(tmp_path / "wh", large=size).root)
    rows = session.stream("SELECT sample FROM samples")
    batches = iter(rows)
    taken = next(batches).num_rows
    with pytest.raises(BadQuery, match="an earlier stream"):
        session.sql("SELECT 1 AS one")
    with pytest.raises(BadQuery, match="an earlier stream"):
        session.stream("SELECT 1 AS one")
    assert taken + sum(batch.num_rows for batch in batches) == size
    assert session.sql("SELECT 1 AS one")["one"].to_list() == [1]
    session.stream("SELECT sample FROM samples").close()
    assert session.sql("SELECT 1 AS one")["one"].to_list() == [1]
    session.connection.close()


def test_an_error_in_a_later_row_is_a_bad_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    session = superact.open(publish(tmp_path / "wh", large=3 * BATCH_ROWS).root)
    last = 3 * BATCH_ROWS - 1
    query = f"SELECT CASE WHEN sample = {last} THEN error('too late') ELSE sample END AS sample FROM samples"
    with pytest.raises(BadQuery, match="too late"), session.stream(query) as rows:
        list(rows)
    assert session.sql("SELECT 1 AS one")["one"].to_list() == [1]
    session.connection.close()


@pytest.mark.parametrize("value", ["' OR 1=1 --", "small' UNION SELECT 1", '"; COPY'])
def test_filters_are_values_and_never_sql(session: Session, value: str) -> None:
    with select_rows(session, "samples", path=value) as rows:
        assert list(rows) == []
    with pytest.raises(BadInput, match="There is no dataset"):
        select_rows(session, "samples", dataset=value)


def test_names_of_an_export_are_checked(session: Session) -> None:
    with pytest.raises(BadInput, match="There is no table"):
        select_rows(session, "samples; SELECT 1")
    with pytest.raises(BadInput, match="no column 'sample\" FROM runs --'"):
        select_rows(session, "samples", ['sample" FROM runs --'])
    with pytest.raises(BadInput, match="no column 'layer'"):
        select_rows(session, "samples", layer=[1])
    with select_rows(session, "samples", split=[]) as rows:
        assert list(rows) == []
