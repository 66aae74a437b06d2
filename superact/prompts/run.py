"""Stage prompt: a dataset and a chat model in, table `prompt_answers` out.

Answers are kept as they come: after every batch its replies are a line in staging, on disk before the next one is asked, so
that a kill loses one batch at most. The table is written when all is answered, one file of rows in (sample, label) order,
whatever the batches were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from superact.datasets.base import Dataset
from superact.errors import BadInput
from superact.ingest.describe import frame_rows
from superact.prompts.backends.base import Backend, Endings
from superact.prompts.describe import describe
from superact.prompts.kept import Row, begin, known_before, noted_endings, noted_rows, published_answers
from superact.prompts.parse import parse_answer
from superact.prompts.plan import Plan, answers_identity, holds
from superact.prompts.questions import Asker, Question, questions
from superact.prompts.templates import read_wording
from superact.store import Run, Warehouse
from superact.store.layout import Partition
from superact.store.staging import StagedPartition

Progress = Callable[[str, int, int], None]
BATCH = 64
_ROWS_PER_FILE = 128 * 1024


@dataclass(frozen=True)
class Answered:
    """What a run came to: questions answered in all, asked by this run, the answers by kind, and replies that fell short."""

    questions: int
    asked: int
    yes: int
    no: int
    unparsed: int
    cut: int = 0
    """Replies that were cut at the longest length; of those that this run and its interrupted tries asked for."""
    no_text: int = 0
    """Replies without any text, of the same."""
    dropped: int = 0
    """Replies of an unfinished run of a wider plan that this one had no use for."""

    @property
    def parse_rate(self) -> float:
        """Share of the answers that are yes or no; 1 when there are none."""
        return (self.yes + self.no) / self.questions if self.questions else 1.0

    @property
    def yes_share(self) -> float:
        """Share of yes among the answers that are yes or no; 0 when there are none."""
        parsed = self.yes + self.no
        return self.yes / parsed if parsed else 0.0


def prompt(
    warehouse: Warehouse,
    dataset: Dataset,
    backend: Backend,
    plan: Plan,
    *,
    templates: Path | None = None,
    batch: int = BATCH,
    replace: bool = False,
    progress: Progress | None = None,
) -> Answered:
    """Ask a model every question of a plan, and publish the answers; what was answered before is not asked again.

    With `replace` everything is, but for what a run of the same plan, with `replace` too, was told before it was interrupted.
    `progress` is called with the counts so far, questions answered, and all questions.
    Errors: BadInput (a plan without a question, a replacement that is not finished), IdentityMismatch (answers under other
    settings), ServerFailed, UnreadableFile.
    """
    asked = questions(dataset, plan.labels, plan.splits, plan.sample_limit)
    if not asked:
        raise BadInput(
            what=f"{dataset.name} has no sample in split {', '.join(plan.splits)}, or no label to ask about.",
            remedy="Name another split, or choose the evaluated labels with --labels.",
        )
    wording = read_wording(dataset.modality, templates)
    samples = describe(warehouse, dataset, backend.model)
    listed = sorted((label.name for label in dataset.labels if label.evaluated), key=str.encode)
    identity = answers_identity(samples, listed, wording, plan, backend.identity)
    partition = Partition.of("prompt_answers", dataset=dataset.slug, model=backend.model.slug)
    with warehouse.run("prompt", replace=replace) as run:
        published = run.state.partitions.get(partition)
        if published is not None and not replace and holds(published.identity, identity):
            there = published_answers(warehouse, published)
            return _result({question: there[question] for question in asked}, 0, Endings())
        known, begun = known_before(run, partition, identity, dataset, anew=replace)
        if any(_open(question, known, plan.localize) for question in asked):
            backend.start()  # before anything changes in staging: a server that is not there leaves it as it was
        staged = begin(run, partition, identity, begun, anew=replace)
        asker = Asker(dataset, listed, wording)
        rows, fresh, endings = _ask(run, staged, backend, asker, plan.localize, asked, known, batch, progress)
        _write(staged, rows, plan.localize)
        if published is not None and replace:
            # What was mapped from the answers that go.
            run.removed = [p.partition for p in run.state.select("prompt_tokens", **dict(partition.keys))]
        counted = {"batch": batch, "asked": fresh, "questions": len(asked)}
        run.provenance = {**backend.provenance, **counted, **endings.to_json()}
        run.publish()
    return _result(rows, fresh, endings, begun.beyond(asked, plan.localize) if begun else 0)


def _ask(
    run: Run,
    staged: StagedPartition,
    backend: Backend,
    asker: Asker,
    localize: bool,
    asked: list[Question],
    known: dict[Question, Row],
    batch: int,
    progress: Progress | None,
) -> tuple[dict[Question, Row], int, Endings]:
    """Every row, how many questions this run put to the model, and how the replies ended, those noted before included.

    What is noted in staging is not asked again.
    """
    notes = list(staged.notes.values())
    rows, endings = noted_rows(notes, asked), noted_endings(notes)
    counts = Counter(row[0] for row in rows.values())
    todo = [(i, question) for i, question in enumerate(asked) if question not in rows]
    fresh = 0
    number = max(staged.notes, default=-1) + 1
    for chosen in _runs(todo, batch):
        if progress:
            progress(_told(asker.dataset.name, counts), len(rows), len(asked))
        group = [question for _, question in chosen]
        found, ended = _answers(backend, asker, localize, group, known)
        fresh += sum(question not in known for question in group)
        staged.remember(number, {"first": chosen[0][0], "rows": found, **ended})
        run.drain()  # on disk before the next question is asked
        rows.update(zip(group, found, strict=True))
        endings.merge(ended)
        counts.update(row[0] for row in found)
        number += 1
    if progress:
        progress(_told(asker.dataset.name, counts), len(rows), len(asked))
    return {question: rows[question] for question in asked}, fresh, endings


def _open(question: Question, known: dict[Question, Row], localize: bool) -> bool:
    """True where the model has something to say about a question yet."""
    return question not in known or (localize and known[question][0] == "yes" and known[question][2] is None)


def _runs(todo: list[tuple[int, Question]], most: int) -> Iterator[list[tuple[int, Question]]]:
    """Cut numbered questions into batches of consecutive numbers."""
    start = 0
    for i in range(1, len(todo) + 1):
        if i == len(todo) or i - start == most or todo[i][0] != todo[i - 1][0] + 1:
            yield todo[start:i]
            start = i


def _answers(
    backend: Backend, asker: Asker, localize: bool, group: list[Question], known: dict[Question, Row]
) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a batch (whether, and for those answered yes where), and how the replies to it ended."""
    new = [question for question in group if question not in known]
    replies = backend.answer([asker.request("detect", q) for q in new]) if new else []
    said = {q: (parse_answer(reply.text), reply.text, None) for q, reply in zip(new, replies, strict=True)}
    rows: dict[Question, Row] = {q: known[q] if q in known else said[q] for q in group}
    endings = Endings()
    endings.add(replies)
    if localize:
        where = [q for q in group if _open(q, rows, localize)]
        places = backend.answer([asker.request("localize", q) for q in where]) if where else []
        endings.add(places)
        for question, place in zip(where, places, strict=True):
            rows[question] = (*rows[question][:2], place.text)
    return [rows[question] for question in group], endings.to_json()


