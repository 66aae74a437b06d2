"""`prompt_results`: what prompted models answered about the test samples, and the confusion of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from superact.published.files import PublishedFile, fetch
from superact.published.names import folder_name
from superact.published.sets import ConceptSet
from superact.query import Session

if TYPE_CHECKING:
    import polars as pl

_INDEX = "Image Index"
_NOWHERE = "No inversion"
"""What the published file has where a model was not asked where."""


def prompt_files(session: Session, one: ConceptSet) -> Iterator[PublishedFile]:
    """The files of every prompted model of the dataset of a set."""
    keys = {"dataset": one.keys["dataset"]}
    for row in fetch(session, "prompts", keys).to_dicts():
        own = {**keys, "model": row["model"]}
        name = folder_name(row["model"], row["name"].replace("\\", "/").rpartition("/")[2])
        stem = f"prompt_results/{one.folder}/{one.folder}_{name}"
        answers = fetch(session, "prompt_answers", own)
        yield PublishedFile(f"{stem}_concepts.txt", _by_sample(answers, "answer"))
        if answers["place"].null_count() < len(answers):
            yield PublishedFile(f"{stem}_inversion.txt", _by_sample(answers, "place").fill_null(_NOWHERE))
        yield PublishedFile(f"{stem}_f1_scores.csv", fetch(session, "prompt_f1", own))


def _by_sample(answers: pl.DataFrame, value: str) -> pl.DataFrame:
    """A row a sample and a column a label, both in order; empty where the model was not asked."""
    rows = answers.pivot("label", index="sample", values=value, sort_columns=True).sort("sample")
    return rows.rename({"sample": _INDEX})
