"""Answers of prompted models for tests: published beside a `World`, and counted a second time in numpy and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from metrics_tables import write_table
from oracles import World
from sklearn.metrics import confusion_matrix

from superact.store import Warehouse

ANSWERING = "asked"
"""The slug of the answering model, where a test does not say."""
Answers = Mapping[tuple[int, str], str]
"""yes, no or unparsed by (sample, label)."""
Places = Iterable[tuple[int, int, str]]
"""(sample, token, label) that the model points at."""


def random_answers(world: World, seed: int, labels: Iterable[str] | None = None) -> dict[tuple[int, str], str]:
    """Answers about every test sample, more often right than not, some of them unparsed."""
    rng = np.random.default_rng(seed)
    found = {}
    for label in world.labels if labels is None else labels:
        for sample in world.split("test"):
            right = ((sample, label) in world.sample_labels) == (rng.random() < 0.7)
            found[sample, label] = "unparsed" if rng.random() < 0.1 else "yes" if right else "no"
    return found


def answer_rows(answers: Answers) -> list[dict[str, Any]]:
    """Rows of prompt_answers."""
    return [
        {"sample": sample, "label": label, "answer": answer, "reply": answer.title(), "localization_reply": None}
        for (sample, label), answer in sorted(answers.items())
    ]


def place_rows(places: Places) -> list[dict[str, Any]]:
    """Rows of prompt_tokens."""
    return [{"label": label, "sample": sample, "token": token} for sample, token, label in sorted(places)]


def publish_answers(
    warehouse: Warehouse,
    answers: Answers,
    *,
    model: str = ANSWERING,
    dataset: str = "d",
    places: Places | None = None,
    tokens_of: str = "m",
    version: int = 1,
    name: str | None = None,
) -> None:
    """Publish answers, the places if there are any, and the row of the answering model where it gets a display name."""
    keys = {"dataset": dataset, "model": model, "tokens_of": tokens_of}
    with warehouse.run("test", replace=True) as run:
        write_table(run, "prompt_answers", answer_rows(answers), version, **keys)
        if places is not None:
            write_table(run, "prompt_tokens", place_rows(places), version, **keys)
        if name is not None:
            write_table(run, "models", [{"name": name, "modality": "text", "width": 2}], version, **keys)
        run.publish()


def confusion(truth: np.ndarray, predicted: np.ndarray) -> tuple[int, int, int, int]:
    """tp, fp, fn, tn."""
    tn, fp, fn, tp = confusion_matrix(truth, predicted, labels=[False, True]).ravel().tolist()
    return tp, fp, fn, tn


def judged(world: World, answers: Answers) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Truth and prediction of the asked test samples by (prompt, label), as the oracles have them of a detector."""
    found = {}
    for label in world.evaluated:
        asked = [sample for sample in world.split("test") if (sample, label) in answers]
        if asked:
            truth = np.array([(sample, label) in world.sample_labels for sample in asked])
            found["prompt", label] = truth, np.array([answers[sample, label] == "yes" for sample in asked])
    return found


def placed(world: World, answers: Answers, places: Places) -> dict[str, tuple[int, int, int, int]]:
    """tp, fp, fn, tn of the content tokens of the asked test samples by label."""
    found, marked = {}, set(places)
    for label in world.evaluated:
        asked = [sample for sample in world.split("test") if (sample, label) in answers]
        content = [key for key, is_content in world.tokens.items() if is_content and key[0] in asked]
        if asked:
            truth = np.array([(*key, label) in world.token_labels for key in content], dtype=bool)
            found[label] = confusion(truth, np.array([(*key, label) in marked for key in content], dtype=bool))
    return found
