"""The metrics a second time, in numpy and scikit-learn, from the contract's words. Imports nothing from superact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from sklearn.metrics import multilabel_confusion_matrix, precision_recall_fscore_support

LEVELS = {
    0.02: 0.98, 0.05: 0.95, 0.1: 0.9, 0.2: 0.8, 0.3: 0.7, 0.4: 0.6, 0.5: 0.5, 0.6: 0.4, 0.7: 0.3, 0.8: 0.2, 0.9: 0.1, 0.95: 0.05
}  # fmt: skip
AGGREGATES = {
    "token": {
        "last_token": "last", "max_token": "max", "mean_token": "mean", "random_token": "random", "superactivator": "max"
    },
    "cls": {"cls": "cls"},
}  # fmt: skip
MASK = (1 << 64) - 1


@dataclass
class World:
    """One (dataset, model, layer, concept set, unit), small enough to read.

    `tokens` maps (sample, token) to is_content; `scores` maps (concept, sample, token) to a float32 and holds content tokens
    only (unit cls: token -1); `concepts` maps a name to its status.
    """

    samples: dict[int, str]
    tokens: dict[tuple[int, int], bool]
    labels: dict[str, bool]
    sample_labels: set[tuple[int, str]]
    token_labels: set[tuple[int, int, str]]
    concepts: dict[str, str]
    scores: dict[tuple[str, int, int], np.float32]
    supervised: bool = True
    unit: str = "token"
    seed: int = 0
    measure: str = "cosine"
    others: dict[tuple[str, int, int], np.float32] = field(default_factory=dict)

    @property
    def detectors(self) -> list[str]:
        return list(AGGREGATES[self.unit])

    @property
    def evaluated(self) -> list[str]:
        return sorted(label for label, evaluated in self.labels.items() if evaluated)

    @property
    def scored(self) -> list[str]:
        return [concept for concept, status in self.concepts.items() if status == "ok"]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The (label, concept) that are compared."""
        for label in self.evaluated:
            for concept in self.scored:
                if concept == label or not self.supervised:
                    yield label, concept

    def split(self, name: str) -> list[int]:
        return sorted(sample for sample, split in self.samples.items() if split == name)


