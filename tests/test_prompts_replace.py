"""`prompt run --replace`: everything is asked anew, interrupted or not, and old answers never stand beside new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from folders import tree
from test_prompts_run import LABELS, Oracle, run
from tiny import table, text_dataset

from superact.errors import BadInput, ServerFailed
from superact.prompts import parse, plan
from superact.prompts.backends.base import Reply
from superact.prompts.plan import Plan
from superact.prompts.questions import Request
from superact.store import Warehouse
from superact.store.maintenance import sweep

WIDE = Plan(("mood", "rare"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text_dataset(tmp_path / "Tiny-Text")
    return tmp_path


class Marked(Oracle):
    """Answers with a mark, to tell who gave an answer."""

    def __init__(self, mark: str, fail_at: int | None = None) -> None:
        super().__init__(fail_at)
        self.mark = mark

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        return [Reply(f"{found.text} {self.mark}") for found in super().answer(requests)]


def marks(root: Path) -> dict[str, int]:
    """How many answers of whom are published."""
    replies = table(Warehouse(root / "wh"), "prompt_answers")["reply"]
    return dict(Counter(reply.split()[-1] for reply in replies))


@pytest.mark.parametrize("published", [None, Plan(("mood",))])
@pytest.mark.parametrize("begun", [Plan(("mood",)), Plan(LABELS)])
def test_replace_asks_everything_anew_whatever_was_begun_without_it(
    root: Path, published: Plan | None, begun: Plan
) -> None:
    if published:
        run(root, Marked("old"), wanted=published)
    if begun != published:
        with pytest.raises(ServerFailed):
            run(root, Marked("old", fail_at=6), wanted=begun)
    new = Marked("new")
    done = run(root, new, replace=True)
    assert (len(new.asked), done.asked) == (24, 24)
    assert marks(root) == {"new": 24}


def test_replace_goes_on_from_what_was_begun_so_with_the_same_plan_alone(root: Path) -> None:
    run(root, Marked("old"), wanted=Plan(("mood",)))
    for fail_at in (5, 2):  # interrupted twice: one batch, and none
        with pytest.raises(ServerFailed):
            run(root, Marked("newer", fail_at), wanted=Plan(("mood",)), replace=True)
    newest = Marked("newest")
    run(root, newest, wanted=Plan(("mood",)), replace=True)
    assert marks(root) == {"newer": 4, "newest": 4} and len(newest.asked) == 4
    for wanted in (Plan(LABELS), Plan(("rare",))):
        with pytest.raises(ServerFailed):
            run(root, Marked("begun", fail_at=5), wanted=Plan(("mood", "rare")), replace=True)
        last = Marked("last")
        done = run(root, last, wanted=wanted, replace=True)
        assert marks(root) == {"last": len(last.asked)} == {"last": done.questions}


@pytest.mark.parametrize("fail_at", [0, 5])
@pytest.mark.parametrize(("wanted", "told"), [(Plan(LABELS), r"label:animal: \(absent\) -> asked; "), (WIDE, "")])
def test_a_run_that_would_mix_old_answers_with_new_ones_is_refused(
    root: Path, wanted: Plan, told: str, fail_at: int
) -> None:
    run(root, Marked("old"), wanted=Plan(("mood",)))
    begun = Plan(("mood",)) if told else WIDE
    with pytest.raises(ServerFailed):
        run(root, Marked("new", fail_at), wanted=begun, replace=True)
    before = tree(root / "wh/staging")
    oracle = Marked("newer")
    differing = rf" \(these fields differ: {told}.*\)" if told else ""
    with pytest.raises(BadInput, match=rf"being asked anew.*with --replace and the same plan{differing}, or drop"):
        run(root, oracle, wanted=wanted)
    assert (oracle.asked, oracle.started) == ([], 0)
    assert tree(root / "wh/staging") == before and marks(root) == {"old": 8}
    # Less than what is published is there all the same, and either remedy works.
    assert run(root, Oracle(fail_at=0), wanted=Plan(("mood",))).asked == 0
    if fail_at:
        run(root, Marked("newer"), wanted=begun, replace=True)
        assert marks(root) == {"new": 4, "newer": 8 * len(begun.labels) - 4}
    else:
        sweep(Warehouse(root / "wh"), 0)
        run(root, Marked("newer"), wanted=wanted)
        assert marks(root) == {"old": 8, "newer": 8 * len(wanted.labels) - 8}


def test_where_nothing_is_published_a_replacement_is_a_beginning_like_any_other_and_stays_one(root: Path) -> None:
    with pytest.raises(ServerFailed):
        run(root, Marked("a", fail_at=5), wanted=Plan(("mood",)), replace=True)
    with pytest.raises(ServerFailed):
        run(root, Marked("b", fail_at=5))
    run(root, Marked("c"), replace=True)
    assert marks(root) == {"a": 4, "b": 5, "c": 15}


def test_a_newer_parser_reads_what_a_replacement_was_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerFailed):
        run(root, Marked("a", fail_at=5), replace=True)
    monkeypatch.setattr(plan, "VERSION", parse.VERSION + 1)
    run(root, Marked("b"), replace=True)
    assert marks(root) == {"a": 4, "b": 20}
