"""Threads, row order, file order and batch size change nothing but the last bits of a real."""

import numpy as np
import pytest
from metrics_tables import COLUMNS, GRAINS, assert_row, publish_world, random_world, run_world

from superact.metrics.evaluate import evaluate
from superact.metrics.partition import evaluation_connection
from superact.query import Session

WORLDS = [
    random_world(31, samples=60, most_tokens=9, labels=5, density=0.3),
    random_world(32, samples=40, most_tokens=9, labels=3, clusters=15, density=0.3, grid=1000),
    random_world(33, samples=60, labels=4, unit="cls", clusters=11, density=0.3, grid=2),
]


def assert_same(found, wanted):
    for table, grain in GRAINS.items():
        a, b = ({tuple(row[key] for key in grain): row for row in rows[table]} for rows in (found, wanted))
        assert a.keys() == b.keys()
        for key, row in b.items():
            assert_row(tuple(a[key][c] for c in COLUMNS[table]), tuple(row[c] for c in COLUMNS[table]), (table, key))
    assert found["outcomes"] == wanted["outcomes"]


@pytest.fixture(scope="module")
def references():
    with evaluation_connection(threads=1) as connection:
        return [run_world(connection, world) for world in WORLDS]


@pytest.mark.parametrize("number", range(len(WORLDS)))
@pytest.mark.parametrize(
    ("threads", "batch_rows", "seed"), [(4, 10**7, None), (1, 1, None), (4, 100, 0), (2, 10**7, 1)]
)
def test_same_tables_whatever_the_threads_batches_and_order(references, number, threads, batch_rows, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    with evaluation_connection(threads=threads) as connection:
        assert_same(run_world(connection, WORLDS[number], batch_rows, rng), references[number])


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_same_published_rows_whatever_the_files(tmp_path, monkeypatch, number):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world = WORLDS[number]
    tables = {}
    for name, files, seed, threads, batch_rows in (("one", 1, None, 1, 10**7), ("many", 5, 3, 4, 40)):
        rng = None if seed is None else np.random.default_rng(seed)
        warehouse = publish_world(tmp_path / name, world, files=files, rng=rng)
        evaluate(warehouse, threads=threads, batch_rows=batch_rows)
        session = Session(warehouse)
        tables[name] = {}
        for table in ("sample_scores", "thresholds", "detection", "selection", "summary"):
            rows = session.sql(f"SELECT * FROM {table}").to_dicts()
            tables[name][table] = {tuple(row[key] for key in GRAINS[table]): row for row in rows}
    for table, rows in tables["one"].items():
        columns = (*COLUMNS[table], "ci_low", "ci_high") if table == "summary" else COLUMNS[table]
        assert rows.keys() == tables["many"][table].keys()
        for key, row in rows.items():
            other = tables["many"][table][key]
            assert_row(tuple(other[c] for c in columns), tuple(row[c] for c in columns), (table, key))
