"""kmeans and kmeans-linsep: clusters against scikit-learn's own functions, and what becomes of the empty ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score, f1_score, pairwise_distances_argmin
from threadpoolctl import threadpool_info, threadpool_limits

from superact.concepts import Clusters, centre_concepts, cluster, fit, separator_concepts
from superact.errors import BadInput


def blobs(k: int = 5, each: int = 60, width: int = 12, spread: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around k centres that lie `spread` apart, and which centre each belongs to."""
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(k, width)) * spread
    rows = np.repeat(centres, each, axis=0) + generator.normal(size=(k * each, width))
    return rows.astype(np.float32), np.repeat(np.arange(k), each)


def assert_same(one: Clusters, other: Clusters) -> None:
    """Bit for bit."""
    np.testing.assert_array_equal(one.centres, other.centres)
    np.testing.assert_array_equal(one.assignment, other.assignment)
    assert one.n_empty == other.n_empty


def test_clusters_find_the_blobs_and_every_row_is_at_its_nearest_centre() -> None:
    rows, truth = blobs()
    found = cluster(rows, 5, seed=1)
    assert adjusted_rand_score(truth, found.assignment) == 1.0
    assert found.assignment.tolist() == pairwise_distances_argmin(rows, found.centres).tolist()
    assert (found.centres.dtype, found.assignment.dtype, found.n_empty) == (np.float32, np.int32, 0)
    means = np.stack([rows[truth == truth[members[0]]].mean(axis=0) for members in found.members()])
    assert np.abs(found.centres - means).max() < 0.2  # a centre is the running mean of the rows that were drawn


def test_same_seed_same_clusters_and_members_are_lists_of_rows() -> None:
    rows, _ = blobs()
    one = cluster(rows, 8, seed=1)
    assert_same(one, cluster(rows, 8, seed=1))
    assert not np.array_equal(one.centres, cluster(rows, 8, seed=2).centres)
    members = one.members()
    assert sorted(np.concatenate(members).tolist()) == list(range(len(rows)))
    for number, rows_of_it in enumerate(members):
        assert rows_of_it.tolist() == np.flatnonzero(one.assignment == number).tolist()


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = blobs(k=30, each=200, width=24, spread=1.0)
    original, seen = MiniBatchKMeans.fit, set()

    def fitting(self: MiniBatchKMeans, *args: Any, **kwargs: Any) -> Any:
        seen.update(pool["num_threads"] for pool in threadpool_info())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MiniBatchKMeans, "fit", fitting)
    with threadpool_limits(limits=1):
        one = cluster(rows, 40, seed=0)
    with threadpool_limits(limits=3):
        assert_same(one, cluster(rows, 40, seed=0))
        assert {pool["num_threads"] for pool in threadpool_info()} == {3}  # what the caller had is given back
    assert seen == {1}


def test_a_memory_map_clusters_like_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = blobs()
    mapped = np.memmap(tmp_path / "rows.f32", dtype=np.float32, mode="w+", shape=rows.shape)
    mapped[:] = rows
    one, other = cluster(rows, 6, seed=4), cluster(mapped, 6, seed=4)
    assert_same(one, other)
    assert not isinstance(other.centres, np.memmap)
    separators = [separator_concepts(each, one, seed=0) for each in (rows, mapped)]
    for a, b in zip(*separators, strict=True):
        np.testing.assert_array_equal(a.vector, b.vector)
    monkeypatch.setattr("superact.concepts.kmeans._BLOCK", 7)
    assert_same(one, cluster(mapped, 6, seed=4))


def test_empty_clusters_are_dropped_and_counted() -> None:
    rows = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)  # four distinct points cannot fill seven clusters
    found = cluster(rows, 7, seed=0)
    assert len(found.centres) + found.n_empty == 7
    assert found.n_empty >= 3
    assert np.bincount(found.assignment, minlength=len(found.centres)).min() > 0
    assert found.names == [str(i) for i in range(len(found.centres))]
    assert len(found.members()) == len(found.centres)
    assert [c.concept for c in centre_concepts(found, seed=0)] == found.names


