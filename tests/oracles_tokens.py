"""The metrics of tokens a second time, in numpy and scikit-learn, from the contract's words. Imports nothing from superact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from oracles import LEVELS, MASK, World, quantile, selection, splitmix64, thresholds
from sklearn.metrics import jaccard_score, multilabel_confusion_matrix, precision_recall_fscore_support, roc_auc_score

EPSILON = 1e-8
POPULATIONS = ("in_concept", "in_sample_not_token", "out_of_concept")
Token = tuple[int, int]
Choice = tuple[str, float, float, float]


def chosen(world: World) -> dict[str, Choice]:
    """(concept, delta, threshold, f1) that detector superactivator selected, by label."""
    found = selection(world)
    return {label: row for (detector, label), row in found.items() if detector == "superactivator" and row is not None}


def content(world: World, *splits: str) -> list[Token]:
    """The content tokens of these splits, in order."""
    return sorted(key for key, is_content in world.tokens.items() if is_content and world.samples[key[0]] in splits)


def labelled(world: World, label: str) -> set[Token]:
    return {(sample, token) for sample, token, name in world.token_labels if name == label}


def superactivators(world: World, choice: Choice, *splits: str) -> list[Token]:
    """Content tokens that reach the selected threshold."""
    concept, _, threshold, _ = choice
    return [key for key in content(world, *splits) if world.scores[concept, *key] >= np.float32(threshold)]


def localized(world: World) -> dict[str, Choice]:
    """The labels that are localized: those with a selection and a token label."""
    known = {label for _, _, label in world.token_labels}
    return {label: choice for label, choice in chosen(world).items() if label in known}


# Alignment


def xhat(world: World, key: Token) -> list[float]:
    mean = world.mean.astype(np.float64).tolist()
    return [(x - m) / world.rms for x, m in zip(world.embeddings[key].astype(np.float64).tolist(), mean, strict=True)]


def direction(world: World, concept: str, keys: list[Token]) -> list[float]:
    """The softmax-weighted sum of xhat over these tokens; logits are scores times the norm of a separator."""
    scale = world.norms.get(concept, 1.0) if world.measure == "signed_distance" else 1.0
    logits = [float(world.scores[concept, *key]) * scale for key in keys]
    weights = [math.exp(logit - max(logits)) for logit in logits]
    rows = [xhat(world, key) for key in keys]
    return [
        math.fsum(w * row[i] for w, row in zip(weights, rows, strict=True)) / math.fsum(weights)
        for i in range(len(world.mean))
    ]


def cosine(a: list[float], b: list[float]) -> np.float32:
    lengths = [max(math.sqrt(math.fsum(x * x for x in vector)), EPSILON) for vector in (a, b)]
    return np.float32(math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths[0] / lengths[1])


def localization_scores(world: World) -> dict[tuple[str, int, int], tuple[np.float32, np.float32]]:
    """(global, local) cosine of every content token of the detected cal and test samples, by label."""
    found = {}
    for label, choice in localized(world).items():
        whole = direction(world, choice[0], superactivators(world, choice, "train", "cal"))
        own: dict[int, list[Token]] = {}
        for key in superactivators(world, choice, "cal", "test"):
            own.setdefault(key[0], []).append(key)
        local = {sample: direction(world, choice[0], keys) for sample, keys in own.items()}
        for key in content(world, "cal", "test"):
            if key[0] in local:
                row = xhat(world, key)
                found[label, *key] = cosine(row, whole), cosine(row, local[key[0]])
    return found


# Localization

Rule = tuple[str, str, float]
"""label, localizer, quantile"""


def drawn(world: World, key: Token) -> int:
    return splitmix64((splitmix64((world.seed ^ key[0]) & MASK) ^ key[1]) & MASK)


def floors(world: World, label: str, keys: list[Token]) -> Iterator[tuple[Rule, list[bool]]]:
    cal = content(world, "cal")
    share = len(labelled(world, label).intersection(cal)) / len(cal)
    yield (label, "always", 0.0), [True] * len(keys)
    yield (label, "never", 1.0), [False] * len(keys)
    yield (label, "random", 1.0 - share), [drawn(world, key) < Fraction(share) * 2**64 for key in keys]


def predictions(world: World, split: str) -> dict[Rule, list[bool]]:
    """What every localizer says of every content token of a split."""
    keys = content(world, split)
    cuts, aligned = thresholds(world), localization_scores(world) if world.embeddings else {}
    found: dict[Rule, list[bool]] = {}
    for label, choice in localized(world).items():
        concept, selected, _, _ = choice
        detected = {sample for sample, _ in superactivators(world, choice, split)}
        for delta, level in LEVELS.items():
            if delta >= selected:
                cut = np.float32(cuts["superactivator", label, concept, delta][0])
                found[label, "concept_vector", level] = [
                    key[0] in detected and bool(world.scores[concept, *key] >= cut) for key in keys
                ]
        for place, localizer in enumerate(("superactivator_global", "superactivator_local")):
            pool = {key: aligned[label, *key][place] for key in keys if key[0] in detected and world.embeddings}
            for q in LEVELS if world.embeddings else ():
                level = np.float32(quantile(list(pool.values()), q)) if pool else None
                found[label, localizer, q] = [key in pool and bool(pool[key] >= level) for key in keys]
        found |= dict(floors(world, label, keys))
    return found


def measures(truth: np.ndarray, predicted: np.ndarray) -> list[tuple]:
    """tp, fp, fn, tn, precision, recall, f1, accuracy, iou of every column of bool [tokens, rules]."""
    n, rules = truth.shape
    if not n:
        return [(0, 0, 0, 0, *[0.0] * 5)] * rules
    padded = [np.hstack([matrix, np.zeros((n, 2), dtype=bool)]) for matrix in (truth, predicted)]
    counts = multilabel_confusion_matrix(*padded)
    precision, recall, f1, _ = precision_recall_fscore_support(*padded, average=None, zero_division=0)
    iou = jaccard_score(*padded, average=None, zero_division=0)
    accuracy = (truth == predicted).mean(axis=0)
    found = []
    for i in range(rules):
        (tn, fp), (fn, tp) = counts[i].tolist()
        found.append((tp, fp, fn, tn, *(float(v[i]) for v in (precision, recall, f1, accuracy, iou))))
    return found


def localization(world: World) -> dict[tuple[str, str, str, float], tuple]:
    """concept, delta and measures by label, localizer, split, quantile: the grid on cal, on test what cal chose."""
    if world.unit != "token":
        return {}
    choices = localized(world)
    tables: dict[str, dict[Rule, tuple]] = {}
    for split in ("cal", "test"):
        keys, rules = content(world, split), predictions(world, split)
        inside = {label: labelled(world, label) for label in choices}
        truth = np.array([[key in inside[rule[0]] for rule in rules] for key in keys], dtype=bool)
        predicted = np.array(list(rules.values()), dtype=bool).T
        shape = (len(keys), len(rules))
        tables[split] = dict(zip(rules, measures(truth.reshape(shape), predicted.reshape(shape)), strict=True))
    best: dict[tuple[str, str], tuple] = {}
    for (label, localizer, q), (tp, fp, fn, *_) in tables["cal"].items():
        f1 = Fraction(2 * tp, max(1, 2 * tp + fp + fn))
        rank = (-f1, -q if localizer == "concept_vector" else q, q)  # the smallest delta_i is the highest level
        best[label, localizer] = min(best.get((label, localizer), rank), rank)
    found = {}
    for split, table in tables.items():
        for (label, localizer, q), row in table.items():
            if split == "cal" or q == best[label, localizer][2]:
                concept, delta = (None, None) if localizer in ("always", "never", "random") else choices[label][:2]
                found[label, localizer, split, q] = (concept, delta, *row)
    return found


# Distributions, separation, superactivator_ratio


def described(world: World) -> dict[str, tuple[str | None, Choice | None]]:
    """The concept that describes a label, and what was selected: a supervised label without a selection has its own concept."""
    if world.unit != "token":
        return {}
    found: dict[str, tuple[str | None, Choice | None]] = {}
    selected = chosen(world)
    for label in world.evaluated:
        choice = selected.get(label)
        own = label if world.supervised and label in world.scored else None
        found[label] = (choice[0] if choice else own, choice)
    return found


def populations(world: World, label: str, concept: str) -> dict[str, np.ndarray]:
    """Test scores of the content tokens, float64, by population."""
    inside = labelled(world, label)
    found: dict[str, list[float]] = {name: [] for name in POPULATIONS}
    for key in content(world, "test"):
        outside = "in_sample_not_token" if (key[0], label) in world.sample_labels else "out_of_concept"
        found["in_concept" if key in inside else outside].append(float(world.scores[concept, *key]))
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()}


def histograms(groups: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float | None, float | None]:
    """Counts [100] of each population, and the range that they share."""
    values = np.concatenate(list(groups.values()))
    counts = {name: np.zeros(100, dtype=int) for name in groups}
    if not len(values):
        return counts, None, None
    low, high = float(values.min()), float(values.max())
    for name, group in groups.items():
        for value in group.tolist():
            counts[name][0 if high == low else min(math.floor((value - low) / (high - low) * 100), 99)] += 1
    return counts, low, high


def distributions(world: World) -> dict[tuple[str, str, int], tuple]:
    """lo, hi, n, mass by label, population and bin."""
    found = {}
    for label, (concept, _) in described(world).items():
        if concept is None:
            continue
        counts, low, high = histograms(populations(world, label, concept))
        for name, bins in counts.items():
            for number, n in enumerate(bins.tolist()):
                edges: list[float | None] = [None, None]
                if low is not None and high is not None:
                    edges = [low + (high - low) * (number + end) / 100 for end in (0, 1)]
                found[label, name, number] = (*edges, n, n / bins.sum() if n else 0.0)
    return found


def cohens_d(inside: np.ndarray, outside: np.ndarray) -> float | None:
    if min(len(inside), len(outside)) < 2:
        return None
    squares = (len(inside) - 1) * inside.var(ddof=1) + (len(outside) - 1) * outside.var(ddof=1)
    pooled = math.sqrt(squares / (len(inside) + len(outside) - 2))
    return float((inside.mean() - outside.mean()) / pooled) if pooled else None


def separation(world: World) -> dict[tuple[str], tuple]:
    """concept, delta, overlap, auc, cohens_d, tail_mass, tail_coverage, tail_precision, n_in, n_out by label."""
    found: dict[tuple[str], tuple] = {}
    for label, (concept, choice) in described(world).items():
        if concept is None:
            found[(label,)] = (None,) * 10
            continue
        groups = populations(world, label, concept)
        inside, outside = groups["in_concept"], groups["out_of_concept"]
        overlap = auc = None
        if len(inside) and len(outside):
            counts, _, _ = histograms(groups)
            masses = [counts[name] / counts[name].sum() for name in ("in_concept", "out_of_concept")]
            overlap = float(np.minimum(*masses).sum())
            truth = [True] * len(inside) + [False] * len(outside)
            auc = float(roc_auc_score(truth, np.concatenate([inside, outside])))
        tail: tuple = (None, None, None) if choice is None else tails(world, label, choice, inside, outside)
        if not any(name == label for _, _, name in world.token_labels):
            tail = (None, tail[1], None)  # no truth about tokens
        own = (concept, None if choice is None else choice[1])
        distance = cohens_d(inside, outside)
        found[(label,)] = (*own, overlap, auc, distance, *tail, len(inside), len(outside))
    return found


def tails(
    world: World, label: str, choice: Choice, inside: np.ndarray, outside: np.ndarray
) -> tuple[float, float, float]:
    """tail_mass, tail_coverage and tail_precision at the selected threshold; 0/0 is 0."""
    cut = float(np.float32(choice[2]))
    n_in, n_out = int((inside >= cut).sum()), int((outside >= cut).sum())
    carriers = {s for s, name in world.sample_labels if name == label and world.samples[s] == "test"}
    covered = carriers & {sample for sample, _ in superactivators(world, choice, "test")}
    return n_in / max(1, len(inside)), len(covered) / max(1, len(carriers)), n_in / max(1, n_in + n_out)


def superactivator_ratio(world: World) -> dict[tuple[str, int], tuple[int, int, int]]:
    """Superactivators, those with the label, and tokens with the label, of every test sample that owns one of these."""
    found = {}
    tokens = content(world, "test")
    for label, (_, choice) in described(world).items():
        if choice is None:
            continue
        inside, reaching = labelled(world, label), superactivators(world, choice, "test")
        for sample in world.split("test"):
            own = [key for key in tokens if key[0] == sample and key in inside]
            if own:
                at = [key for key in reaching if key[0] == sample]
                found[label, sample] = (len(at), len(inside.intersection(at)), len(own))
    return found
