"""What was answered before, and need not be asked again: the published answers, and those of a run that was not finished.

Staging holds notes of three kinds. `{"first": i, "rows": [...]}`: a batch of finished rows, the first of them about the i-th
question of the plan. `{"taken": [...]}`: rows of an unfinished run of another plan, whose places may still be missing. Both
carry how the replies ended. `"anew": true`, alone or beside `taken`: the run was begun to ask everything anew, so that its
answers must not stand beside published ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from superact.datasets.base import Dataset
from superact.errors import BadInput, IdentityMismatch
from superact.prompts.backends.base import Endings
from superact.prompts.parse import parse_answer
from superact.prompts.plan import covers, plan_of
from superact.prompts.questions import Question, questions
from superact.store import Run, Warehouse
from superact.store.identity import Identity, differences
from superact.store.layout import Partition
from superact.store.manifest import Published
from superact.store.staging import (
    StagedPartition,
    begin_otherwise,
    discard,
    staged_identity,
    staged_notes,
    staging_directory,
)

Row = tuple[str, str, str | None]
"""answer, reply, localisation reply"""


@dataclass(frozen=True)
class Beginning:
    """What an unfinished run left in staging, and this one goes on from."""

    identity: Identity
    rows: dict[Question, Row]
    """All of them, whether this run asks for them or not."""
    endings: Endings
    anew: bool
    """True when everything in it was asked since a --replace."""

    def note(self) -> dict[str, Any]:
        """The rows as one note of a run of another plan."""
        taken = [[question.sample, question.label, reply, where] for question, (_, reply, where) in self.rows.items()]
        return {"taken": taken, **self.endings.to_json(), **({"anew": True} if self.anew else {})}

    def beyond(self, asked: list[Question], localize: bool) -> int:
        """How many of its replies a run that asks this publishes nothing of."""
        mine = set(asked)
        places = sum(row[2] is not None and not (localize and q in mine) for q, row in self.rows.items())
        return len(self.rows.keys() - mine) + places


def published_rows(warehouse: Warehouse, published: Published) -> pl.DataFrame:
    """The rows of a published partition."""
    paths = [warehouse.root / file.path for file in published.files]
    return pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])


def published_answers(warehouse: Warehouse, published: Published) -> dict[Question, Row]:
    """The answers of a published partition."""
    return {Question(row[0], row[1]): row[2:] for row in published_rows(warehouse, published).iter_rows()}


def known_before(
    run: Run, partition: Partition, identity: Identity, dataset: Dataset, anew: bool
) -> tuple[dict[Question, Row], Beginning | None]:
    """The rows that need not be asked for (among others), and the unfinished run that this one goes on from.

    With `anew`, of answers that were asked for under --replace, too. Nothing in staging changes. Errors: IdentityMismatch and
    BadInput for answers, published or begun, that this run can neither take over nor may drop.
    """
    published = run.state.partitions.get(partition)
    known = {} if published is None or anew else take_over_published(run, published, identity)
    begun = _beginning(run, partition, identity, dataset, anew)
    return known | (begun.rows if begun else {}), begun


def take_over_published(run: Run, published: Published, identity: Identity) -> dict[Question, Row]:
    """The published answers, where this run asks for them and more: its partition then stands in for the published one.

    Their replies are read again, so that a newer parser needs no model. Errors: IdentityMismatch for any others.
    """
    if not covers(identity, published.identity):
        raise _mismatch(published.partition, "is published", published.identity, identity)
    run.replace = True
    rows = published_answers(run.warehouse, published)
    return {question: (parse_answer(reply), reply, where) for question, (_, reply, where) in rows.items()}


def _beginning(run: Run, partition: Partition, identity: Identity, dataset: Dataset, anew: bool) -> Beginning | None:
    """What an unfinished run has in staging; with `anew`, if it was begun so and has this plan.

    Errors: IdentityMismatch for one of other settings, or of a plan that neither holds this one nor is held by it: its answers
    cost too much to be dropped without a word. BadInput for one that was asking published answers anew.
    """
    directory = staging_directory(run.warehouse.root, partition)
    begun = staged_identity(directory)
    if begun is None:
        return None
    notes = staged_notes(directory)
    begun_anew = any(note.get("anew") for note in notes)
    wider, narrower = covers(begun, identity), covers(identity, begun)
    if anew and not (begun_anew and wider and narrower):
        return None
    if not anew and begun_anew and partition in run.state.partitions:
        raise _unfinished_replacement(partition, begun, identity)
    if not wider and not narrower:
        raise _mismatch(partition, "was begun and not finished", begun, identity)
    plan = plan_of(begun)
    rows = noted_rows(notes, questions(dataset, plan.labels, plan.splits, plan.sample_limit))
    read = {question: (parse_answer(reply), reply, where) for question, (_, reply, where) in rows.items()}
    return Beginning(begun, taken_rows(notes) | read, noted_endings(notes), begun_anew)


def begin(run: Run, partition: Partition, identity: Identity, begun: Beginning | None, anew: bool) -> StagedPartition:
    """The partition to write: begun from nothing, or with what an unfinished run left, which is given this identity."""
    directory = staging_directory(run.warehouse.root, partition)
    if begun is None:
        discard(directory)
    elif begun.identity != identity:
        begin_otherwise(directory, identity, begun.note())
    staged = run.partition(partition.table, identity, **dict(partition.keys))
    if begun is None and anew:
        staged.remember(0, {"anew": True})
        run.drain()
    return staged


def _mismatch(partition: Partition, state: str, found: Identity, wanted: Identity) -> IdentityMismatch:
    return IdentityMismatch(partition=str(partition), state=state, differences="; ".join(differences(found, wanted)))


def _unfinished_replacement(partition: Partition, begun: Identity, identity: Identity) -> BadInput:
    differing = "; ".join(differences(begun, identity))
    return BadInput(
        what=f"{partition} is being asked anew, which was not finished: old and new answers do not mix.",
        remedy="Finish it with --replace and the same plan"
        + (f" (these fields differ: {differing})" if differing else "")
        + ", or drop what is not finished with `superact gc --older-than 0 --yes`.",
    )


def noted_rows(notes: list[dict[str, Any]], asked: list[Question]) -> dict[Question, Row]:
    """The finished rows of a plan with these questions."""
    return {
        asked[note["first"] + i]: tuple(row) for note in notes if "first" in note for i, row in enumerate(note["rows"])
    }


def taken_rows(notes: list[dict[str, Any]]) -> dict[Question, Row]:
    """The rows of an unfinished run of another plan; their replies are read again, as those of published answers are."""
    taken = [row for note in notes for row in note.get("taken", ())]
    return {Question(sample, label): (parse_answer(reply), reply, where) for sample, label, reply, where in taken}


def noted_endings(notes: list[dict[str, Any]]) -> Endings:
    """How the replies ended that were noted."""
    endings = Endings()
    for note in notes:
        endings.merge(note)
    return endings