def test_clusters_left_by_the_empty_ones_keep_their_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers close up; a centre, its members and its name go together."""
    rows, _ = blobs()
    whole = cluster(rows, 5, seed=1)
    original = MiniBatchKMeans.fit

    def fitting(self: MiniBatchKMeans, *args: Any, **kwargs: Any) -> Any:
        model = original(self, *args, **kwargs)
        far = np.full((1, rows.shape[1]), 1e3, dtype=np.float32)
        model.cluster_centers_ = np.concatenate([model.cluster_centers_[:2], far, model.cluster_centers_[2:]])
        model.n_clusters += 1
        return model

    monkeypatch.setattr(MiniBatchKMeans, "fit", fitting)
    found = cluster(rows, 5, seed=1)
    np.testing.assert_array_equal(found.centres, whole.centres)
    np.testing.assert_array_equal(found.assignment, whole.assignment)


def test_fewer_rows_than_clusters() -> None:
    rows, _ = blobs(k=1, each=3)
    found = cluster(rows, 10, seed=0)
    assert 1 <= len(found.centres) <= 3
    assert found.n_empty == 10 - len(found.centres)


def test_equal_rows_are_one_cluster_without_a_separator() -> None:
    rows = np.ones((50, 4), dtype=np.float32)
    found = cluster(rows, 3, seed=0)
    assert (len(found.centres), found.n_empty) == (1, 2)
    np.testing.assert_allclose(found.centres[0], 1.0)
    (separator,) = separator_concepts(rows, found, seed=0)
    assert (separator.concept, separator.vector, separator.status) == ("0", None, "no_train_negatives")


def test_what_cannot_be_clustered_is_named() -> None:
    rows, _ = blobs()
    with pytest.raises(BadInput, match="0 train rows cannot be cut into 3 clusters"):
        cluster(rows[:0], 3, seed=0)
    with pytest.raises(BadInput, match="300 train rows cannot be cut into 0 clusters"):
        cluster(rows, 0, seed=0)
    with pytest.raises(BadInput, match="float64 of shape"):
        cluster(rows.astype(np.float64), 3, seed=0)
    for value in (np.nan, np.inf, -np.inf):
        damaged = rows.copy()
        damaged[-1, -1] = value
        with pytest.raises(BadInput, match="not finite"):
            cluster(damaged, 3, seed=0)
    assert len(cluster(np.full_like(rows, 1e37), 3, seed=0).centres) == 1  # large, and finite


def test_concepts_of_clusters_and_their_separators() -> None:
    # Clouds that overlap, and many rows: a separator takes enough steps to leave its random start.
    rows, _ = blobs(k=3, each=3000, spread=1.0)
    clusters = cluster(rows, 5, seed=0)
    centres, separators = centre_concepts(clusters, seed=7), separator_concepts(rows, clusters, seed=7)
    assert [c.concept for c in centres] == [c.concept for c in separators] == clusters.names == list("01234")
    sizes = np.bincount(clusters.assignment).tolist()
    assert [(c.n_positive, c.n_negative, c.epochs, c.seed, c.status) for c in centres] == [
        (n, 0, None, 7, "ok") for n in sizes
    ]
    for centre, vector in zip(centres, clusters.centres, strict=True):
        np.testing.assert_array_equal(centre.vector, vector)
        assert centre.norm == pytest.approx(np.linalg.norm(vector))
    for concept, members in zip(separators, clusters.members(), strict=True):
        alone = fit(rows, members, concept=concept.concept, seed=7, batch_size=256)
        np.testing.assert_array_equal(concept.vector, alone.vector)
        assert concept.vector is not None and concept.epochs is not None and concept.train_f1 is not None
        assert (concept.n_positive, concept.n_negative, concept.seed) == (len(members), len(members), 7)
        truth = np.isin(np.arange(len(rows)), members)
        scores = rows @ concept.vector
        assert concept.epochs > 20 and concept.train_f1 > 0.7
        assert scores[truth].mean() > scores[~truth].mean() + 0.5 * scores.std()
        assert f1_score(truth, scores > 0) > f1_score(truth, np.ones(len(rows)))


def test_max_rows_caps_every_separator() -> None:
    rows, _ = blobs(spread=1.0)
    clusters = cluster(rows, 3, seed=0)
    found = separator_concepts(rows, clusters, seed=0, max_rows=10)
    assert {(c.n_positive, c.n_negative) for c in found} == {(5, 5)}
