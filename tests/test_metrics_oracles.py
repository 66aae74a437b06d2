"""The SQL against numpy and scikit-learn, on random worlds."""

import csv

import duckdb
import numpy as np
import oracles
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from metrics_tables import assert_tables, expected, expected_outcomes, random_world, run_world

from superact.metrics.partition import evaluation_connection, hold_query

WORLDS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "samples": st.integers(0, 14),
        "most_tokens": st.integers(0, 4),
        "labels": st.integers(1, 4),
        "clusters": st.integers(0, 4),
        "unit": st.sampled_from(["token", "cls"]),
        "density": st.sampled_from([0.0, 0.1, 0.4, 0.7, 1.0]),
        "grid": st.sampled_from([0, 1, 4, 1000]),
        "measure": st.sampled_from(["cosine", "signed_distance"]),
    }
)


@pytest.fixture(scope="module")
def connection():
    with evaluation_connection() as connection:
        yield connection


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=WORLDS, batch_rows=st.sampled_from([1, 20, 10_000_000]))
@example(shape={"seed": 1, "samples": 40, "labels": 4, "density": 0.3}, batch_rows=1)
@example(shape={"seed": 2, "samples": 40, "labels": 3, "clusters": 8, "grid": 1}, batch_rows=50)
@example(shape={"seed": 3, "samples": 30, "labels": 4, "unit": "cls", "clusters": 6}, batch_rows=10_000_000)
def test_every_table_equals_the_oracle(connection: duckdb.DuckDBPyConnection, shape, batch_rows):
    world = random_world(**shape)
    assert_tables(run_world(connection, world, batch_rows), expected(world))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=WORLDS)
def test_outcomes_are_the_rows_detected_or_true_at_the_choice(connection: duckdb.DuckDBPyConnection, shape):
    world = random_world(**shape)
    found = run_world(connection, world)["outcomes"]
    wanted = expected_outcomes(world)
    assert {tuple(row.values()) for row in found} == wanted
    assert len(found) == len(wanted)


def vectors(golden):
    with (golden / "random_token_vectors.csv").open() as handle:
        return [{name: int(value) for name, value in row.items()} for row in csv.DictReader(handle)]


def test_splitmix64_gives_the_golden_vectors(connection, golden):
    rows = vectors(golden)
    assert len(rows) == 24
    for row in rows:
        call = "splitmix64(xor($seed::UBIGINT, $sample::UBIGINT))"
        query = f"SELECT {call}, {call} % $n::UBIGINT"
        found = connection.execute(query, {name: row[name] for name in ("seed", "sample", "n")}).fetchall()
        assert found == [(row["hash"], row["position"])]
        assert oracles.splitmix64(row["seed"] ^ row["sample"]) == row["hash"]


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(x=st.integers(0, 2**64 - 1))
@example(x=0)
@example(x=2**64 - 1)
def test_splitmix64_equals_integers_of_python(connection, x):
    assert connection.execute("SELECT splitmix64($1::UBIGINT)", [x]).fetchall() == [(oracles.splitmix64(x),)]


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scores=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200))
def test_quantiles_interpolate_in_double_as_the_contract_says(connection, scores):
    values = np.array(scores, dtype=np.float32)
    hold_query(connection, "one", pa.table({"score": values}))
    ((found,),) = connection.execute("SELECT quantile_cont(score::DOUBLE, levels()) FROM one").fetchall()
    # The last bit is DuckDB's own: it weighs both neighbours, numpy goes from the nearer one.
    for wanted in (
        [oracles.quantile(scores, level) for level in oracles.LEVELS.values()],
        np.quantile(values.astype(np.float64), list(oracles.LEVELS.values())),
    ):
        assert np.abs(np.array(found) - wanted).max() <= 1e-15


def test_the_grid_is_the_contract_s(connection):
    ((deltas, levels),) = connection.execute("SELECT deltas(), levels()").fetchall()
    assert dict(zip(deltas, levels, strict=True)) == oracles.LEVELS
