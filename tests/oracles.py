"""The metrics of samples a second time, in numpy and scikit-learn, from the contract's words. Imports nothing from superact."""

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
    only (unit cls: token -1); `concepts` maps a name to its status, `norms` to the norm of its vector (1 by default).
    `embeddings` float32 [d], of content tokens, are raw; xhat = (x - mean) / rms. They need not give the scores.
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
    norms: dict[str, float] = field(default_factory=dict)
    embeddings: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    rms: float = 1.0

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
    """Calibration values, and whether the weak rule gave them. Of activations of a sparse autoencoder, those above 0."""
    cal = set(world.split("cal"))
    carrying = [sample for sample, name in world.sample_labels if name == label and sample in cal]
    inside = [
        (sample, token)
        for sample, token, name in world.token_labels
        if name == label and sample in cal and world.tokens.get((sample, token), False)
    ]
    weak = world.unit == "token" and all(name != label for _, _, name in world.token_labels)
    if detector == "superactivator" and not weak:
        values = [world.scores[concept, sample, token] for sample, token in inside]
    else:
        chosen = carrying if weak or world.unit == "cls" else {sample for sample, _ in inside}
        values = [rolled[concept, sample, AGGREGATES[world.unit][detector]] for sample in chosen]
    return [v for v in values if v is not None and (v > 0 or world.measure != "activation")], weak


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


def detection_best(world: World, keep: int) -> set[tuple[str, str, str]]:
    """The (detector, label, concept) whose rows on cal are kept: best F1 first, then smallest delta, then name."""
    cal, order = detection(world, "cal"), name_order(world.scored)
    best: dict[tuple[str, str], dict[str, tuple]] = {}
    for (detector, label, concept, delta), row in cal.items():
        f1 = Fraction(-1) if row is None else Fraction(2 * row[0], max(1, 2 * row[0] + row[1] + row[2]))
        own = best.setdefault((detector, label), {})
        own[concept] = min(own.get(concept, (2,)), (-f1, delta, order[concept]))
    return {(*key, concept) for key, own in best.items() for concept in sorted(own, key=own.__getitem__)[:keep]}


Judged = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]
"""Truth and prediction of the test samples, bool [n] each, by (detector, label): labels with a selection."""


def judged(world: World) -> Judged:
    cuts = {(*key, row[0]): row[2] for key, row in selection(world).items() if row is not None}
    truth, predicted = outcomes_of(world, world.split("test"), cuts)
    return {key[:2]: (truth[:, column], predicted[:, column]) for column, key in enumerate(cuts)}


def layer_selection(worlds: dict[int, World]) -> dict[tuple[str, str], tuple]:
    """layer, concept, delta, f1_cal, f1_test, precision_test, recall_test, n_positive, by detector and label."""
    first = next(iter(worlds.values()))
    chosen = {layer: selection(world) for layer, world in worlds.items()}
    test = {layer: detection(world, "test") for layer, world in worlds.items()}
    found = {}
    for detector in first.detectors:
        for label in first.evaluated:
            positive = sum(name == label and first.samples[sample] == "test" for sample, name in first.sample_labels)
            rows = [(layer, own[detector, label]) for layer, own in sorted(chosen.items()) if own[detector, label]]
            if not rows:
                found[detector, label] = (*[None] * 7, positive)
                continue
            layer, (concept, delta, _, f1) = max(rows, key=lambda row: row[1][3])  # the first of equals
            _, _, _, _, precision, recall, f1_test, *_ = test[layer][detector, label, concept, delta]
            found[detector, label] = (layer, concept, delta, f1, f1_test, precision, recall, positive)
    return found


def judged_best(worlds: dict[int, World]) -> Judged:
    """The same of the layers chosen."""
    own = {layer: judged(world) for layer, world in worlds.items()}
    return {key: own[row[0]][key] for key, row in layer_selection(worlds).items() if row[0] is not None}


def summary(worlds: dict[int, World]) -> dict[tuple[str, int | None, str], tuple]:
    """f1, precision, recall; macro_*; micro_*; n_labels, n_positive, by layer choice, layer, detector. None without a label."""
    first = next(iter(worlds.values()))
    chosen: dict[tuple[str, int | None], Judged] = {("fixed", layer): judged(world) for layer, world in worlds.items()}
    chosen["best", None] = judged_best(worlds)
    return {
        (*where, detector): averages(rows, detector) for where, rows in chosen.items() for detector in first.detectors
    }


def null_summary(worlds: dict[int, World]) -> dict[tuple[str, int | None, str], tuple]:
    """f1_cal, f1, n_labels, n_positive by layer choice, layer, detector; F1 on cal weighted by test positives, too."""
    chosen = layer_selection(worlds)
    cal: dict[int | None, dict] = {None: {key: row[3] for key, row in chosen.items() if row[0] is not None}}
    for layer, world in worlds.items():
        cal[layer] = {key: row[3] for key, row in selection(world).items() if row is not None}
    found = {}
    for (choice, layer, detector), (f1, *_, labels, positive) in summary(worlds).items():
        own = [
            (f1_cal, chosen[key][-1]) for key, f1_cal in cal[layer].items() if key[0] == detector and chosen[key][-1]
        ]
        mean = sum(f1_cal * n for f1_cal, n in own) / positive if labels else None
        found[choice, layer, detector] = (mean, f1, labels, positive)
    return found


def matrices(rows: Judged, detector: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Truth and prediction of one detector, bool [n, labels], over labels with a test positive; None without any."""
    own = [pair for (name, _), pair in sorted(rows.items()) if name == detector and pair[0].any()]
    return (np.stack([t for t, _ in own], axis=1), np.stack([p for _, p in own], axis=1)) if own else None


def averages(rows: Judged, detector: str) -> tuple:
    found = matrices(rows, detector)
    if found is None:
        return (*[None] * 9, 0, 0)
    n, labels = found[0].shape
    truth, predicted = (np.hstack([matrix, np.zeros((n, 2), dtype=bool)]) for matrix in found)
    values: list[float] = []
    for average in ("weighted", "macro", "micro"):
        own = {"labels": list(range(labels)), "average": average, "zero_division": 0}
        precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, **own)
        values += [float(f1), float(precision), float(recall)]
    return (*values, labels, int(truth.sum()))


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
