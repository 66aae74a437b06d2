"""The plain files under tables/ read right by a bare hive glob in DuckDB, Polars and pyarrow."""

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from folders import write_folder
from test_crash import add_activations

import superact
from superact.ingest.import_folder import import_folder
from superact.schemas import tables
from superact.store import Warehouse

KINDS = {"VARCHAR": pl.String, "INTEGER": pl.Int32, "BIGINT": pl.Int64, "FLOAT": pl.Float32, "DOUBLE": pl.Float64}
KINDS |= {"BOOLEAN": pl.Boolean, "FLOAT[]": pl.List(pl.Float32)}
MADE_BY_EVAL = {"sample_scores", "localization_scores"}
TABLES = sorted(t.name for t in tables().values() if t.room == "tables" and t.name not in MADE_BY_EVAL)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("bare")
    import_folder(Warehouse(place / "w"), write_folder(place / "folder"))
    add_activations(place / "w")
    add_others(Warehouse(place / "w"))
    return place / "w"


def add_others(warehouse: Warehouse) -> None:
    """A row of each table that neither an import nor eval writes."""
    values = {pa.string(): "blue", pa.int32(): 3, pa.int64(): 4, pa.float32(): 0.5, pa.float64(): 0.25}
    embeddings = dict(warehouse.state().select("embeddings")[0].partition.keys)
    keys = {**embeddings, "concept_set": "sae", "tokens_of": embeddings["model"]}
    with warehouse.run("made up") as run:
        for name in set(TABLES) - {partition.table for partition in run.state.partitions}:
            schema = pa.schema([tables()[name].arrow_schema().field(column.name) for column in tables()[name].stored])
            row = {field.name: values[field.type] for field in schema}
            part = run.partition(name, {"made": "up"}, **{key: keys[key] for key in tables()[name].path})
            part.write(0, [pa.Table.from_pylist([row], schema=schema)])
        run.publish()


@pytest.fixture(scope="module")
def counts(root):
    session = superact.open(root)
    found = {name: session.sql(f"SELECT count(*) AS n FROM {name}")["n"][0] for name in TABLES}
    session.connection.close()
    assert all(found.values())
    return found


@pytest.mark.parametrize("name", TABLES)
def test_duckdb(root, counts, name):
    with duckdb.connect() as connection:
        glob = f"read_parquet('{root}/tables/{name}/**/*.parquet', hive_partitioning = true)"
        described = connection.sql(f"DESCRIBE FROM {glob}").fetchall()
        rows = connection.sql(f"SELECT count(*) FROM {glob}").fetchall()
    # A bare glob takes a layer for a BIGINT; superact's views say INTEGER.
    wanted = {c.name: "BIGINT" if c.name == "layer" else c.sql_type for c in tables()[name].columns}
    assert {column: kind for column, kind, *_ in described} == wanted
    assert rows == [(counts[name],)]


@pytest.mark.parametrize("name", TABLES)
def test_polars(root, counts, name):
    frame = pl.read_parquet(f"{root}/tables/{name}/**/*.parquet", hive_partitioning=True)
    wanted = {c.name: pl.Int64 if c.name == "layer" else KINDS[c.sql_type] for c in tables()[name].columns}
    assert dict(frame.schema) == wanted
    assert len(frame) == counts[name]


@pytest.mark.parametrize("name", TABLES)
def test_pyarrow(root, counts, name):
    table = tables()[name]
    dataset = ds.dataset(root / "tables" / name, format="parquet", partitioning="hive")
    assert dataset.count_rows() == counts[name]
    assert set(dataset.schema.names) == {c.name for c in table.columns}
    for column in table.stored:
        wanted = table.arrow_schema().field(column.name).type
        assert dataset.schema.field(column.name).type in (wanted, pa.list_(pa.float32()))
    for key in table.path:
        kind = dataset.schema.field(key).type
        assert kind == (pa.int32() if key == "layer" else pa.string())


def test_one_concept_of_one_partition_is_the_same_everywhere(root):
    session = superact.open(root)
    query = (
        "SELECT sum(cosine::DOUBLE) AS s, count(*) AS n FROM {} WHERE layer = 2 AND unit = 'token' AND concept = 'red'"
    )
    wanted = session.sql(query.format("activations")).row(0)
    session.connection.close()
    assert wanted[1] == 2 * 27
    with duckdb.connect() as connection:
        bare = connection.sql(query.format(f"read_parquet('{root}/tables/activations/**/*.parquet')")).fetchall()[0]
    assert bare == pytest.approx(wanted)
    lazy = pl.scan_parquet(f"{root}/tables/activations/**/*.parquet", hive_partitioning=True)
    lazy = lazy.filter((pl.col("layer") == 2) & (pl.col("unit") == "token") & (pl.col("concept") == "red"))
    assert lazy.select(pl.col("cosine").cast(pl.Float64).sum(), n=pl.len()).collect().row(0) == pytest.approx(wanted)
    dataset = ds.dataset(root / "tables/activations", format="parquet", partitioning="hive")
    where = (pc.field("layer") == 2) & (pc.field("unit") == "token") & (pc.field("concept") == "red")
    rows = dataset.to_table(filter=where)
    assert (pc.sum(rows["cosine"].cast(pa.float64())).as_py(), len(rows)) == pytest.approx(wanted)
