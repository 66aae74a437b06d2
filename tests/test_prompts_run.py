"""The stage: which questions are asked, what is stored, and that an interrupted, repeated or widened run asks only the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import tree
from polars.testing import assert_frame_equal
from tiny import content, image_dataset, save_model, table, text_dataset

import superact
from superact.datasets import open_dataset
from superact.errors import BadInput, IdentityMismatch, ServerFailed
from superact.ingest.job import Job
from superact.ingest.learn import Recipe
from superact.ingest.pipeline import ingest
from superact.models import load_model
from superact.prompts import parse, plan
from superact.prompts.backends.base import Answering, Endings, Reply
from superact.prompts.plan import Plan
from superact.prompts.questions import Question, Request, questions, split_names
from superact.prompts.run import Answered, prompt
from superact.store import Warehouse

LABELS = ("animal", "mood", "rare")
TEST = [sample for sample in range(24) if sample % 3 == 2]
TABLES = ("datasets", "models", "samples", "labels", "sample_labels", "prompt_answers")


class Oracle:
    """Answers from what it reads; fails at the request of a number, and remembers what it was asked."""

    def __init__(self, fail_at: int | None = None, name: str = "Oracle", **identity: Any) -> None:
        self.model = Answering(name, name.lower(), "test", revision="1", blocks=2, width=4)
        self.identity = {"backend": "test", "model:revision": "1", "max_tokens": 9, **identity}
        self.provenance: dict[str, Any] = {"oracle": True}
        self.asked: list[str] = []
        self.started = 0
        self.fail_at = fail_at

    def start(self) -> None:
        self.started += 1

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        replies = []
        for request in requests:
            if len(self.asked) == self.fail_at:
                raise ServerFailed(url="http://x", about=request.about, reason="it is tired")
            self.asked.append(request.about)
            replies.append(Reply(reply(request)))
        return replies


def reply(request: Request) -> str:
    if request.text.startswith("Text:"):
        return "fox, dog, unicorn"
    passage = request.text.rpartition("Passage:\n")[2].split()
    label = request.about.partition("label ")[2].strip("'")
    if label == "animal":
        return "FINAL ANSWER: Yes" if {"fox", "dog"} & set(passage) else "FINAL ANSWER: No"
    return "Yes. No." if label == "mood" else f"No. {' '.join(passage)}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    text_dataset(tmp_path / "Tiny-Text")
    return tmp_path


def run(root: Path, backend: Any, warehouse: str = "wh", wanted: Plan | None = None, **options: Any) -> Answered:
    dataset = open_dataset(str(root / "Tiny-Text"), root)
    return prompt(Warehouse(root / warehouse), dataset, backend, wanted or Plan(LABELS), **{"batch": 4, **options})


def has_animal(root: Path, sample: int) -> bool:
    return bool({"fox", "dog"} & set((root / f"Tiny-Text/paragraphs/{sample}.txt").read_text().split()))


def test_one_question_a_sample_and_label_of_the_split(root: Path) -> None:
    oracle = Oracle()
    told: list[tuple[str, int, int]] = []
    done = run(root, oracle, progress=lambda *progress: told.append(progress))
    yes = sum(has_animal(root, sample) for sample in TEST)
    assert 0 < yes < len(TEST)
    assert done == Answered(questions=24, asked=24, yes=yes, no=16 - yes, unparsed=8)
    assert (done.parse_rate, done.yes_share) == (16 / 24, yes / 16)
    assert oracle.asked == [f"sample {sample}, label {label!r}" for sample in TEST for label in LABELS]
    assert told[0] == ("prompt Tiny-Text: 0 yes, 0 no, 0 unparsed", 0, 24)
    assert told[-1] == (f"prompt Tiny-Text: {yes} yes, {16 - yes} no, 8 unparsed", 24, 24)
    assert [done for _, done, _ in told] == [0, 4, 8, 12, 16, 20, 24]
    rows = table(Warehouse(root / "wh"), "prompt_answers")
    # In the order of the grain, whatever the batches were.
    assert rows.select("sample", "label").rows() == [(sample, label) for sample in TEST for label in LABELS]
    assert set(rows["dataset"]) == {"tiny-text"} and set(rows["model"]) == {"oracle"}
    for sample, label, answer, text, where in rows.select(rows.columns[:5]).iter_rows():
        expected = {"animal": "yes" if has_animal(root, sample) else "no", "mood": "unparsed", "rare": "no"}[label]
        assert (answer, where) == (expected, None)
        assert (
            text.startswith("No.") if label == "rare" else text in ("Yes. No.", "FINAL ANSWER: Yes", "FINAL ANSWER: No")
        )


def test_what_stands_beside_the_answers(root: Path) -> None:
    run(root, Oracle())
    warehouse = Warehouse(root / "wh")
    state = warehouse.state()
    published = state.get("prompt_answers", dataset="tiny-text", model="oracle")
    assert published is not None
    identity = published.identity
    assert identity["step"] == "prompt" and identity["localize"] is None and identity["splits_asked"] == "test"
    assert {name for name in identity if name.startswith("label:")} == {f"label:{label}" for label in LABELS}
    assert published.meta["answers"] == {"no": 12, "unparsed": 8, "yes": 4}
    provenance = state.documents[-1]["provenance"]
    ended = {"finish_reasons": {"stop": 24}, "cut": 0, "no_text": 0}
    assert provenance == {"oracle": True, "batch": 4, "asked": 24, "questions": 24, **ended}
    model = table(warehouse, "models").row(0, named=True)
    assert (model["name"], model["modality"], model["blocks"], model["width"]) == ("Oracle", "text", 2, 4)
    frame = superact.open(root / "wh").sql(
        "SELECT answer, count(*) AS n FROM prompt_answers GROUP BY ALL ORDER BY answer"
    )
    assert frame.rows() == [("no", 12), ("unparsed", 8), ("yes", 4)]


def test_the_dataset_is_described_as_ingest_does(root: Path) -> None:
    """Whichever comes first, the other finds its tables there."""
    save_model(root / "model", "BertModel")
    dataset = open_dataset(str(root / "Tiny-Text"), root)
    job = Job(dataset, load_model(root / "model", device="cpu"), [1], ("token",), 64)
    described = ("datasets", "samples", "labels", "sample_labels")
    for first in ("ingest", "prompt"):
        warehouse = Warehouse(root / first)
        if first == "ingest":
            ingest(warehouse, job, Recipe(("avg",)))
            runs = {name: warehouse.state().select(name)[0].run for name in described}
            prompt(warehouse, dataset, Oracle(), Plan(LABELS))
        else:
            prompt(warehouse, dataset, Oracle(), Plan(LABELS))
            runs = {name: warehouse.state().select(name)[0].run for name in described}
            ingest(warehouse, job, Recipe(("avg",)))
        assert {name: warehouse.state().select(name)[0].run for name in described} == runs
    one, other = (content(Warehouse(root / name), *described) for name in ("ingest", "prompt"))
    for name in described:
        assert_frame_equal(one[name], other[name])


def test_images_are_described_too(tmp_path: Path) -> None:
    image_dataset(tmp_path / "Tiny-Images")
    dataset = open_dataset(str(tmp_path / "Tiny-Images"), tmp_path)

    class Sized(Oracle):
        def answer(self, requests: Sequence[Request]) -> list[Reply]:
            self.asked += [f"{r.picture.image.size}" if r.picture else "none" for r in requests]
            return [Reply("None" if "pixels wide" in r.text else "Yes") for r in requests]

    oracle = Sized()
    done = prompt(Warehouse(tmp_path / "wh"), dataset, oracle, Plan(("red",), localize=True))
    assert done.yes == done.questions == 6
    assert set(oracle.asked) == {"(40, 60)", "(50, 50)"} and len(oracle.asked) == 12
    samples = table(Warehouse(tmp_path / "wh"), "samples")
    assert samples.select("width", "height").row(0) == (60, 40) and samples.height == 18


def test_where_is_asked_of_the_yes_alone(root: Path) -> None:
    oracle = Oracle()
    done = run(root, oracle, wanted=Plan(LABELS, localize=True))
    rows = table(Warehouse(root / "wh"), "prompt_answers")
    assert len(oracle.asked) == 24 + done.yes
    where = rows.filter(pl.col("localization_reply").is_not_null())
    assert set(where["answer"]) == {"yes"} and set(where["localization_reply"]) == {"fox, dog, unicorn"}
    assert len(where) == done.yes == (rows["answer"] == "yes").sum()


def test_a_second_run_asks_nothing(root: Path) -> None:
    first = run(root, Oracle())
    before = tree(root / "wh/tables")
    oracle = Oracle(fail_at=0)
    assert run(root, oracle, batch=7) == Answered(24, 0, first.yes, first.no, first.unparsed)
    assert (oracle.asked, oracle.started) == ([], 0)
    assert tree(root / "wh/tables") == before


WIDER = [
    (Plan(("mood",)), Plan(LABELS), 16),
    (Plan(LABELS), Plan(LABELS, localize=True), 4),
    (Plan(LABELS), Plan(LABELS, ("cal", "test")), 24),
    (Plan(LABELS, sample_limit=3), Plan(LABELS), 15),
    (Plan(("animal",), sample_limit=3), Plan(LABELS, ("cal", "test"), 5, True), None),
]


@pytest.mark.parametrize(("narrow", "wide", "asked"), WIDER)
def test_a_wider_run_asks_the_rest_and_a_narrower_one_nothing(
    root: Path, narrow: Plan, wide: Plan, asked: int | None
) -> None:
    run(root, Oracle(), wanted=narrow)
    oracle = Oracle()
    run(root, oracle, wanted=wide)
    if asked is not None:
        assert len(oracle.asked) == asked
    straight = Oracle()
    run(root, straight, "straight", wanted=wide)
    assert len(oracle.asked) < len(straight.asked)
    name = "prompt_answers"
    assert_frame_equal(content(Warehouse(root / "wh"), name)[name], content(Warehouse(root / "straight"), name)[name])
    # And back: what is asked less of is all there.
    oracle = Oracle(fail_at=0)
    before = tree(root / "wh/tables")
    done = run(root, oracle, wanted=narrow)
    dataset = open_dataset(str(root / "Tiny-Text"), root)
    assert done.questions == len(questions(dataset, narrow.labels, narrow.splits, narrow.sample_limit))
    assert tree(root / "wh/tables") == before


def test_endings_add_up() -> None:
    endings = Endings()
    endings.add([Reply("Yes"), Reply(" \n", "length")])
    endings.merge(endings.to_json())
    endings.merge({"first": 0, "rows": []})  # of an older version
    assert endings.to_json() == {"finish_reasons": {"length": 2, "stop": 2}, "cut": 2, "no_text": 2}


def test_a_plan_that_is_neither_wider_nor_narrower_is_refused(root: Path) -> None:
    run(root, Oracle(), wanted=Plan(("mood",)))
    oracle = Oracle()
    with pytest.raises(
        IdentityMismatch, match="label:animal: \\(absent\\) -> asked; label:mood: asked -> \\(absent\\)"
    ):
        run(root, oracle, wanted=Plan(("animal",)))
    assert oracle.asked == []


@pytest.mark.parametrize("changed", [{"max_tokens": 10}, {"backend": "http"}])
def test_other_settings_are_refused_until_replace(root: Path, changed: dict[str, Any]) -> None:
    run(root, Oracle())
    oracle = Oracle(**changed)
    with pytest.raises(IdentityMismatch, match=next(iter(changed))):
        run(root, oracle)
    assert oracle.asked == []
    assert run(root, oracle, replace=True).asked == 24
    published = Warehouse(root / "wh").state().get("prompt_answers", dataset="tiny-text", model="oracle")
    assert published is not None and published.identity.items() >= changed.items()


def test_another_template_is_another_identity(root: Path) -> None:
    folder = root / "words"
    folder.mkdir()
    (folder / "detect_text.txt").write_text("Is it $label? Passage:\n$text")
    run(root, Oracle())
    with pytest.raises(IdentityMismatch, match="template: "):
        run(root, Oracle(), templates=folder)
    # Of what is not asked, the words do not matter.
    (folder / "detect_text.txt").unlink()
    (folder / "localize_text.txt").write_text("Text: $text $label")
    assert run(root, Oracle(fail_at=0), templates=folder).asked == 0


def test_a_newer_parser_reads_the_stored_replies_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(root, Oracle())
    monkeypatch.setattr(plan, "VERSION", parse.VERSION + 1)
    monkeypatch.setattr("superact.prompts.kept.parse_answer", lambda reply: "yes" if "Yes" in reply else "no")
    oracle = Oracle(fail_at=0)
    done = run(root, oracle)
    assert (done.asked, done.unparsed, oracle.asked, oracle.started) == (0, 0, [], 0)
    rows = table(Warehouse(root / "wh"), "prompt_answers")
    assert rows.filter(pl.col("label") == "mood")["answer"].to_list() == ["yes"] * 8


def test_a_dataset_that_changed_is_refused(root: Path) -> None:
    run(root, Oracle())
    text = root / "Tiny-Text/paragraphs/2.txt"
    text.write_text(text.read_text() + "\n")
    with pytest.raises(IdentityMismatch, match="sources"):
        run(root, Oracle())


def test_another_model_of_that_name_is_refused(root: Path) -> None:
    run(root, Oracle())
    other = Oracle()
    other.model = Answering("Oracle", "oracle", "test", revision="2")
    with pytest.raises(BadInput, match=r"another model under the name oracle\. Give the answering model a name"):
        run(root, other, replace=True)


def test_replacing_leaves_the_dataset_alone_and_drops_what_was_mapped(root: Path) -> None:
    run(root, Oracle())
    warehouse = Warehouse(root / "wh")
    kept = {name: warehouse.state().select(name)[0].run for name in ("datasets", "samples", "labels", "models")}
    with warehouse.run("test") as writing:
        rows = pl.DataFrame({"label": ["animal"], "sample": [2], "token": [0]})
        staged = writing.partition("prompt_tokens", {"a": 1}, dataset="tiny-text", model="oracle", tokens_of="model")
        staged.write(0, [rows.to_arrow()])
        writing.publish()
    assert run(root, Oracle(), replace=True).asked == 24
    state = warehouse.state()
    assert {name: state.select(name)[0].run for name in kept} == kept
    assert state.select("prompt_tokens") == []


def test_labels_that_are_not_evaluated_are_not_listed(root: Path) -> None:
    seen: list[str] = []

    class Reading(Oracle):
        def answer(self, requests: Sequence[Request]) -> list[Reply]:
            seen.extend(request.text for request in requests)
            return super().answer(requests)

    dataset = open_dataset(str(root / "Tiny-Text"), root, labels=["animal", "mood"])
    prompt(Warehouse(root / "wh"), dataset, Reading(), Plan(("animal",)))
    assert all(
        'these concepts: "animal", "mood".' in text and "decide about one of them: animal." in text for text in seen
    )


def test_no_question_at_all(root: Path) -> None:
    for wanted in (Plan(()), Plan(LABELS, ())):
        with pytest.raises(BadInput, match="Tiny-Text has no sample in split"):
            run(root, Oracle(), wanted=wanted)


def test_questions_and_splits(root: Path) -> None:
    dataset = open_dataset(str(root / "Tiny-Text"), root)
    found = questions(dataset, ["b", "a"], ["test", "train"], 2)
    assert found == [Question(sample, label) for sample in (0, 2, 3, 5) for label in ("a", "b")]
    assert split_names(" test, cal") == ("cal", "test")
    for text in ("", "tests", "test;cal"):
        with pytest.raises(BadInput, match="is no split"):
            split_names(text)
