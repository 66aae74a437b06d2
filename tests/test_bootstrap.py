"""The bootstrap against a loop over samples, and what it promises: the same draws, whatever the block."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superact.metrics import bootstrap
from superact.metrics.bootstrap import Outcomes, draws, interval, weighted_f1


def outcomes(truth: np.ndarray, predicted: np.ndarray) -> Outcomes:
    """Rows of two bool [n, labels] matrices, true negatives left out."""
    sample, label = np.nonzero(truth | predicted)
    return Outcomes(sample, label, predicted[sample, label], truth[sample, label])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 15),
    labels=st.integers(1, 4),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**63),
)
def test_replicates_equal_a_loop(n, labels, density, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.random((n, labels)) < density, rng.random((n, labels)) < 0.5
    found = weighted_f1(n, seed, {"max_token": outcomes(truth, predicted)}, 20)
    if not truth.any():
        assert found == {}
        return
    assert list(found) == ["max_token"]
    np.testing.assert_allclose(found["max_token"], oracles.bootstrap(truth, predicted, seed, 20), rtol=0, atol=1e-12)


def test_blocks_of_replicates_and_labels_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((50, 7)) < 0.3, rng.random((50, 7)) < 0.3
    rows = {"a": outcomes(truth, predicted), "b": outcomes(truth, truth)}
    whole, counts = weighted_f1(50, 3, rows), np.concatenate(list(draws(50, 3)))
    monkeypatch.setattr(bootstrap, "BLOCK_BYTES", 4 * 50 * 3)  # three replicates, three labels
    assert np.array_equal(np.concatenate(list(draws(50, 3))), counts)
    small = weighted_f1(50, 3, rows)
    assert small.keys() == whole.keys()
    for name in whole:
        np.testing.assert_allclose(small[name], whole[name], rtol=0, atol=1e-12)


def test_draws_are_numpy_s_with_replacement():
    counts = np.concatenate(list(draws(6, 42, 3)))
    generator = np.random.Generator(np.random.PCG64(42))
    for row in counts:
        assert row.tolist() == np.bincount(generator.integers(0, 6, size=6), minlength=6).tolist()
    assert counts.sum(axis=1).tolist() == [6, 6, 6]


def test_seeds_differ_and_repeat():
    first, again, other = (np.concatenate(list(draws(30, seed, 10))) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_perfect_and_useless_detectors():
    truth = np.array([[True], [True], [False], [False]])
    found = weighted_f1(4, 0, {"perfect": outcomes(truth, truth), "silent": outcomes(truth, np.zeros_like(truth))}, 200)
    assert set(found["perfect"].tolist()) == {0.0, 1.0}  # 0: a replicate that drew no positive has nothing to weigh by
    assert (found["perfect"] == 0).sum() == (np.concatenate(list(draws(4, 0, 200)))[:, :2].sum(axis=1) == 0).sum()
    assert set(found["silent"].tolist()) == {0.0}


def test_labels_without_a_positive_are_not_averaged():
    truth = np.array([[True, False], [False, False]])
    predicted = np.array([[True, True], [False, True]])
    alone = weighted_f1(2, 0, {"x": outcomes(truth[:, :1], predicted[:, :1])}, 50)["x"]
    assert np.array_equal(weighted_f1(2, 0, {"x": outcomes(truth, predicted)}, 50)["x"], alone)


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([0.5], (0.5, 0.5)),
        ([0.0, 1.0], (0.025, 0.975)),
        (list(range(41)), (1.0, 39.0)),
        ([3.0, 1.0, 2.0], (1.05, 2.95)),
    ],
)
def test_interval_is_the_linear_quantiles(values, bounds):
    assert interval(np.array(values, dtype=float)) == pytest.approx(bounds, abs=1e-12)
