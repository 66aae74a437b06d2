"""`superact prompt eval`: rows in and rows out, against scikit-learn, beside the other detectors, and what is stale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from metrics_tables import KEYS, arrow, bind_world, publish_world, random_world, write_table
from oracles import World
from prompt_tables import ANSWERING, answer_rows, confusion, judged, place_rows, placed, publish_answers, random_answers
from typer.testing import CliRunner, Result

from superact.cli.main import app
from superact.errors import BadInput, MissingTable, StaleInput
from superact.ingest.import_folder import import_folder
from superact.metrics.evaluate import Protocol, evaluate
from superact.metrics.partition import evaluation_connection, hold, hold_query, query
from superact.metrics.prompts import evaluate_prompts
from superact.query import Session
from superact.store import Warehouse
from superact.store.stale import stale

PROTOCOL = Protocol(seed=7, replicates=25)
COUNTS = "tp, fp, fn, tn"
RATIOS = ("precision", "recall", "f1", "accuracy")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    with evaluation_connection() as connection:
        yield connection


def small() -> World:
    """Six samples, the last four of test, one of them without content tokens; label `off` is not evaluated."""
    return World(
        samples={0: "train", 1: "cal", 2: "test", 3: "test", 4: "test", 5: "test"},
        tokens={(s, t): (s, t) != (5, 0) for s in range(6) for t in range(1 if s == 5 else 3)},
        labels={"red": True, "blue": True, "off": False, "silent": True},
        sample_labels={(0, "red"), (2, "red"), (3, "red"), (5, "red"), (2, "off")},
        token_labels={(2, 0, "red"), (2, 1, "red"), (3, 2, "red"), (5, 0, "red"), (0, 1, "red"), (4, 0, "blue")},
        concepts={},
        scores={},
    )


def close(found: float | None, wanted: float | None) -> bool:
    return found is wanted if found is None or wanted is None else abs(found - wanted) <= 1e-12


def ask(connection: Any, world: World, answers: Any, places: Any = ()) -> dict[str, list[dict[str, Any]]]:
    """The rows of every query over answers."""
    bind_world(connection, world)
    hold(connection, "prompt_answers", [arrow("prompt_answers", answer_rows(answers))] if answers else [])
    hold(connection, "prompt_tokens", [arrow("prompt_tokens", place_rows(places))] if places else [])
    found = {name: query(connection, name) for name in ("prompt_detection", "prompt_outcomes", "prompt_localization")}
    hold_query(connection, "prompt_detection", found["prompt_detection"])
    found["prompt_summary"] = query(connection, "prompt_summary")
    return {name: rows.to_pylist() for name, rows in found.items()}


def test_by_hand(connection: Any) -> None:
    red = {2: "yes", 3: "no", 4: "yes", 5: "unparsed"}
    answers = {(sample, "red"): answer for sample, answer in red.items()}
    # Neither another split, nor a label that is not evaluated, nor one that nobody knows counts.
    answers |= {(0, "red"): "yes", (1, "red"): "yes", (2, "off"): "yes", (2, "green"): "yes", (3, "blue"): "no"}
    places = {(2, 0, "red"), (2, 2, "red"), (4, 1, "red"), (5, 0, "red"), (0, 1, "red"), (2, 0, "off")}
    found = ask(connection, small(), answers, places)
    ratios = {"precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5, "accuracy": 1 / 4, "fpr": 1.0}
    assert found["prompt_detection"] == [
        {"label": "blue", **dict.fromkeys(("tp", "fp", "fn"), 0), "tn": 1, **dict.fromkeys(ratios, 0.0)}
        | {"accuracy": 1.0, "n_unparsed": 0, "n_yes": 0, "n_questions": 1},
        {"label": "red", "tp": 1, "fp": 1, "fn": 2, "tn": 0, **ratios, "n_unparsed": 1, "n_yes": 2, "n_questions": 4},
    ]
    assert [tuple(row.values()) for row in found["prompt_outcomes"]] == [
        ("red", 0, True, True), ("red", 1, False, True), ("red", 2, True, False), ("red", 3, False, True)
    ]  # fmt: skip
    # Nine content tokens of samples 2 to 4; sample 5 has none. Of blue only sample 3 was asked about.
    assert [tuple(row.values())[:5] for row in found["prompt_localization"]] == [
        ("blue", 0, 0, 0, 3),
        ("red", 1, 2, 2, 4),
    ]
    assert [row["iou"] for row in found["prompt_localization"]] == [0.0, 1 / 5]
    (summary,) = found["prompt_summary"]
    assert all(close(summary[name], 2 / 5) for name in ("f1", "macro_f1", "micro_f1"))
    assert (summary["n_labels"], summary["n_positive"]) == (1, 3)  # blue has no test positive
    assert (summary["layer_choice"], summary["layer"], summary["detector"]) == ("fixed", None, "prompt")


def test_without_answers(connection: Any) -> None:
    found = ask(connection, small(), {})
    (summary,) = found.pop("prompt_summary")
    assert list(found.values()) == [[], [], []]
    assert (summary["n_labels"], summary["n_positive"], summary["f1"], summary["micro_f1"]) == (0, 0, None, None)


@pytest.mark.parametrize("seed", range(8))
def test_against_scikit_learn(connection: Any, seed: int) -> None:
    world = random_world(seed, samples=30, labels=4)
    rng = np.random.default_rng(seed)
    answers = random_answers(world, seed)
    left_out = {sample for sample in world.samples if seed % 2 and rng.random() < 0.2}
    answers = {key: answer for key, answer in answers.items() if key[0] not in left_out}
    places = {(*key, label) for key in world.tokens for label in world.labels if rng.random() < 0.4}
    found = ask(connection, world, answers, places)
    rows = judged(world, answers)
    assert [row["label"] for row in found["prompt_detection"]] == sorted(label for _, label in rows)
    for row in found["prompt_detection"]:
        truth, predicted = rows["prompt", row["label"]]
        tp, fp, fn, tn = confusion(truth, predicted)
        assert (row["tp"], row["fp"], row["fn"], row["tn"]) == (tp, fp, fn, tn)
        wanted = (tp / max(tp + fp, 1), tp / max(tp + fn, 1), 2 * tp / max(2 * tp + fp + fn, 1), (tp + tn) / len(truth))
        assert all(close(row[name], value) for name, value in zip(RATIOS, wanted, strict=True))
        assert close(row["fpr"], fp / max(fp + tn, 1))
        own = [answer for (_, label), answer in answers.items() if label == row["label"]]
        assert (row["n_yes"], row["n_unparsed"], row["n_questions"]) == (
            own.count("yes"), own.count("unparsed"), len(own),
        )  # fmt: skip
    (summary,) = found["prompt_summary"]
    wanted = oracles.averages(rows, "prompt")
    names = [f"{kind}{name}" for kind in ("", "macro_", "micro_") for name in ("f1", "precision", "recall")]
    assert all(
        close(summary[name], value) for name, value in zip([*names, "n_labels", "n_positive"], wanted, strict=True)
    )
    tokens = placed(world, answers, places)
    assert {
        row["label"]: (row["tp"], row["fp"], row["fn"], row["tn"]) for row in found["prompt_localization"]
    } == tokens
    for row in found["prompt_localization"]:
        tp, fp, fn, tn = tokens[row["label"]]
        wanted = (tp / max(tp + fp, 1), tp / max(tp + fn, 1), 2 * tp / max(2 * tp + fp + fn, 1))
        assert all(close(row[name], value) for name, value in zip(RATIOS, wanted, strict=False))
        assert close(row["accuracy"], (tp + tn) / max(tp + fp + fn + tn, 1))
        assert close(row["iou"], tp / max(tp + fp + fn, 1))


def a_world() -> World:
    """Every label is evaluated, and both splits have positives of each."""
    world = random_world(5, samples=48, labels=3, density=0.4)
    labels = dict.fromkeys(world.labels, True)
    concepts = dict.fromkeys(world.labels, "ok")
    content = [key for key, is_content in world.tokens.items() if is_content]
    rng = np.random.default_rng(1)
    scores = {(name, *key): np.float32(rng.integers(1, 9) * 1.5) for name in concepts for key in content}
    return replace(world, labels=labels, concepts=concepts, scores=scores, others={}, seed=7)


def as_answers(world: World, detector: str) -> dict[tuple[int, str], str]:
    """The answers of a model that says yes where a detector detects."""
    test = world.split("test")
    return {
        (sample, label): "yes" if fired else "no"
        for (name, label), (_, predicted) in oracles.judged(world).items()
        if name == detector
        for sample, fired in zip(test, predicted.tolist(), strict=True)
    }


def summary_of(warehouse: Warehouse, where: str) -> list[dict[str, Any]]:
    query = f"SELECT * EXCLUDE (run) FROM summary WHERE {where} ORDER BY model"
    return Session(warehouse).sql(query).to_dicts()


@pytest.mark.parametrize("detector", ["superactivator", "max_token", "last_token"])
def test_answers_that_are_a_detector_s_decisions_get_its_f1_and_interval(tmp_path: Path, detector: str) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    evaluate(warehouse, protocol=PROTOCOL)
    publish_answers(warehouse, as_answers(world, detector))
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == {"prompt_detection": 3, "summary": 1}
    (own,) = summary_of(warehouse, f"detector = '{detector}' AND layer_choice = 'fixed'")
    (prompt,) = summary_of(warehouse, "detector = 'prompt'")
    differing = {"model", "concept_set", "unit", "layer", "method", "detector"}
    assert {name for name in own if own[name] != prompt[name]} == differing
    assert own["n_labels"] == 3 and own["ci_low"] < own["f1"] < own["ci_high"]
    assert {name: prompt[name] for name in differing} == {
        "model": ANSWERING, "concept_set": "prompt", "unit": "sample", "layer": None, "method": "prompt", "detector": "prompt"
    }  # fmt: skip


def test_a_model_that_was_asked_about_some_labels_is_averaged_over_these(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    name = sorted(world.labels)[1]
    answers = random_answers(world, 3, [name])
    publish_answers(warehouse, answers)
    evaluate_prompts(warehouse, protocol=PROTOCOL)
    (row,) = summary_of(warehouse, "true")
    truth, predicted = oracles.matrices(judged(world, answers), "prompt") or pytest.fail("nothing to average over")
    low, high = np.quantile(oracles.bootstrap(truth, predicted, 7, 25), [0.025, 0.975])
    assert (row["n_labels"], row["n_positive"]) == (1, int(truth.sum()))
    assert close(row["ci_low"], float(low)) and close(row["ci_high"], float(high))


def test_a_model_that_was_not_asked_about_every_test_sample_has_no_summary(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    whole = random_answers(world, 3)
    publish_answers(warehouse, whole)
    evaluate_prompts(warehouse, protocol=PROTOCOL)
    assert len(summary_of(warehouse, "true")) == 1
    test, name = world.split("test"), sorted(world.labels)[0]
    publish_answers(warehouse, {key: v for key, v in whole.items() if key != (test[0], name)}, version=2)
    said: list[str] = []
    assert evaluate_prompts(warehouse, protocol=PROTOCOL, say=said.append) == {"prompt_detection": 3}
    assert said == [
        f"d: asked was not asked about every test sample ({name}: {len(test) - 1} of {len(test)}): prompt_detection is over "
        "those asked, and neither summary nor compare has a row; `superact prompt run` asks about the rest"
    ]
    assert summary_of(warehouse, "true") == [] and not stale(warehouse.state())
    publish_answers(warehouse, {(s, n): "no" for s in world.split("cal") for n in world.labels}, version=3)
    evaluate_prompts(warehouse, say=said.append)
    assert "(about none)" in said[1]
    assert Session(warehouse).sql("FROM prompt_detection").height == 0
    publish_answers(warehouse, whole, version=1)
    assert evaluate_prompts(warehouse, protocol=PROTOCOL, say=pytest.fail) == {"prompt_detection": 3, "summary": 1}


def test_a_long_list_of_labels_is_cut(tmp_path: Path) -> None:
    world = replace(small(), labels=dict.fromkeys("abcde", True), sample_labels={(2, "a")}, token_labels=set())
    warehouse = publish_world(tmp_path / "wh", world)
    publish_answers(warehouse, {(2, label): "yes" for label in "abcde"})
    said: list[str] = []
    evaluate_prompts(warehouse, say=said.append)
    assert "(a: 1 of 4, b: 1 of 4, c: 1 of 4, and 2 labels more)" in said[0]


def test_what_is_there_is_left_alone_and_what_changed_is_named_and_made_anew(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    answers, places = random_answers(world, 3), {(*key, name) for key in world.tokens for name in world.labels}
    publish_answers(warehouse, answers, places=places)
    publish_answers(warehouse, answers, model="other")
    written = {"prompt_detection": 6, "prompt_localization": 3, "summary": 2}
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == written
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == {}
    assert evaluate_prompts(warehouse, protocol=replace(PROTOCOL, seed=8)) == {"summary": 2}
    assert evaluate_prompts(warehouse, protocol=PROTOCOL, replace=True) == written

    publish_answers(warehouse, answers, places=places, version=2)
    old = [
        f"prompt_detection dataset=d model={ANSWERING}",
        f"prompt_localization dataset=d model={ANSWERING} tokens_of=m",
    ]
    old.append(f"summary dataset=d model={ANSWERING} concept_set=prompt unit=sample")
    assert [str(p.partition) for p in stale(warehouse.state())] == old
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == {
        "prompt_detection": 3,
        "prompt_localization": 3,
        "summary": 1,
    }
    assert stale(warehouse.state()) == []

    with warehouse.run("test", replace=True) as run:
        rows = [{"sample": s, "token": t, "label": label} for s, t, label in sorted(world.token_labels)[1:]]
        write_table(run, "token_labels", rows, 9, **KEYS)
        run.publish()
    assert [str(p.partition) for p in stale(warehouse.state())] == old[1:2]
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == {"prompt_localization": 3}

    (partition,) = [p.partition for p in warehouse.state().select("prompt_tokens")]
    warehouse.remove([partition], "test")
    assert [str(p.partition) for p in stale(warehouse.state())] == old[1:2]
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == {}
    assert stale(warehouse.state()) == [] == warehouse.state().select("prompt_localization")


def test_answers_that_were_asked_for_anew_under_the_same_identity_are_judged_anew(tmp_path: Path) -> None:
    """`prompt run --replace`: the settings are what they were, the model said something else."""
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    places = {(*key, name) for key in world.tokens for name in world.labels}
    sets = {"yes": len(world.split("test")), "no": 0}
    written = {"prompt_detection": 3, "prompt_localization": 3, "summary": 1}
    for answer, n_yes in sets.items():
        answers = dict.fromkeys(random_answers(world, 3), answer)
        publish_answers(warehouse, answers, places=places)
        old = [p.partition.table for p in stale(warehouse.state())]
        assert old == ([] if answer == "yes" else list(written))
        assert evaluate_prompts(warehouse, protocol=PROTOCOL) == written
        assert Session(warehouse).sql("SELECT DISTINCT n_yes FROM prompt_detection").rows() == [(n_yes,)]
        assert stale(warehouse.state()) == []
    # The same answers once more: nothing changed.
    publish_answers(warehouse, answers, places=places)
    assert stale(warehouse.state()) == []
    assert evaluate_prompts(warehouse, protocol=PROTOCOL) == {}


def test_places_are_over_the_tokens_of_the_model_they_were_mapped_to(tmp_path: Path) -> None:
    world = small()
    coarse = replace(world, tokens={(s, 0): True for s in range(6)}, token_labels={(2, 0, "red"), (3, 0, "red")})
    publish_world(tmp_path / "wh", world)
    warehouse = publish_world(tmp_path / "wh", coarse, model="coarse")
    answers = {(sample, "red"): "yes" for sample in world.split("test")}
    for model, places in (("m", {(2, 0, "red"), (3, 1, "red")}), ("coarse", {(2, 0, "red"), (4, 0, "red")})):
        publish_answers(warehouse, answers, places=places, tokens_of=model)
    evaluate_prompts(warehouse)
    found = Session(warehouse).sql(f"SELECT tokens_of, {COUNTS} FROM prompt_localization ORDER BY ALL").rows()
    assert found == [("coarse", 1, 1, 1, 1), ("m", 1, 1, 2, 5)]


def republished(warehouse: Warehouse, table: str, identity: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Publish rows with an identity that names what they were made from."""
    with warehouse.run("test", replace=True) as run:
        keys = {"dataset": "d", "model": ANSWERING, "tokens_of": "m"}
        own = {name: keys[name] for name in ("dataset", "model", "tokens_of")[: 3 if table == "prompt_tokens" else 2]}
        part = run.partition(table, {"test": table, **identity}, **own)
        part.write(0, [arrow(table, rows)])
        run.publish()


