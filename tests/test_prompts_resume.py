"""Interrupted runs: what was answered is never asked again, by the same plan or by one that asks for more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import tree
from polars.testing import assert_frame_equal
from prompt_server_client import running_server
from test_prompts_run import LABELS, TEST, WIDER, Oracle, run
from tiny import content, table, text_dataset

from superact.errors import IdentityMismatch, ServerFailed
from superact.prompts import parse, plan
from superact.prompts.backends.base import Reply
from superact.prompts.backends.openai import OpenAIBackend
from superact.prompts.kept import noted_endings
from superact.prompts.plan import Plan
from superact.prompts.questions import Request
from superact.prompts.run import Answered
from superact.store import Run, Warehouse
from superact.store.layout import Partition
from superact.store.staging import staged_notes, staging_directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text_dataset(tmp_path / "Tiny-Text")
    return tmp_path


@pytest.mark.parametrize("fail_at", [0, 1, 4, 11, 23])
def test_a_server_that_fails_leaves_what_is_finished(root: Path, fail_at: int) -> None:
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=fail_at))
    warehouse = Warehouse(root / "wh")
    assert warehouse.state().select("prompt_answers") == []
    oracle = Oracle()
    done = run(root, oracle)
    # Batches of four were on disk.
    kept = fail_at // 4 * 4
    assert (len(oracle.asked), done.asked) == (24 - kept, 24 - kept)
    run(root, Oracle(), "straight")
    assert tree(root / "wh/tables") == tree(root / "straight/tables")


def test_another_batch_size_goes_on_where_it_stopped(root: Path) -> None:
    for fail_at, batch in ((9, 4), (7, 3), (5, 50)):
        with pytest.raises(ServerFailed):
            run(root, Oracle(fail_at=fail_at), batch=batch)
    oracle = Oracle()
    run(root, oracle, batch=5)
    assert len(oracle.asked) == 24 - 8 - 6
    run(root, Oracle(), "straight")
    assert tree(root / "wh/tables") == tree(root / "straight/tables")


def killed(root: Path, url: str, at: int, where: str, labels: Sequence[str] = LABELS) -> None:
    """A process that prompts with places, four questions a batch, and dies by SIGKILL when the `at`-th batch is noted."""
    child = [sys.executable, str(Path(__file__).with_name("prompt_child.py")), str(root), url, str(at), where]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    died = subprocess.run([*child, ",".join(labels)], env=environment, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr


@pytest.mark.parametrize(("at", "where"), [(3, "before"), (4, "after")])
def test_a_process_that_is_killed(root: Path, tmp_path: Path, at: int, where: str) -> None:
    """A real SIGKILL, a real server: nothing that was answered is asked again, and the tables are those of a straight run."""
    with running_server(tmp_path / "server") as server:
        killed(root, server.url, at, where)
        before = len(server.log)
        backend = OpenAIBackend("tiny", server.url, first_pause=0.001)
        done = run(root, backend, wanted=Plan(LABELS, localize=True))
        finished = 4 * (at if where == "after" else at - 1)
        assert done.asked == 24 - finished
        assert len([e for e in server.log[before:] if "Passage" in e["messages"][0]["content"]]) == 24 - finished
        run(root, OpenAIBackend("tiny", server.url), "straight", wanted=Plan(LABELS, localize=True))
    assert done.yes == sum("fox" in (root / f"Tiny-Text/paragraphs/{s}.txt").read_text().split() for s in TEST) * 3
    assert tree(root / "wh/tables") == tree(root / "straight/tables")


@pytest.mark.parametrize("steps", [(("rare",),), (("mood",), ("mood", "rare")), (("mood",), LABELS), (LABELS,)])
def test_a_process_that_is_killed_and_widened(root: Path, tmp_path: Path, steps: tuple[tuple[str, ...], ...]) -> None:
    """Killed after a batch of a narrow plan, killed again while it asks for more: no question is asked twice."""
    with running_server(tmp_path / "server") as server:
        for labels in steps:
            killed(root, server.url, 1, "after", labels)
        run(root, OpenAIBackend("tiny", server.url), wanted=Plan(LABELS, localize=True))
        log = [entry["messages"][0]["content"] for entry in server.log]
        run(root, OpenAIBackend("tiny", server.url), "straight", wanted=Plan(LABELS, localize=True))
        straight = [entry["messages"][0]["content"] for entry in server.log[len(log) :]]
    assert len(set(straight)) == len(straight) > 24
    assert sorted(log) == sorted(straight)
    assert tree(root / "wh/tables") == tree(root / "straight/tables")
    one, other = (
        Warehouse(root / name).state().documents[-1]["provenance"]["finish_reasons"] for name in ("wh", "straight")
    )
    assert one == other == {"stop": len(straight)}


def test_a_wider_run_that_fails_leaves_the_published_answers_and_resumes(root: Path) -> None:
    run(root, Oracle(), wanted=Plan(("mood",)))
    before = tree(root / "wh/tables")
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=9))
    assert tree(root / "wh/tables") == before
    oracle = Oracle()
    run(root, oracle)
    assert 16 - 9 <= len(oracle.asked) <= 16 - 9 + 4
    run(root, Oracle(), "straight")
    name = "prompt_answers"
    assert_frame_equal(content(Warehouse(root / "wh"), name)[name], content(Warehouse(root / "straight"), name)[name])


@pytest.mark.parametrize(("narrow", "wide", "asked"), WIDER)
@pytest.mark.parametrize("fail_at", [0, 2])
def test_a_wider_run_takes_over_the_answers_of_an_unfinished_one(
    root: Path, narrow: Plan, wide: Plan, asked: int | None, fail_at: int
) -> None:
    first = Oracle(fail_at=fail_at)
    with pytest.raises(ServerFailed):
        run(root, first, wanted=narrow, batch=2)
    middle = Oracle(fail_at=3)
    with pytest.raises(ServerFailed):
        run(root, middle, wanted=wide, batch=2)
    last = Oracle()
    done = run(root, last, wanted=wide)
    straight = Oracle()
    whole = run(root, straight, "straight", wanted=wide)
    assert tree(root / "wh/tables") == tree(root / "straight/tables")
    assert (done.questions, done.yes, done.unparsed) == (whole.questions, whole.yes, whole.unparsed)
    # At most the batch that failed is asked again.
    once = len(straight.asked)
    assert once <= len(first.asked) + len(middle.asked) + len(last.asked) <= once + 2 * 2
    published = Warehouse(root / "wh").state().get("prompt_answers", dataset="tiny-text", model="oracle")
    assert published is not None and published.meta["answers"].get("yes", 0) == whole.yes


@pytest.mark.parametrize(("narrow", "wide"), [(narrow, wide) for narrow, wide, _ in WIDER])
def test_a_narrower_run_takes_what_it_asks_for_from_an_unfinished_wider_one(
    root: Path, narrow: Plan, wide: Plan
) -> None:
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=7), wanted=wide, batch=2)
    partition = Partition.of("prompt_answers", dataset="tiny-text", model="oracle")
    noted = noted_endings(staged_notes(staging_directory(root / "wh", partition))).reasons.total()
    last = Oracle()
    done = run(root, last, wanted=narrow)
    straight = Oracle()
    run(root, straight, "straight", wanted=narrow)
    assert tree(root / "wh/tables") == tree(root / "straight/tables")
    saved = len(straight.asked) - len(last.asked)
    assert len(last.asked) == done.asked and saved > 0
    # Every reply that was noted is used or counted.
    assert saved + done.dropped == noted
    assert list((root / "wh/staging").rglob("progress.jsonl")) == []


def test_the_answers_of_both_stay_until_the_narrower_run_is_finished(root: Path) -> None:
    """Begun with three labels and places, narrowed to one, killed again, widened again: no question is asked twice."""
    asked = []
    for wanted, fail_at in ((Plan(LABELS, localize=True), 9), (Plan(("rare",)), 2)):
        oracle = Oracle(fail_at=fail_at)
        with pytest.raises(ServerFailed):
            run(root, oracle, wanted=wanted, batch=1)
        asked += oracle.asked
    oracle = Oracle()
    done = run(root, oracle, wanted=Plan(LABELS, localize=True))
    straight = Oracle()
    run(root, straight, "straight", wanted=Plan(LABELS, localize=True))
    assert tree(root / "wh/tables") == tree(root / "straight/tables")
    assert sorted([*asked, *oracle.asked]) == sorted(straight.asked)
    assert done.dropped == 0


class Down(Oracle):
    """Nothing listens."""

    def start(self) -> None:
        raise ServerFailed(url="http://x", about="the first question", reason="nothing listens there")


@pytest.mark.parametrize(
    "options", [{"wanted": Plan(LABELS)}, {"wanted": Plan(("rare",)), "replace": True}, {"replace": True}]
)
def test_a_server_that_is_not_there_leaves_the_beginning_as_it_was(root: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=5), wanted=Plan(("mood",)))
    before = tree(root / "wh/staging")
    with pytest.raises(ServerFailed, match="nothing listens there"):
        run(root, Down(), **options)
    assert tree(root / "wh/staging") == before
    oracle = Oracle()
    run(root, oracle, wanted=Plan(("mood",)))
    assert len(oracle.asked) == 8 - 4


def test_a_process_that_dies_while_it_takes_over_loses_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=5), wanted=Plan(("mood",)))

    def dies(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("superact.store.files.move_durably", dies)
        with pytest.raises(KeyboardInterrupt):
            run(root, Oracle(fail_at=0))
    oracle = Oracle()
    run(root, oracle)
    assert len(oracle.asked) == 24 - 4
    run(root, Oracle(), "straight")
    assert tree(root / "wh/tables") == tree(root / "straight/tables")


def test_what_an_unfinished_run_took_over_stays_when_it_is_widened_again(root: Path) -> None:
    """Published mood, begun mood and rare, widened by animal: each kind of answer is there once."""
    run(root, Oracle(), wanted=Plan(("mood",)))
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=4), wanted=Plan(("mood", "rare")))
    oracle = Oracle()
    run(root, oracle)
    assert len(oracle.asked) == 24 - 8 - 4
    run(root, Oracle(), "straight")
    name = "prompt_answers"
    assert_frame_equal(content(Warehouse(root / "wh"), name)[name], content(Warehouse(root / "straight"), name)[name])


def test_an_unfinished_run_whose_table_was_staged_is_widened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        publish = Run.publish
        patched.setattr(Run, "publish", lambda run: run.drain() if run.provenance else publish(run))
        run(root, Oracle(), wanted=Plan(("mood",)))
    assert list((root / "wh/staging").rglob("part-*.parquet"))
    oracle = Oracle()
    run(root, oracle)
    assert len(oracle.asked) == 16
    run(root, Oracle(), "straight")
    assert tree(root / "wh/tables") == tree(root / "straight/tables")
    assert not list((root / "wh/staging").rglob("part-*.parquet"))


@pytest.mark.parametrize(
    ("begun", "wanted", "settings", "told"),
    [
        (
            Plan(("mood",)),
            Plan(LABELS),
            {"max_tokens": 10},
            r"label:animal: \(absent\) -> asked; .*max_tokens: 9 -> 10",
        ),
        (Plan(("mood",)), Plan(("animal",)), {}, r"label:animal: \(absent\) -> asked; label:mood: asked -> \(absent\)"),
        (
            Plan(LABELS),
            Plan(("mood",), localize=True),
            {},
            r"label:animal: asked -> \(absent\); .*localize: null -> [0-9a-f]",
        ),
        (Plan(("mood",)), Plan(LABELS, ("cal",)), {}, "splits_asked: test -> cal"),
        (Plan(("mood",)), Plan(LABELS, sample_limit=2), {}, "sample_limit: null -> 2"),
    ],
)
def test_an_unfinished_run_that_is_neither_narrower_nor_wider_is_refused(
    root: Path, begun: Plan, wanted: Plan, settings: dict[str, Any], told: str
) -> None:
    first = Oracle(fail_at=5)
    with pytest.raises(ServerFailed):
        run(root, first, wanted=begun, batch=2)
    before = tree(root / "wh/staging")
    oracle = Oracle(**settings)
    with pytest.raises(IdentityMismatch, match=f"was begun and not finished.*{told}"):
        run(root, oracle, wanted=wanted)
    assert (oracle.asked, oracle.started) == ([], 0)
    assert tree(root / "wh/staging") == before
    # And nothing of it is lost.
    oracle = Oracle()
    run(root, oracle, wanted=begun)
    straight = Oracle()
    run(root, straight, "straight", wanted=begun)
    assert first.asked[:4] + oracle.asked == straight.asked


def test_answers_begun_under_other_settings_stay_where_published_ones_refuse(root: Path) -> None:
    """What is published is looked at first: what was begun to replace it is not given another plan before."""
    run(root, Oracle(), wanted=Plan(("mood",)))
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=5, max_tokens=10), wanted=Plan(("mood",)), replace=True)
    with pytest.raises(IdentityMismatch, match=r"is published with another identity.*max_tokens: 9 -> 10"):
        run(root, Oracle(max_tokens=10))
    oracle = Oracle(max_tokens=10)
    run(root, oracle, wanted=Plan(("mood",)), replace=True)
    assert len(oracle.asked) == 8 - 4


def test_a_narrow_run_finds_what_is_published_whatever_wider_run_was_begun(root: Path) -> None:
    first = run(root, Oracle(), wanted=Plan(("mood",)))
    before = tree(root / "wh/tables")
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=6))
    oracle = Oracle(fail_at=0)
    assert run(root, oracle, wanted=Plan(("mood",))) == Answered(8, 0, first.yes, first.no, first.unparsed)
    assert (oracle.asked, oracle.started) == ([], 0)
    assert tree(root / "wh/tables") == before
    # The wider one goes on where it stopped.
    oracle = Oracle()
    run(root, oracle)
    assert 16 - 6 <= len(oracle.asked) <= 16 - 6 + 4


def test_how_replies_ended_is_counted_over_interruptions(root: Path) -> None:
    class Short(Oracle):
        def answer(self, requests: Sequence[Request]) -> list[Reply]:
            found = super().answer(requests)
            return [
                Reply("", "tool_calls")
                if "'mood'" in r.about
                else Reply(said.text, "length" if "'rare'" in r.about else "stop")
                for r, said in zip(requests, found, strict=True)
            ]

    with pytest.raises(ServerFailed):
        run(root, Short(fail_at=5), wanted=Plan(("mood",)))
    with pytest.raises(ServerFailed):
        run(root, Short(fail_at=9))
    done = run(root, Short())
    assert (done.questions, done.unparsed, done.cut, done.no_text) == (24, 8, 8, 8)
    warehouse = Warehouse(root / "wh")
    provenance = warehouse.state().documents[-1]["provenance"]
    assert provenance["finish_reasons"] == {"length": 8, "stop": 8, "tool_calls": 8}
    assert (provenance["cut"], provenance["no_text"]) == (8, 8)
    rows = table(warehouse, "prompt_answers").filter(pl.col("label") == "mood")
    assert set(rows["answer"]) == {"unparsed"} and set(rows["reply"]) == {""}
    # Nothing is asked, nothing fell short.
    again = run(root, Short(fail_at=0))
    assert (again.asked, again.cut, again.no_text) == (0, 0, 0)


def test_a_newer_parser_reads_the_replies_of_an_unfinished_run_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServerFailed):
        run(root, Oracle(fail_at=13))
    monkeypatch.setattr(plan, "VERSION", parse.VERSION + 1)
    for module in ("kept", "run"):
        monkeypatch.setattr(f"superact.prompts.{module}.parse_answer", lambda reply: "yes" if "Yes" in reply else "no")
    oracle = Oracle()
    done = run(root, oracle)
    assert (len(oracle.asked), done.asked, done.unparsed) == (12, 12, 0)
