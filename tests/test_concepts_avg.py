"""avg: the mean of the normalised train positives, from raw rows in one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superact.concepts import MeanPrototype
from superact.errors import BadInput


def test_the_mean_of_normalised_positives_by_hand() -> None:
    prototypes = MeanPrototype(["red", "never", "blue"], 2)
    nothing = np.array([], dtype=np.int64)
    prototypes.add(np.array([[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], np.float32), [np.array([0, 1]), nothing, nothing])
    prototypes.add(np.array([[5.0, 9.0]], np.float32), [np.array([0]), nothing, np.array([0])])
    red, never, blue = prototypes.finish(mean=np.array([1.0, 1.0]), rms=2.0)
    assert red.vector is not None and blue.vector is not None
    assert (red.vector.tolist(), blue.vector.tolist()) == ([1.0, 2.0], [2.0, 4.0])
    assert red.vector.dtype == np.float32
    assert red.norm == pytest.approx(5**0.5)
    assert (red.n_positive, red.n_negative, red.bias, red.status, red.concept) == (3, 0, 0.0, "ok", "red")
    assert (red.epochs, red.train_f1, red.seed) == (None, None, None)
    assert (never.vector, never.norm, never.n_positive, never.status) == (None, None, 0, "no_train_positives")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 40))
def test_streaming_raw_rows_equals_the_mean_over_normalised_rows(seed: int, cut: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.normal(3, 5, (40, 7)).astype(np.float32)
    members = np.flatnonzero(generator.random(40) < 0.4)
    mean = rows.mean(axis=0, dtype=np.float64)
    rms = float(np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1).mean()))
    prototypes = MeanPrototype(["a"], 7)
    prototypes.add(rows[:cut], [members[members < cut]])
    prototypes.add(torch.from_numpy(rows[cut:]), [members[members >= cut] - cut])
    found = prototypes.finish(mean, rms)[0]
    if len(members) == 0:
        assert found.vector is None
        return
    wanted = ((rows[members].astype(np.float64) - mean) / rms).mean(axis=0)
    assert found.vector is not None
    np.testing.assert_allclose(found.vector, wanted, rtol=1e-6, atol=1e-7)
    assert found.n_positive == len(members)


def test_normalised_rows_need_no_statistics() -> None:
    prototypes = MeanPrototype(["a"], 2)
    prototypes.add(np.array([[0.5, 1.0], [1.5, 2.0]], np.float32), [np.array([0, 1])])
    vector = prototypes.finish()[0].vector
    assert vector is not None
    assert vector.tolist() == [1.0, 1.5]


def test_a_repeated_member_counts_once() -> None:
    prototypes = MeanPrototype(["a"], 1)
    prototypes.add(np.array([[1.0], [4.0]], np.float32), [np.array([0, 1, 1, 1])])
    concept = prototypes.finish()[0]
    assert concept.vector is not None
    assert (concept.vector.tolist(), concept.n_positive) == ([2.5], 2)


def test_half_precision_rows_are_summed_in_double() -> None:
    rows = torch.full((4096, 1), 100.0, dtype=torch.float16)
    prototypes = MeanPrototype(["a"], 1)
    prototypes.add(rows, [np.arange(4096)])
    vector = prototypes.finish()[0].vector
    assert vector is not None
    assert vector.tolist() == [100.0]  # the sum, 409600, is beyond float16


@pytest.mark.parametrize(
    ("rows", "membership"),
    [
        (np.zeros((2, 3)), [np.array([0])]),
        (np.zeros((2, 2)), []),
        (np.zeros((2, 2)), [np.array([2])]),
        (np.zeros((2, 2)), [np.array([-1])]),
    ],
)
def test_what_does_not_fit_is_refused(rows: np.ndarray, membership: list[np.ndarray]) -> None:
    with pytest.raises(BadInput):
        MeanPrototype(["a"], 2).add(rows, membership)


def test_a_zero_rms_is_refused() -> None:
    with pytest.raises(BadInput, match="rms"):
        MeanPrototype(["a"], 2).finish(np.zeros(2), 0.0)
