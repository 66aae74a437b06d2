"""`superact prompt run` from end to end, through both back-ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat_models import save_chat_text
from prompt_server_client import running_server
from tiny import save_model, table, text_dataset
from typer.testing import CliRunner, Result

from superact.cli.main import app
from superact.store import Warehouse

TEST = [sample for sample in range(24) if sample % 3 == 2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    text_dataset(tmp_path / "Data" / "Tiny-Text")
    monkeypatch.setenv("SUPERACT_DATA_ROOT", str(tmp_path / "Data"))
    monkeypatch.setenv("SUPERACT_WAREHOUSE", str(tmp_path / "wh"))
    return tmp_path


def superact(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_network_in_this_process(root: Path) -> None:
    folder = save_chat_text(root / "Tiny-Chat")
    command = ("prompt", "run", "Tiny-Text", folder, "--device", "cpu", "--max-tokens", "4", "--label", "animal")
    done = superact(*command)
    assert done.exit_code == 0, done.stderr
    rows = table(Warehouse(root / "wh"), "prompt_answers")
    assert rows.select("sample", "label").rows() == [(sample, "animal") for sample in TEST]
    unparsed = (rows["answer"] == "unparsed").sum()
    yes = (rows["answer"] == "yes").sum()
    share = yes / (8 - unparsed) if unparsed < 8 else 0
    assert (
        f"8 questions: {1 - unparsed / 8:.1%} parsed ({unparsed} unparsed), {share:.1%} of those yes\n" in done.stderr
    )
    assert done.stdout == ""
    again = superact(*command)
    assert again.exit_code == 0 and "8 of 8 answers were there already" in again.stderr
    assert superact(*command, "--quiet").stderr == ""


def test_a_server(root: Path, tmp_path: Path) -> None:
    model = save_model(root / "bert", "BertModel")
    assert superact("extract", "--dataset", "Tiny-Text", "--model", model, "--layers", "1").exit_code == 0
    with running_server(tmp_path / "server") as server:
        shared = ("prompt", "run", "Tiny-Text", "org/Chat", "--backend", "http", "--url", server.url, "--batch", "5")
        done = superact(*shared, "--localize", "--tokens-of", "BERT", "--label", "animal", "--label", "rare")
        assert done.exit_code == 0, done.stderr
    fox = [s for s in TEST if "fox" in (root / f"Data/Tiny-Text/paragraphs/{s}.txt").read_text().split()]
    assert f"16 questions: 100.0% parsed (0 unparsed), {len(fox) / 8:.1%} of those yes" in done.stderr
    assert f"tokens of bert: 0 in 0 places of {2 * len(fox)} replies; 0 replies unparsed" in done.stderr
    rows = table(Warehouse(root / "wh"), "prompt_answers")
    assert rows.filter(answer="yes")["sample"].unique(maintain_order=True).to_list() == fox
    # A wider question is asked beside what is there, and what was mapped before is mapped anew.
    with running_server(tmp_path / "other") as server:
        wider = ("prompt", "run", "Tiny-Text", "org/Chat", "--backend", "http", "--url", server.url, "--localize")
        done = superact(*wider)
        assert done.exit_code == 0, done.stderr
        assert len([e for e in server.log if "Passage:" in e["messages"][0]["content"]]) == 8
    assert "16 of 24 answers were there already" in done.stderr and "tokens of bert: 0 in" in done.stderr


def test_a_server_that_dies_is_named_and_the_answers_stay(root: Path, tmp_path: Path) -> None:
    with running_server(tmp_path / "server", ["Yes"] * 10 + [{"status": 400, "body": "no more"}]) as server:
        command = (
            "prompt",
            "run",
            "Tiny-Text",
            "chat",
            "--backend",
            "http",
            "--batch",
            "4",
            "--concurrency",
            "1",
            "--url",
        )
        failed = superact(*command, server.url)
        assert failed.exit_code == 8
        assert (
            f"error: {server.url} gave no answer to sample " in failed.stderr and "HTTP 400: no more" in failed.stderr
        )
        asked = len(server.log)
    assert asked == 11
    gone = superact(*command, server.url)
    assert gone.exit_code == 8 and "nothing listens there" in gone.stderr
    with running_server(tmp_path / "next") as server:
        done = superact(*command, server.url)
        assert done.exit_code == 0, done.stderr
        assert len(server.log) == 24 - 8
    assert "24 questions:" in done.stderr


def test_replies_that_fell_short_are_named_at_the_end(root: Path, tmp_path: Path) -> None:
    cut = {"choice": {"message": {"role": "assistant", "content": "Let me think"}, "finish_reason": "length"}}
    refused = {"choice": {"message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"}}
    with running_server(tmp_path / "server", [cut, refused, cut]) as server:
        command = ("prompt", "run", "Tiny-Text", "chat", "--backend", "http", "--url", server.url, "--label", "animal")
        done = superact(*command, "--max-tokens", "1000")
        assert done.exit_code == 0, done.stderr
        assert "8 questions: 62.5% parsed (3 unparsed)" in done.stderr
        assert (
            "warning: 2 replies were cut at 1,000 tokens, maybe before what was asked for; ask again with a larger "
            "--max-tokens and --replace\n"
            "warning: 1 reply has no text (refused, a tool call, or cut while the model was thinking): an answer without text "
            "is unparsed, a place without text points at nothing\n"
        ) in done.stderr
        again = superact(*command, "--max-tokens", "1000")
        assert "8 of 8 answers were there already" in again.stderr and "warning" not in again.stderr
        # The remedy works.
        anew = superact(*command, "--max-tokens", "2000", "--replace")
        assert anew.exit_code == 0 and "8 questions: 100.0% parsed" in anew.stderr and "warning" not in anew.stderr
    rows = table(Warehouse(root / "wh"), "prompt_answers")
    assert set(rows["answer"]) <= {"yes", "no"}


def test_a_place_without_text_is_told_of_and_is_no_answer(root: Path, tmp_path: Path) -> None:
    nothing = {"choice": {"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}}
    with running_server(tmp_path / "server", ["Yes", nothing]) as server:
        command = ("prompt", "run", "Tiny-Text", "chat", "--backend", "http", "--url", server.url, "--label", "animal")
        done = superact(*command, "--localize", "--sample-limit", "1")
    assert done.exit_code == 0, done.stderr
    assert "1 questions: 100.0% parsed (0 unparsed)" in done.stderr
    assert "warning: 1 reply has no text" in done.stderr and "a place without text points at nothing" in done.stderr
    assert table(Warehouse(root / "wh"), "prompt_answers").select("answer", "localization_reply").rows() == [
        ("yes", "")
    ]


def test_what_a_narrower_run_drops_is_told(root: Path, tmp_path: Path) -> None:
    replies = ["No"] * 6 + [{"status": 400, "body": "no more"}]
    with running_server(tmp_path / "server", replies) as server:
        command = ("prompt", "run", "Tiny-Text", "chat", "--backend", "http", "--concurrency", "1", "--url", server.url)
        assert superact(*command, "--batch", "3").exit_code == 8
        done = superact(*command, "--label", "animal")
    assert done.exit_code == 0, done.stderr
    assert "2 of 8 answers were there already\ndropped 4 replies of a wider run that was not finished\n" in done.stderr


def test_the_evaluated_labels_of_the_warehouse_stay(root: Path, tmp_path: Path) -> None:
    model = save_model(root / "bert", "BertModel")
    ingest = ("extract", "--dataset", "Tiny-Text", "--model", model, "--layers", "1", "--labels", "mood,rare")
    assert superact(*ingest).exit_code == 0
    with running_server(tmp_path / "server") as server:
        shared = ("prompt", "run", "Tiny-Text", "--backend", "http", "--url", server.url)
        assert superact(*shared, "one").exit_code == 0
        assert '"mood", "rare"' in server.log[0]["messages"][0]["content"]
        labels = table(Warehouse(root / "wh"), "labels")
        assert labels.filter(evaluated=True)["label"].to_list() == ["mood", "rare"]
        other = superact(*shared, "two", "--label", "animal")
        assert other.exit_code == 3 and "has no evaluated label 'animal'. Use some of: mood, rare" in other.stderr
        assert superact(*shared, "two", "--labels", "animal").exit_code == 0
    labels = table(Warehouse(root / "wh"), "labels")
    assert labels.filter(evaluated=True)["label"].to_list() == ["animal"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--backend", "http"), "needs to know where the server is. Add --url"),
        (("--backend", "vllm"), "--backend 'vllm' is unknown. Use transformers or http."),
        (("--url", "http://localhost:1"), "the model runs in this process. Add --backend http."),
        (("--tokens-of", "bert"), "the model is not asked where. Add --localize."),
        (("--split", "tests"), "--split 'tests' is no split"),
        (("--label", "cat"), "has no evaluated label 'cat'"),
        (("--template", "nowhere", "--backend", "http", "--url", "http://localhost:1"), "nowhere has no template"),
        (("--device", "cpu"), "Model 'nothing/at/all' cannot be loaded"),
    ],
)
def test_what_is_refused_before_anything_is_written(root: Path, arguments: tuple[str, ...], told: str) -> None:
    done = superact("prompt", "run", "Tiny-Text", "nothing/at/all", *arguments)
    assert done.exit_code == 3, done.stderr
    assert told in done.stderr
    assert not (root / "wh/tables").exists()
