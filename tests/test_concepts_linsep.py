"""linsep: the oracle is the plain torch loop fed the same draws; the stop rule is tested on scripted losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from superact.concepts import Concept, fit, fit_many, random_generator
from superact.concepts.descent import NumpySeparator, Sample, TorchSeparator, f1
from superact.concepts.linsep import MEMORY_BUDGET, StopRule, draw, initial_weights, learning_rate
from superact.errors import BadInput


def blobs(gap: float, *, n: int = 900, width: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and the numbers of the positives: two clouds `gap` apart along one direction, the origin between them."""
    generator = np.random.default_rng(seed)
    rows = (generator.normal(size=(n, width)) / width**0.5).astype(np.float32)
    positives = np.sort(generator.choice(n, n // 3, replace=False))
    direction = generator.normal(size=width)
    shift = (gap / 2 * direction / np.linalg.norm(direction)).astype(np.float32)
    rows += np.where(np.isin(np.arange(n), positives)[:, None], shift, -shift)
    return rows, positives


def vector_of(concept: Concept) -> np.ndarray:
    assert concept.status == "ok"
    assert concept.vector is not None
    return concept.vector


def torch_oracle(rows: np.ndarray, positives: np.ndarray, concept: str, seed: int) -> tuple[np.ndarray, int, float]:
    """The published loop, with autograd, torch.optim.Adam and StepLR, on the draws and batches that `fit` uses."""
    generator = random_generator(seed, concept, "linsep")
    sample = draw(rows, positives, generator, None, MEMORY_BUDGET)
    x, y = torch.from_numpy(rows[sample.chosen]), torch.from_numpy(sample.targets)
    linear = torch.nn.Linear(rows.shape[1], 1, bias=False)
    linear.weight.data = torch.from_numpy(initial_weights(generator, rows.shape[1]))[None]
    optimiser = torch.optim.Adam(linear.parameters(), lr=1e-3, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimiser, step_size=5, gamma=0.8)
    criterion = torch.nn.BCEWithLogitsLoss()
    best, stalled = float("inf"), 0
    for epoch in range(1000):
        for batch in torch.from_numpy(generator.permutation(len(x))).split(64):
            optimiser.zero_grad()
            criterion(linear(x[batch]).squeeze(1), y[batch]).backward()
            optimiser.step()
        with torch.no_grad():
            logits = linear(x).squeeze(1)
            parts = zip(logits.split(64), y.split(64), strict=True)
            loss = float(np.mean([float(criterion(z, t)) for z, t in parts]))
            fired = logits > 0
            score = 2 * int((fired & (y > 0)).sum()) / (int(fired.sum()) + int(y.sum()))
        if score >= 0.99:
            break
        if epoch > 0 and best - loss < 1e-3:
            stalled += 1
            if stalled >= 20:
                break
        else:
            stalled = 0
        best = min(best, loss)
        scheduler.step()
    return linear.weight.detach().numpy()[0], epoch + 1, score


@pytest.mark.parametrize("gap", [0.0, 0.6, 2.5, 8.0])
def test_equal_to_the_plain_torch_loop(gap: float) -> None:
    rows, positives = blobs(gap)
    found = fit(rows, positives, concept="dog", seed=3)
    weights, epochs, score = torch_oracle(rows, positives, "dog", 3)
    np.testing.assert_allclose(vector_of(found), weights, atol=1e-5)
    assert found.epochs == epochs
    assert found.train_f1 == pytest.approx(score, abs=1e-12)
    assert found.norm == pytest.approx(float(np.linalg.norm(weights)), rel=1e-4)


def test_the_gaps_above_cover_both_ways_to_stop() -> None:
    hard, easy = (fit(*blobs(gap), concept="dog", seed=3) for gap in (0.0, 8.0))
    assert hard.train_f1 is not None and easy.train_f1 is not None and hard.epochs and easy.epochs
    assert hard.train_f1 < 0.99 and hard.epochs >= 21
    assert easy.train_f1 >= 0.99 and easy.epochs < 21


def test_the_torch_separator_takes_the_same_steps() -> None:
    rows, positives = blobs(1.0)
    generator = random_generator(0, "dog", "linsep")
    held = draw(rows, positives, generator, None, MEMORY_BUDGET)
    streamed = Sample(held.rows, held.chosen, held.targets, held=False)
    initial = initial_weights(generator, rows.shape[1])
    reference = NumpySeparator(held, initial, 64)
    others = [
        TorchSeparator(held, initial, torch.device("cpu")),
        TorchSeparator(streamed, initial, torch.device("cpu")),
    ]
    for epoch in range(3):
        order = generator.permutation(len(held.chosen))
        for start in range(0, len(order), 64):
            for separator in (reference, *others):
                separator.step(order[start : start + 64], learning_rate(epoch))
    for separator in others:
        np.testing.assert_allclose(separator.weights(), reference.weights(), atol=1e-5)
        np.testing.assert_allclose(separator.evaluate(64), reference.evaluate(64), rtol=1e-5)


def test_rows_gathered_from_a_file_give_the_same_vector(tmp_path: Path) -> None:
    rows, positives = blobs(0.6)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    held = fit(rows, positives, concept="dog", seed=3)
    streamed = fit(mapped, positives, concept="dog", seed=3, memory_budget=0)
    assert np.array_equal(vector_of(held), vector_of(streamed))
    assert (held.epochs, held.train_f1) == (streamed.epochs, streamed.train_f1)


def test_each_label_comes_out_as_alone_and_whatever_the_threads() -> None:
    rows, positives = blobs(0.6, width=384)
    labels = {"cat": positives[::2], "dog": positives, "emu": positives[:7]}
    together = fit_many(rows, labels, seed=5)
    assert [concept.concept for concept in together] == ["cat", "dog", "emu"]
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            alone = fit(rows, labels["dog"], concept="dog", seed=5)
        assert np.array_equal(vector_of(alone), vector_of(together[1]))


def test_seed_and_name_decide_the_draws() -> None:
    rows, positives = blobs(0.6)
    first = vector_of(fit(rows, positives, concept="dog", seed=1))
    assert np.array_equal(first, vector_of(fit(rows, positives[::-1], concept="dog", seed=1)))
    assert not np.array_equal(first, vector_of(fit(rows, positives, concept="dog", seed=2)))
    assert not np.array_equal(first, vector_of(fit(rows, positives, concept="cat", seed=1)))
    draws = random_generator(0, "dog", "linsep").integers(0, 1000, 4).tolist()
    assert draws == random_generator(0, "dog", "linsep").integers(0, 1000, 4).tolist()
    assert draws != random_generator(0, "dog", "kmeans").integers(0, 1000, 4).tolist()


def test_draws_are_balanced_disjoint_and_without_repeats() -> None:
    rows, positives = blobs(0.6)
    sample = draw(rows, positives, np.random.default_rng(0), None, MEMORY_BUDGET)
    assert len(sample.chosen) == 2 * len(positives) == len(np.unique(sample.chosen))
    assert np.array_equal(sample.chosen, np.sort(sample.chosen))
    assert np.array_equal(sample.targets > 0, np.isin(sample.chosen, positives))
    assert sample.targets.sum() == len(positives)
    capped = draw(rows, positives, np.random.default_rng(0), 101, MEMORY_BUDGET)
    assert (len(capped.chosen), capped.targets.sum()) == (100, 50)
    many = np.setdiff1d(np.arange(len(rows)), positives)
    swapped = draw(rows, many, np.random.default_rng(0), None, MEMORY_BUDGET)
    assert len(swapped.chosen) == 2 * len(positives)
    capped_fit = fit(rows, positives, concept="dog", seed=0, max_rows=101)
    assert (capped_fit.n_positive, capped_fit.n_negative) == (50, 50)


def likeness_to_logistic_regression(gap: float, n: int) -> tuple[float, Concept]:
    rows, positives = blobs(gap, n=n)
    found = fit(rows, positives, concept="dog", seed=0)
    truth = np.isin(np.arange(len(rows)), positives)
    other = LogisticRegression(fit_intercept=False, class_weight="balanced").fit(rows, truth).coef_[0]
    vector = vector_of(found)
    return float(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other)), found


def test_direction_agrees_with_logistic_regression() -> None:
    likeness, found = likeness_to_logistic_regression(gap=0.6, n=9000)
    assert likeness > 0.9
    assert found.train_f1 is not None and found.train_f1 > 0.9


def test_an_easy_concept_stops_near_its_random_start_as_published() -> None:
    likeness, found = likeness_to_logistic_regression(gap=8.0, n=3000)
    assert (found.epochs, found.train_f1) == (1, 1.0)
    assert found.norm == pytest.approx(3**-0.5, rel=0.2)  # the expected length of the initial weights
    assert 0.1 < likeness < 0.9


@pytest.mark.parametrize(
    ("positives", "status"), [([], "no_train_positives"), (list(range(900)), "no_train_negatives")]
)
def test_a_label_that_cannot_be_learned_has_a_status_and_no_vector(positives: list[int], status: str) -> None:
    found = fit(blobs(1.0)[0], np.array(positives), concept="dog", seed=0)
    assert (found.status, found.vector, found.norm, found.epochs, found.train_f1) == (status, None, None, None, None)
    assert (found.n_positive, found.n_negative) == (len(positives), 900 - len(positives))


def test_one_positive_is_enough_and_repeats_count_once() -> None:
    rows, _ = blobs(1.0)
    found = fit(rows, np.array([7, 7, 7]), concept="dog", seed=0)
    assert (found.n_positive, found.n_negative, found.status) == (1, 1, "ok")


def epochs_run(losses: list[float], scores: list[float] | None = None, max_epochs: int = 1000) -> int | None:
    """After how many epochs a rule stops on this script; None when it would go on."""
    rule = StopRule(max_epochs)
    for number, loss in enumerate(losses):
        if rule.after_epoch(loss, scores[number] if scores else 0.5):
            return number + 1
    return None


def test_stop_rule_on_f1() -> None:
    assert epochs_run([1.0], [0.99]) == 1
    assert epochs_run([1.0, 0.9, 0.8], [0.5, 0.9899, 0.995]) == 3


def test_stop_rule_on_patience() -> None:
    assert epochs_run([1.0] * 50) == 21  # the first epoch never counts, then 20 without a gain
    assert epochs_run([1.0] * 20) is None
    assert epochs_run([1.0 - 0.0005 * e for e in range(50)]) == 21  # a gain under 1e-3 is none, although the best moves
    assert epochs_run([1.0 - 0.002 * e for e in range(60)]) is None
    assert epochs_run([1.0] * 20 + [0.5] + [0.5] * 30) == 41  # a gain starts the count again
    assert epochs_run([1.0, 2.0] + [1.5] * 30) == 21  # compared with the best of all epochs before, not with the last


def test_stop_rule_on_the_last_epoch() -> None:
    assert epochs_run([1.0 - 0.01 * e for e in range(50)], max_epochs=4) == 4
    assert fit(*blobs(0.0), concept="dog", seed=0, max_epochs=2).epochs == 2


def test_learning_rates() -> None:
    assert [learning_rate(epoch) for epoch in (0, 4, 5, 10)] == pytest.approx([1e-3, 1e-3, 8e-4, 6.4e-4])


def test_f1_of_nothing_is_zero() -> None:
    assert (f1(0, 0, 0), f1(2, 3, 4)) == (0.0, pytest.approx(4 / 7))


def test_large_logits_do_not_overflow() -> None:
    rows, positives = blobs(1.0)
    assert fit(rows * np.float32(1e6), positives, concept="dog", seed=0, max_epochs=3).status == "ok"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": np.zeros((4, 2))}, "float64"),
        ({"rows": np.zeros(4, np.float32)}, "shape"),
        ({"positives": np.array([4])}, r"outside 0\.\.3"),
        ({"positives": np.array([-1])}, r"outside 0\.\.3"),
        ({"max_rows": 1}, "max_rows 1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"rows": np.full((4, 2), np.nan, np.float32)}, "loss of nan"),
        ({"device": "toaster"}, "toaster"),
    ],
)
def test_bad_input(changes: dict[str, object], said: str) -> None:
    arguments = {"rows": np.ones((4, 2), np.float32), "positives": np.array([1]), "concept": "dog", "seed": 0}
    with pytest.raises(BadInput, match=said):
        fit(**{**arguments, **changes})  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_within_rounding() -> None:
    rows, positives = blobs(0.6)
    found = fit(rows, positives, concept="dog", seed=3, device="cuda", max_epochs=5)
    wanted = fit(rows, positives, concept="dog", seed=3, max_epochs=5)
    np.testing.assert_allclose(vector_of(found), vector_of(wanted), atol=1e-4)
