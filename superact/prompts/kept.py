"""What was answered before, and need not be asked again: the published answers, and those of a run that was not finished.

Staging holds notes of two kinds. `{"first": i, "rows": [...]}`: a batch of finished rows, the first of them about the i-th
question of the plan. `{"taken": [...]}`: rows of an unfinished narrower run, whose places may still be missing. Both carry how
the replies ended.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from superact.datasets.base import Dataset
from superact.errors import IdentityMismatch
from superact.prompts.backends.base import Endings
from superact.prompts.parse import parse_answer
from superact.prompts.plan import covers, plan_of
from superact.prompts.questions import Question, questions
from superact.store import Run, Warehouse
from superact.store.identity import Identity, differences
from superact.store.layout import Partition
from superact.store.manifest import Published
from superact.store.staging import begin_otherwise, staged_identity, staged_notes, staging_directory

Row = tuple[str, str, str | None]
"""answer, reply, localisation reply"""


def published_rows(warehouse: Warehouse, published: Published) -> pl.DataFrame:
    """The rows of a published partition."""
    paths = [warehouse.root / file.path for file in published.files]
    return pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])


def published_answers(warehouse: Warehouse, published: Published) -> dict[Question, Row]:
    """The answers of a published partition."""
    return {Question(row[0], row[1]): row[2:] for row in published_rows(warehouse, published).iter_rows()}


def take_over_published(run: Run, published: Published, identity: Identity) -> dict[Question, Row]:
    """The published answers, where this run asks for them and more: its partition then stands in for the published one.

    Their replies are read again, so that a newer parser needs no model.
    """
    if not covers(identity, published.identity):
        return {}
    run.replace = True
    rows = published_answers(run.warehouse, published)
    return {question: (parse_answer(reply), reply, where) for question, (_, reply, where) in rows.items()}


def take_over_begun(warehouse: Warehouse, partition: Partition, identity: Identity, dataset: Dataset) -> None:
    """Make what an unfinished run of a narrower plan has in staging the beginning of a run with this identity.

    Errors: IdentityMismatch for an unfinished run of other settings, or of a plan that asks for something that this one does
    not: its answers cost too much to be dropped without a word.
    """
    directory = staging_directory(warehouse.root, partition)
    begun = staged_identity(directory)
    if begun is None or begun == identity:
        return
    if not covers(identity, begun):
        found = "; ".join(differences(begun, identity))
        raise IdentityMismatch(partition=str(partition), state="was begun and not finished", differences=found)
    notes = staged_notes(directory)
    plan = plan_of(begun)
    rows = taken_rows(notes) | noted_rows(notes, questions(dataset, plan.labels, plan.splits, plan.sample_limit))
    taken = [[question.sample, question.label, reply, where] for question, (_, reply, where) in rows.items()]
    begin_otherwise(directory, identity, {"taken": taken, **noted_endings(notes).to_json()})


def noted_rows(notes: list[dict[str, Any]], asked: list[Question]) -> dict[Question, Row]:
    """The finished rows of a plan with these questions."""
    return {
        asked[note["first"] + i]: tuple(row) for note in notes if "first" in note for i, row in enumerate(note["rows"])
    }


def taken_rows(notes: list[dict[str, Any]]) -> dict[Question, Row]:
    """The rows of an unfinished narrower run; their replies are read again, as those of published answers are."""
    taken = [row for note in notes for row in note.get("taken", ())]
    return {Question(sample, label): (parse_answer(reply), reply, where) for sample, label, reply, where in taken}


def noted_endings(notes: list[dict[str, Any]]) -> Endings:
    """How the replies ended that were noted."""
    endings = Endings()
    for note in notes:
        endings.merge(note)
    return endings