def splitmix64(x: int) -> int:
    z = (x + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def quantile(values: list[float], level: float) -> float:
    """Linear interpolation in double at rank level * (n - 1)."""
    ordered = sorted(float(value) for value in values)
    rank = level * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def random_tokens(world: World) -> dict[int, int]:
    found = {}
    for sample in world.samples:
        content = sorted(token for (own, token), is_content in world.tokens.items() if own == sample and is_content)
        if content:
            found[sample] = content[splitmix64(world.seed ^ sample) % len(content)]
    return found


def sample_scores(world: World) -> dict[tuple[str, int, str], np.float32 | None]:
    drawn = random_tokens(world)
    found: dict[tuple[str, int, str], np.float32 | None] = {}
    rows: dict[tuple[str, int], dict[int, np.float32]] = {}
    for (concept, sample, token), score in world.scores.items():
        rows.setdefault((concept, sample), {})[token] = score
    for concept in world.scored:
        for sample in world.samples:
            own = rows.get((concept, sample), {})
            if world.unit == "cls":
                found[concept, sample, "cls"] = own.get(-1)
                continue
            values = np.array(list(own.values()), dtype=np.float32)
            found[concept, sample, "max"] = values.max() if own else None
            found[concept, sample, "mean"] = np.float32(values.astype(np.float64).mean()) if own else None
            found[concept, sample, "last"] = own[max(own)] if own else None
            found[concept, sample, "random"] = own[drawn[sample]] if own else None
    return found


def _pool(world: World, detector: str, label: str, concept: str, rolled: dict) -> tuple[list[np.float32], bool]:
    """Calibration values, and whether the weak rule gave them."""
    cal = set(world.split("cal"))
    carrying = [sample for sample, name in world.sample_labels if name == label and sample in cal]
    inside = [
        (sample, token)
        for sample, token, name in world.token_labels
        if name == label and sample in cal and world.tokens.get((sample, token), False)
    ]
    weak = world.unit == "token" and all(name != label for _, _, name in world.token_labels)
    if detector == "superactivator" and not weak:
        return [world.scores[concept, sample, token] for sample, token in inside], weak
    chosen = carrying if weak or world.unit == "cls" else {sample for sample, _ in inside}
    values = [rolled[concept, sample, AGGREGATES[world.unit][detector]] for sample in chosen]
    return [value for value in values if value is not None], weak


def thresholds(world: World) -> dict[tuple[str, str, str, float], tuple[float | None, int, str]]:
    rolled = sample_scores(world)
    found: dict[tuple[str, str, str, float], tuple[float | None, int, str]] = {}
    for label, concept in world.pairs():
        for detector in world.detectors:
            values, weak = _pool(world, detector, label, concept, rolled)
            status = "no_cal_positives" if not values else "sample_labels_only" if weak else "ok"
            for delta, level in LEVELS.items():
                value = quantile(values, level) if values else None
                found[detector, label, concept, delta] = value, len(values), status
    return found


def detection(world: World, split: str) -> dict[tuple[str, str, str, float], tuple | None]:
    """Every pair: tp, fp, fn, tn, precision, recall, f1, accuracy, fpr; None without a threshold."""
    cuts = thresholds(world)
    decided = [key for key, (cut, _, _) in cuts.items() if cut is not None]
    found: dict[tuple[str, str, str, float], tuple | None] = dict.fromkeys(cuts)
    samples = world.split(split)
    truth, predicted = outcomes_of(world, samples, {key: cuts[key][0] for key in decided})
    if not samples:
        return found | dict.fromkeys(decided, (0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0))
    counts = multilabel_confusion_matrix(truth, predicted)
    measures = precision_recall_fscore_support(truth, predicted, average=None, zero_division=0)
    for index, key in enumerate(decided):
        (tn, fp), (fn, tp) = counts[index].tolist()
        precision, recall, f1 = (float(measure[index]) for measure in measures[:3])
        fpr = fp / (fp + tn) if fp + tn else 0.0
        found[key] = (tp, fp, fn, tn, precision, recall, f1, (tp + tn) / len(samples), fpr)
    return found


def outcomes_of(world: World, samples: list[int], cuts: dict) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction, bool [samples, cuts + 2]; two empty columns keep scikit-learn in the multilabel case."""
    rolled = sample_scores(world)
    truth = np.zeros((len(samples), len(cuts) + 2), dtype=bool)
    predicted = truth.copy()
    for column, ((detector, label, concept, *_), cut) in enumerate(cuts.items()):
        for row, sample in enumerate(samples):
            truth[row, column] = (sample, label) in world.sample_labels
            score = rolled[concept, sample, AGGREGATES[world.unit][detector]]
            predicted[row, column] = score is not None and score >= np.float32(cut)
    return truth, predicted


def name_order(names: list[str]) -> dict[str, object]:
    if all(re.fullmatch("0|[1-9][0-9]*", name) for name in names):
        return {name: int(name) for name in names}
    return {name: name.encode() for name in names}


def selection(world: World) -> dict[tuple[str, str], tuple[str, float, float, float] | None]:
    """(concept, delta, threshold, f1) of every detector and label; F1 are compared as fractions."""
    cuts, cal = thresholds(world), detection(world, "cal")
    order = name_order([concept for _, concept in world.pairs()])
    positive = {label for sample, label in world.sample_labels if world.samples[sample] == "cal"}
    found: dict[tuple[str, str], tuple[str, float, float, float] | None] = {}
    for detector in world.detectors:
        for label in world.evaluated:
            best = []
            for key, row in cal.items():
                if key[:2] == (detector, label) and row is not None and label in positive:
                    tp, fp, fn, *_ = row
                    f1 = Fraction(2 * tp, 2 * tp + fp + fn)
                    best.append((-f1, key[3], order[key[2]], key[2], key))
            choice = min(best, default=None)
            found[detector, label] = None
            if choice is not None:
                concept, delta = choice[3], choice[1]
                found[detector, label] = (concept, delta, cuts[choice[4]][0], float(-choice[0]))
    return found


def summary(world: World) -> dict[str, tuple]:
    """f1, precision, recall; macro_*; micro_* (in that order of measures); n_labels, n_positive; None without a label."""
    chosen, samples = selection(world), world.split("test")
    found = {}
    for detector in world.detectors:
        cuts = {
            (detector, label, row[0]): row[2]
            for (own, label), row in chosen.items()
            if own == detector and row and any((sample, label) in world.sample_labels for sample in samples)
        }
        if not cuts:
            found[detector] = (*[None] * 9, 0, 0)
            continue
        truth, predicted = outcomes_of(world, samples, cuts)
        values: list[float] = []
        for average in ("weighted", "macro", "micro"):
            own = {"labels": list(range(len(cuts))), "average": average, "zero_division": 0}
            precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, **own)
            values += [float(f1), float(precision), float(recall)]
        found[detector] = (*values, len(cuts), int(truth.sum()))
    return found


def bootstrap(truth: np.ndarray, predicted: np.ndarray, seed: int, replicates: int) -> list[float]:
    """Weighted F1 of every replicate, sample by sample. `truth` and `predicted` are bool [n, labels]."""
    generator = np.random.Generator(np.random.PCG64(seed))
    n, labels = truth.shape
    values = []
    for _ in range(replicates):
        rows = generator.integers(0, n, size=n).tolist()
        total, mass = 0.0, 0
        for label in range(labels):
            if not truth[:, label].any():
                continue
            tp = sum(bool(truth[row, label] and predicted[row, label]) for row in rows)
            fp = sum(bool(predicted[row, label] and not truth[row, label]) for row in rows)
            fn = sum(bool(truth[row, label] and not predicted[row, label]) for row in rows)
            f1 = 2 * tp / (2 * tp + fp + fn) if 2 * tp + fp + fn else 0.0
            total += f1 * (tp + fn)
            mass += tp + fn
        values.append(total / mass if mass else 0.0)
    return values