def _told(name: str, counts: Counter[str]) -> str:
    return f"prompt {name}: {counts['yes']:,} yes, {counts['no']:,} no, {counts['unparsed']:,} unparsed"


def _write(staged: StagedPartition, rows: dict[Question, Row], localize: bool) -> None:
    """The table, in files of rows in (sample, label) order; places only where they are asked for, whatever is known."""
    columns: dict[str, list[Any]] = {
        "sample": [question.sample for question in rows],
        "label": [question.label for question in rows],
    }
    for i, name in enumerate(("answer", "reply", "localization_reply")):
        columns[name] = [row[i] if localize or i < 2 else None for row in rows.values()]
    frame = pl.DataFrame(columns, schema_overrides={"sample": pl.Int32, "localization_reply": pl.String})
    staged.meta["answers"] = dict(sorted(Counter(columns["answer"]).items()))
    for number, part in enumerate(frame.iter_slices(_ROWS_PER_FILE)):
        staged.write(number, [frame_rows("prompt_answers", part)])


def _result(rows: dict[Question, Row], asked: int, endings: Endings, dropped: int = 0) -> Answered:
    counts = Counter(row[0] for row in rows.values())
    kinds = (counts["yes"], counts["no"], counts["unparsed"])
    return Answered(len(rows), asked, *kinds, endings.cut, endings.no_text, dropped)
