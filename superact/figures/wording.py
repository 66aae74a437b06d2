"""What figures of samples say: which samples and layers they show, what a detector decides, where their colours end."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from superact.errors import BadInput
from superact.figures.frames import PACKAGE, Numbers, listed, run
from superact.figures.passages import comparison, number
from superact.figures.samples import check_samples
from superact.figures.selected import Place, Selected

if TYPE_CHECKING:
    import polars as pl

MEASURES = {"cosine": "cosine", "signed_distance": "signed distance", "activation": "activation"}
"""What the numbers of each measure are called."""


def caption(width: int, *texts: str) -> list[str]:
    """Sentences as lines that fit a figure of `width` pixels."""
    return [line for text in texts for line in textwrap.wrap(text, max(50, round(width / 5.6)))]


def samples_for(at: Place, sample: Numbers) -> list[int]:
    """The samples of a figure: those asked for, else the test sample that carries the most labels. Errors: BadInput."""
    wanted = listed(sample)
    if wanted is None:
        wanted = run(at.session, PACKAGE, "default_sample", dataset=at.dataset)["sample"].to_list()
        if not wanted:
            raise BadInput(what=f"{at.dataset} has no test sample.", remedy="Name one with sample= (--sample).")
    check_samples(at.session, at.dataset, wanted)
    return list(dict.fromkeys(map(int, wanted)))


def samples_named(at: Place, samples: Sequence[int]) -> str:
    """Samples as a title says them: sample 12 (test)."""
    facts = run(at.session, PACKAGE, "sample_facts", dataset=at.dataset, samples=list(samples))
    splits = dict(facts.select("sample", "split").iter_rows())
    listed_samples = ", ".join(f"{one} ({splits[one]})" for one in samples)
    return f"sample{'s' * (len(samples) > 1)} {listed_samples}"


def layers_named(at: Place, choices: Sequence[Selected]) -> str:
    """The layers of choices as a caption says them: layer 9 (75 % through), where it is one."""
    found = {choice.layer for choice in choices}
    if len(found) == 1:
        return at.about.layer(found.pop())
    return "each label's best layer on cal"


def threshold_named(choice: Selected) -> str:
    """The threshold of a choice as a caption says it."""
    return f"threshold {number(choice.threshold)}, delta {choice.delta:g}"


def verdict(choice: Selected, tokens: pl.DataFrame, positive: bool) -> list[str]:
    """What a detector says of a sample, and whether it is right: the lines under a label."""
    best: Any = tokens["score"].max()
    if best is None:
        return [
            f"layer {choice.layer}: no content token, not detected",
            "false negative" if positive else "true negative",
        ]
    detected = bool(tokens["superactivator"].any())
    outcome = {(True, True): "true positive", (True, False): "false positive", (False, True): "false negative"}
    against = comparison(best, choice.threshold, detected)
    said = f"score {against}, {'detected' if detected else 'not detected'}"
    carries = "carries the label" if positive else "does not carry it"
    return [f"layer {choice.layer}: {said}", f"{carries}: {outcome.get((detected, positive), 'true negative')}"]


def limit_of(choice: Selected, tokens: pl.DataFrame) -> float:
    """Where a colour scale ends on both sides of 0: the larger of the threshold and the largest score shown."""
    largest: Any = tokens["score"].abs().max()
    return max(abs(choice.threshold), float(largest or 0.0)) or 1.0