def test_answers_about_other_samples_than_those_published_are_refused(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    rows = answer_rows(random_answers(world, 3))
    hashes = {table: warehouse.state().select(table)[0].hash for table in ("samples", "tokens")}
    republished(warehouse, "prompt_answers", {"input:samples": "0" * 64}, rows)
    with pytest.raises(
        StaleInput, match=r"prompt_answers .*\(input:samples\).*`superact prompt run d asked --replace`"
    ):
        evaluate_prompts(warehouse)
    republished(warehouse, "prompt_answers", {"input:samples": hashes["samples"]}, rows)
    republished(warehouse, "prompt_tokens", {"input:tokens": "0" * 64}, place_rows({(0, 0, "red")}))
    with pytest.raises(StaleInput, match=r"\(tokens\).*`superact prompt run d asked --localize --tokens-of m`"):
        evaluate_prompts(warehouse)
    assert warehouse.state().select("prompt_detection") == []  # all or nothing
    made = {"input:tokens": hashes["tokens"], "input:prompt_answers": "0" * 64}
    republished(warehouse, "prompt_tokens", made, place_rows({(0, 0, "red")}))
    with pytest.raises(StaleInput, match=r"\(prompt_answers\)"):
        evaluate_prompts(warehouse)
    made["input:prompt_answers"] = warehouse.state().select("prompt_answers")[0].hash
    republished(warehouse, "prompt_tokens", made, place_rows({(0, 0, "red")}))
    assert evaluate_prompts(warehouse) == {"prompt_detection": 3, "prompt_localization": 3, "summary": 1}


def test_names_that_are_not_there(tmp_path: Path) -> None:
    warehouse = publish_world(tmp_path / "wh", a_world())
    with pytest.raises(MissingTable, match=r"prompt_answers of d, .*`superact prompt run d MODEL`"):
        evaluate_prompts(warehouse, dataset="d")
    publish_answers(warehouse, {(0, "red"): "yes"})
    with pytest.raises(BadInput, match=r"no dataset 'dd'. The nearest: d\."):
        evaluate_prompts(warehouse, dataset="dd")
    with pytest.raises(BadInput, match=r"no model 'askd' of d. The nearest: asked\."):
        evaluate_prompts(warehouse, dataset="d", model="askd")


def run(warehouse: Warehouse, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--warehouse", str(warehouse.root)])


def test_eval_brings_answers_up_to_date_unless_it_is_narrowed(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    publish_answers(warehouse, random_answers(world, 3))
    publish_answers(warehouse, random_answers(world, 3), dataset="lost")
    name = sorted(world.labels)[0]
    for narrow in (["detect", "layers"], ["--layer", "1"], ["--model", "m"], ["--unit", "token"], ["--label", name]):
        assert run(warehouse, "eval", "--dataset", "d", *narrow).exit_code == 0
        assert warehouse.state().select("prompt_detection") == []
    shown = run(warehouse, "eval", "--dataset", "d", "--seed", "3", "--replicates", "9")
    assert shown.exit_code == 0 and "prompt_detection: 3 rows" in shown.stderr
    assert "summary: 11 rows" in shown.stderr  # five detectors at one layer and at the best, and the prompted model
    (published,) = warehouse.state().select("summary", unit="sample")
    assert (published.identity["seed"], published.identity["replicates"]) == (3, 9)
    shown = run(warehouse, "eval", "--dataset", "d", "--seed", "3", "--replicates", "9")
    assert "nothing was stale" in shown.stderr
    shown = run(warehouse, "eval")
    assert shown.exit_code == 3 and "needs samples of lost" in shown.stderr  # answers about nothing


def test_a_warehouse_of_answers_alone(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    warehouse.remove([p.partition for p in warehouse.state().select("concepts")], "test")
    publish_answers(warehouse, random_answers(world, 3), name="Asked 7B")
    shown = run(warehouse, "eval")
    assert shown.exit_code == 0 and shown.stderr.startswith("prompt_detection: 3 rows\nsummary: 1 rows\n")


def test_rows_are_exported_by_name_and_listed(tmp_path: Path) -> None:
    world = a_world()
    warehouse = publish_world(tmp_path / "wh", world)
    publish_answers(warehouse, random_answers(world, 3), places={(0, 0, "red")})
    evaluate_prompts(warehouse, protocol=PROTOCOL)
    narrow = ["--detector", "prompt", "--unit", "sample", "--method", "prompt", "--concept-set", "prompt"]
    shown = run(warehouse, "export", "summary", *narrow, "--columns", "model,detector", "--format", "csv")
    assert shown.stdout == f"model,detector\n{ANSWERING},prompt\n"
    shown = run(warehouse, "export", "prompt_detection", "--columns", "label,n_questions", "--format", "csv")
    n = len(world.split("test"))
    assert shown.stdout.splitlines() == ["label,n_questions", *(f"{name},{n}" for name in sorted(world.labels))]
    listed = run(warehouse, "info", "--format", "csv").stdout
    for table in ("prompt_answers", "prompt_tokens", "prompt_detection", "prompt_localization"):
        assert f"{table},d,{ANSWERING},,1,1," in listed


def test_the_numbers_of_the_page_s_example(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    import_folder(warehouse, Path(__file__).parents[1] / "docs" / "example")
    answers = dict.fromkeys([(s, label) for s in range(6, 10) for label in ("dog", "mood", "night")], "no")
    answers |= dict.fromkeys([(6, "dog"), (7, "dog"), *((s, "mood") for s in range(6, 10)), (8, "night")], "yes")
    publish_answers(warehouse, {**answers, (8, "dog"): "unparsed"}, dataset="toy")
    evaluate_prompts(warehouse, protocol=Protocol(replicates=1))
    (row,) = summary_of(warehouse, "true")
    assert [round(row[name], 4) for name in ("f1", "macro_f1", "ci_low", "ci_high")] == [0.7889, 0.8222, 0.6905, 0.6905]
