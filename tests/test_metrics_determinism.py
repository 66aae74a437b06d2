"""Threads, row order, file order and batch size change nothing but the last bits of a real."""

import numpy as np
import pytest
from metrics_tables import (
    COLUMNS,
    GRAINS,
    assert_tables,
    other_layer,
    publish_world,
    random_world,
    run_layers,
    run_tokens,
    run_world,
)

from superact.metrics import chosen, embeddings
from superact.metrics.evaluate import evaluate
from superact.metrics.partition import evaluation_connection
from superact.query import Session

WORLDS = [
    random_world(31, samples=60, most_tokens=9, labels=5, density=0.3, width=3),
    random_world(32, samples=40, most_tokens=9, labels=3, clusters=15, density=0.3, grid=1000, width=2),
    random_world(33, samples=60, labels=4, unit="cls", clusters=11, density=0.3, grid=2),
]
WAYS = [(4, 10**7, None), (1, 1, None), (4, 100, 0), (2, 10**7, 1)]
"""Threads, batch size, and the seed that shuffles the rows."""
ABOUT_TOKENS = ("localization_scores", "localization", "distributions", "separation", "superactivator_ratio")


def keyed(rows):
    """Tables as the oracles give them: grain to the other columns."""
    return {
        table: {tuple(row[k] for k in GRAINS[table]): tuple(row[c] for c in COLUMNS[table]) for row in rows[table]}
        for table in rows.keys() & GRAINS.keys()
    }


@pytest.fixture(scope="module")
def references():
    with evaluation_connection(threads=1) as connection:
        return [run_world(connection, world) for world in WORLDS]


@pytest.mark.parametrize("number", range(len(WORLDS)))
@pytest.mark.parametrize(("threads", "batch_rows", "seed"), WAYS)
def test_same_tables_whatever_the_threads_batches_and_order(references, number, threads, batch_rows, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    with evaluation_connection(threads=threads) as connection:
        found = run_world(connection, WORLDS[number], batch_rows, rng)
    assert_tables(found, keyed(references[number]))
    assert found["outcomes"] == references[number]["outcomes"]


@pytest.fixture(scope="module")
def token_references():
    with evaluation_connection(threads=1) as connection:
        return [run_tokens(connection, world) for world in WORLDS[:2]]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("threads", "batch_rows", "seed"), WAYS)
def test_same_tables_about_tokens(token_references, monkeypatch, number, threads, batch_rows, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    if batch_rows < 10**7:  # blocks of few rows, and few labels at a time
        monkeypatch.setattr(embeddings, "BLOCK_BYTES", 8 * 3 * 7)
        monkeypatch.setattr(chosen, "LABEL_ROWS", batch_rows)
    with evaluation_connection(threads=threads) as connection:
        found = run_tokens(connection, WORLDS[number], rng, batch_rows, files=1 + 3 * (seed is not None))
    wanted = keyed(token_references[number])
    assert wanted.keys() == set(ABOUT_TOKENS)
    assert min(map(len, wanted.values())) > 2
    assert_tables(found, wanted)


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_same_layers_chosen_whatever_the_threads_and_order(number):
    worlds = {layer: other_layer(WORLDS[number], layer) for layer in (1, 2, 10)}
    found = []
    for threads, seed, layers in ((1, None, [1, 2, 10]), (4, 3, [10, 1, 2])):
        rng = None if seed is None else np.random.default_rng(seed)
        with evaluation_connection(threads=threads) as connection:
            found.append(run_layers(connection, {layer: worlds[layer] for layer in layers}, rng))
    assert_tables(found[1], keyed(found[0]))


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_same_published_rows_whatever_the_files(tmp_path, monkeypatch, number):
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world, found, bounds = WORLDS[number], {}, {}
    derived = {"sample_scores", "thresholds", "detection", "selection", "layer_selection", "summary"}
    derived |= set(ABOUT_TOKENS if world.unit == "token" else ())
    for name, files, seed, threads, batch_rows in (("one", 1, None, 1, 10**7), ("many", 5, 3, 4, 40)):
        rng = None if seed is None else np.random.default_rng(seed)
        warehouse = publish_world(tmp_path / name, world, files=files, rng=rng)
        assert evaluate(warehouse, threads=threads, batch_rows=batch_rows).keys() == derived
        session = Session(warehouse)
        found[name] = {table: session.sql(f"SELECT * FROM {table}").to_dicts() for table in derived}
        bounds[name] = session.sql("SELECT ci_low, ci_high FROM summary ORDER BY layer_choice, detector").to_numpy()
    assert_tables(found["many"], keyed(found["one"]))
    assert np.abs(bounds["many"] - bounds["one"]).max() <= 1e-12
