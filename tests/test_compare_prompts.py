"""`superact compare` with prompted models and sparse autoencoders: their rows, what is said beside them, and differences."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import polars as pl
import pytest
from compare_worlds import HELD_OUT, LAYERS, PROTOCOL, UNTESTED, a_world, close, describe, judged, make_worlds
from metrics_tables import publish_world, write_table
from oracles import World
from prompt_tables import judged as asked
from prompt_tables import publish_answers, random_answers
from typer.testing import CliRunner, Result

from superact.cli.comparison import comparison_text
from superact.cli.main import app
from superact.cli.options import Format
from superact.errors import BadInput, MissingTable, StaleInput
from superact.metrics.compare import Comparison, columns, compare
from superact.metrics.evaluate import evaluate
from superact.metrics.prompts import evaluate_prompts
from superact.query import Session
from superact.store import Warehouse

Worlds = dict[tuple[str, str], dict[int, World]]
SETS = ("avg", "linsep", "whole")
OWN = make_worlds()["linsep-seed2", "token"]
"""A set whose detectors choose different layers."""
ANSWERS = {"big": random_answers(a_world(), 3), "small": random_answers(a_world(), 4, ["ball", UNTESTED])}


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return {key: layers for key, layers in make_worlds().items() if key[0] in SETS}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, worlds: Worlds) -> Iterator[Warehouse]:
    """Three sets under model m, one of them under model n, too, and two prompted models, of which one has a display name."""
    root = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        for (name, _), layers in worlds.items():
            for layer, world in layers.items():
                found = publish_world(root / "wh", world, layer=layer, concept_set=name)
        publish_world(root / "wh", worlds["whole", "cls"][1], model="n", concept_set="whole")
        describe(found)
        publish_answers(found, ANSWERS["big"], model="big", name="Big 7B")
        publish_answers(found, ANSWERS["small"], model="small")
        evaluate(found, protocol=PROTOCOL)
        evaluate_prompts(found, protocol=PROTOCOL)
        yield found


@pytest.fixture(scope="module")
def session(warehouse: Warehouse) -> Session:
    return Session(warehouse)


def prompts_of(comparison: Comparison) -> dict[str, dict[str, Any]]:
    found = {row["model"]: row for row in comparison.rows if row["detector"] == "prompt"}
    assert len(found) == sum(row["detector"] == "prompt" for row in comparison.rows)
    return found


def test_prompted_models_stand_under_every_comparison_of_the_dataset(session: Session) -> None:
    narrowed = [compare(session, **given) for given in ({}, {"layer": 1}, {"unit": "cls"}, {"model": "m"})]
    titles = [[(c.dataset, c.model) for c in found] for found in narrowed]
    assert titles == [[("Toy Set", "Tiny model"), ("Toy Set", "n")]] * 3 + [[("Toy Set", "Tiny model")]]
    for comparison in (comparison for found in narrowed for comparison in found):
        assert comparison.answering == {"big": "Big 7B", "small": "small"}
        kinds = [row["method"] for row in comparison.rows]
        assert kinds[-4:] == ["prompt", "prompt", "always", "coin"] and kinds.count("prompt") == 2
        for model, row in prompts_of(comparison).items():
            rows = asked(a_world(), ANSWERS[model])
            truth, predicted = oracles.matrices(rows, "prompt") or pytest.fail("nothing to average over")
            bounds = np.quantile(oracles.bootstrap(truth, predicted, 7, 25), [0.025, 0.975])
            f1, *_, n_labels, n_positive = oracles.averages(rows, "prompt")
            assert close(row["f1"], f1)
            assert close(row["ci_low"], float(bounds[0])) and close(row["ci_high"], float(bounds[1]))
            assert (row["n_labels"], row["n_positive"]) == (n_labels, n_positive)
            where = ("dataset", "concept_set", "unit", "layer_choice", "layer", "null_f1", "note")
            assert [row[name] for name in where] == ["d", "prompt", "sample", "fixed", None, None, None]
    assert {model: row["n_labels"] for model, row in prompts_of(narrowed[0][0]).items()} == {"big": 3, "small": 1}


def test_a_prompted_model_is_one_row_of_the_machine_formats(warehouse: Warehouse) -> None:
    rows = json.loads(run(warehouse, "compare", "--format", "json").stdout)
    assert [row["model"] for row in rows if row["detector"] == "prompt"] == ["big", "small"]
    assert [(row["model"], row["method"]) for row in rows if row["detector"] is None] == [
        ("m", "always"), ("m", "coin"), ("n", "always"), ("n", "coin")
    ]  # fmt: skip
    csv = run(warehouse, "compare", "--against", "prompt:big", "--format", "csv").stdout
    assert pl.read_csv(io.StringIO(csv)).columns == list(columns(True, False))


def test_floors_are_over_the_labels_that_prompted_models_were_asked_about_too(session: Session) -> None:
    (comparison,) = compare(session, unit="token", model="m")
    floor = comparison.rows[-1]
    # HELD_OUT has no threshold for tokens, and a prompted model needs none.
    assert floor["n_labels"] == 3 and prompts_of(comparison)["big"]["n_labels"] == 3
    assert {row["n_labels"] for row in comparison.rows if row["unit"] == "token"} == {2}
    text = comparison_text([comparison])
    assert "Averaged over fewer labels than 3: avg SuperAct 2, " in text and "small Prompt 1." in text
    assert HELD_OUT in {label for _, label in asked(a_world(), ANSWERS["big"])}


def run(warehouse: Warehouse, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--warehouse", str(warehouse.root)])


@pytest.mark.parametrize("layer", [None, 2])
def test_differences_to_a_prompted_model_are_paired(session: Session, worlds: Worlds, layer: int | None) -> None:
    (comparison,) = compare(session, model="m", against="prompt:big", layer=layer)
    rival = asked(a_world(), ANSWERS["big"])
    seen = 0
    for row in comparison.rows:
        if row["detector"] is None or (row["detector"], row["model"]) == ("prompt", "big"):
            assert [row.get(key) for key in ("against", "difference", "difference_low", "difference_high")] == [
                None
            ] * 4
            continue
        if row["detector"] == "prompt":
            own = asked(a_world(), ANSWERS[row["model"]])
        else:
            own = judged(worlds[row["concept_set"], row["unit"]], layer)
        common = {label for detector, label in own if detector == row["detector"]} & {label for _, label in rival}
        pairs = [
            {key: pair for key, pair in rows.items() if key[0] == detector and key[1] in common}
            for rows, detector in ((own, row["detector"]), (rival, "prompt"))
        ]
        matrices = [
            oracles.matrices(rows, detector) for rows, detector in zip(pairs, (row["detector"], "prompt"), strict=True)
        ]
        draws = [oracles.bootstrap(*pair, 7, 25) for pair in matrices if pair is not None]
        low, high = np.quantile(np.subtract(*draws), [0.025, 0.975])
        points = [
            oracles.averages(rows, detector)[0]
            for rows, detector in zip(pairs, (row["detector"], "prompt"), strict=True)
        ]
        assert row["against"] == "prompt:big"
        assert close(row["difference"], points[0] - points[1]), row
        assert close(row["difference_low"], float(low)) and close(row["difference_high"], float(high))
        seen += 1
    assert seen == 6 + 6 + 1 + 1


@pytest.mark.parametrize(
    ("against", "said"),
    [
        ("prompt", r"Several models answered for d: big, small\. Say which, as in --against prompt:big\."),
        ("prompt:bigg", r"no answering model 'bigg'. The nearest: big\."),
        ("cls:big", r"no detector 'cls:big'. The nearest: cls"),
        ("promt", r"no detector 'promt'. The nearest: prompt"),
    ],
)
def test_a_rival_that_is_none_is_refused(session: Session, against: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        compare(session, against=against)


def test_a_prompted_model_has_no_other_detector_to_be_set_against(session: Session) -> None:
    (comparison,) = compare(session, model="m", against="max_token")
    assert {row["against"] for row in prompts_of(comparison).values()} == {None}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """One set at three layers, evaluated, to be changed."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    for layer, world in OWN.items():
        found = publish_world(tmp_path / "wh", world, layer=layer, concept_set="linsep")
    describe(found)
    evaluate(found, protocol=PROTOCOL)
    return found


def test_one_prompted_model_needs_no_name_and_must_be_up_to_date(own: Warehouse) -> None:
    publish_answers(own, ANSWERS["big"], model="big")
    evaluate_prompts(own, protocol=PROTOCOL)
    (comparison,) = compare(Session(own), against="prompt")
    assert [row["against"] for row in comparison.rows] == ["prompt"] * 5 + [None] * 3
    publish_answers(own, ANSWERS["big"], model="big", version=2)
    shown = run(own, "compare")
    assert shown.exit_code == 0 and "stale: 1 partition is of summary older than its inputs" in shown.stderr
    with pytest.raises(StaleInput, match=r"summary dataset=d model=big .*`superact prompt eval d --model big`"):
        compare(Session(own), against="prompt")


def test_a_dataset_of_prompted_models_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    found = publish_world(tmp_path / "wh", a_world())
    publish_answers(found, ANSWERS["big"], model="big", name="Big 7B")
    publish_answers(found, ANSWERS["small"], model="small")
    evaluate_prompts(found, protocol=PROTOCOL)
    (comparison,) = compare(Session(found))
    assert (comparison.dataset, comparison.model, comparison.n_labels) == ("d", None, 3)
    assert [row["method"] for row in comparison.rows] == ["prompt", "prompt", "always", "coin"]
    title, subtitle, _, heading, _, *lines = comparison_text([comparison]).splitlines()
    assert title == "d" and subtitle.startswith("Weighted test F1 [95 % interval]; 3 labels, ")
    assert heading.split() == ["answered", "by", "Prompt"]
    assert [line.split("  ")[0] for line in lines] == [
        "Big 7B", "small", "", "always positive", "coin", "", "Averaged over fewer labels than 3: small Prompt 1."
    ]  # fmt: skip
    (comparison,) = compare(Session(found), against="prompt:small")
    assert [row["difference"] is None for row in comparison.rows] == [False, True, True, True]
    assert "\nvs Prompt: F1 minus that of Prompt small on" in comparison_text([comparison])
    with pytest.raises(MissingTable, match=r"summary of token, .*`superact eval --unit token`"):
        compare(Session(found), unit="token")
    with pytest.raises(BadInput, match=r"no model 'big'. The nearest: m\."):
        compare(Session(found), model="big")


ONE_WAY = [
    (95, 5, 0, "answers yes to 95 %"),
    (949, 51, 0, None),
    (5, 95, 0, "answers no to 95 %"),
    (999, 1, 0, "answers yes to 99 %"),
    (20, 0, 2, "answers yes to 100 %"),
    (10, 8, 2, None),
    (40, 48, 12, "12 % unparsed"),
    (80, 0, 20, "answers yes to 100 %, 20 % unparsed"),
    (0, 0, 4, "100 % unparsed"),
]


@pytest.mark.parametrize(("yes", "no", "unparsed", "note"), ONE_WAY)
def test_notes_of_prompted_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yes: int, no: int, unparsed: int, note: str | None
) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    answers = ["yes"] * yes + ["no"] * no + ["unparsed"] * unparsed
    n = len(answers)
    world = replace(
        a_world(),
        samples=dict.fromkeys(range(n), "test"),
        labels={"red": True},
        sample_labels={(s, "red") for s in range(0, n, 2)},
        tokens={},
        token_labels=set(),
        scores={},
        concepts={},
    )
    found = publish_world(tmp_path / "wh", world)
    publish_answers(found, {(s, "red"): answer for s, answer in enumerate(answers)})
    evaluate_prompts(found, protocol=replace(PROTOCOL, replicates=2))
    (comparison,) = compare(Session(found))
    assert comparison.rows[0]["note"] == note
    assert all(row["note"] is None for row in comparison.rows[1:])


def encoded(warehouse: Warehouse, stats: dict[int, tuple[float | None, float | None]], version: int = 1) -> None:
    """Publish sae_stats of set linsep: explained variance on test and dead share over all, and what must not be read."""
    with warehouse.run("test", replace=True) as run:
        for layer, (explained, dead) in stats.items():
            rows = [
                {
                    "split": split,
                    "n": 9,
                    "explained_variance": value,
                    "n_features": 10,
                    "n_dead": 1,
                    "dead_share": share,
                }
                for split, value, share in (("train", 0.0, 1.0), ("test", explained, 1.0), ("all", 0.0, dead))
            ]
            write_table(
                run, "sae_stats", rows, version, dataset="d", model="m", layer=layer, concept_set="linsep", unit="token"
            )
        run.publish()


@pytest.mark.parametrize(
    ("explained", "dead", "note"),
    [
        (0.43, 0.41, "explains .43, 41 % dead units"),
        (0.6, 0.3, None),
        (0.594, 0.2, "explains .59"),
        (-0.125, 0.306, "explains -.12, 31 % dead units"),
        (-10.25, None, "explains -10.25"),
        (None, 0.5, "50 % dead units"),
        (None, None, None),
    ],
)
def test_notes_of_an_autoencoder_at_a_layer(
    own: Warehouse, explained: float | None, dead: float | None, note: str | None
) -> None:
    encoded(own, {1: (explained, dead), 2: (0.1, 0.9)})
    (comparison,) = compare(Session(own), layer=1)
    assert [row["note"] for row in comparison.rows] == [note] * 5 + [None] * 2


def test_a_row_of_best_layers_says_the_worst_of_those_it_uses(own: Warehouse) -> None:
    stats = {1: (0.5, 0.1), 2: (0.4, 0.35), 4: (0.3, 0.2)}
    encoded(own, stats)
    (comparison,) = compare(Session(own))
    chosen = oracles.layer_selection(OWN)
    expected = {}
    for detector in ("superactivator", "max_token", "mean_token", "last_token", "random_token"):
        used = {row[0] for (name, _), row in chosen.items() if name == detector and row[0] is not None}
        explained, dead = min(stats[layer][0] for layer in used), max(stats[layer][1] for layer in used)
        expected[detector] = f"explains .{explained * 10:.0f}0" + (", 35 % dead units" if dead > 0.3 else "")
    assert {row["detector"]: row["note"] for row in comparison.rows if row["detector"]} == expected
    assert len(set(expected.values())) > 1 and tuple(stats) == LAYERS


ROW = {**dict.fromkeys(columns(True, False)), "dataset": "d", "n_labels": 3}


def hand_made(notes: tuple[str | None, str | None] = ("explains .43, 41 % dead units",) * 2) -> Comparison:
    """A set with a note, one without, and two prompted models, of which one says yes whatever it is asked."""

    def cell(name: str, detector: str, f1: float, model: str = "m", **more: Any) -> dict[str, Any]:
        bounds = {"ci_low": f1 - 0.05, "ci_high": f1 + 0.05}
        return {
            **ROW,
            "model": model,
            "method": name,
            "concept_set": name,
            "detector": detector,
            "f1": f1,
            **bounds,
            **more,
        }

    def differing(value: float) -> dict[str, Any]:
        return {"against": "prompt:big", "difference": value, "difference_low": -0.25, "difference_high": 0.5}

    rows = [
        cell("sae", "superactivator", 0.75, note=notes[0], **differing(0.25)),
        cell("sae", "max_token", 0.5, note=notes[1], **differing(0.0)),
        cell("avg", "superactivator", 0.75, **differing(0.25)),
        cell("prompt", "prompt", 0.5, "big"),
        cell("prompt", "prompt", 0.25, "small", note="answers yes to 99 %", **differing(-0.25)),
        {**ROW, "model": "m", "method": "always", "f1": 0.75},
    ]
    names = {"big": "Big_7B", "small": "small"}
    return Comparison("Set", "M", 8, 2, (2,), {"sae": (2,), "avg": (2,)}, 3, 40, rows, names)


TABLE = """\
Set | M
Weighted test F1 [95 % interval]; 3 labels, 40 test positives; layer 2 (25%)

concept set                 SuperAct               MaxTok
─────────────────────────────────────────────────────────
sae               *0.75 [0.70, 0.80]    0.50 [0.45, 0.55]
  explains .43, 41 % dead units
vs Prompt        +0.25 [-0.25, 0.50]  +0.00 [-0.25, 0.50]
avg               *0.75 [0.70, 0.80]
vs Prompt        +0.25 [-0.25, 0.50]

always positive                 0.75                 0.75

answered by               Prompt
────────────────────────────────
Big_7B         0.50 [0.45, 0.55]
small          0.25 [0.20, 0.30]
  answers yes to 99 %
vs Prompt    -0.25 [-0.25, 0.50]

vs Prompt: F1 minus that of Prompt big on the same draws of the test samples [95 % interval].
*: the largest F1 of its row.
"""


def test_a_table_with_prompted_models_below_and_notes_under_their_rows() -> None:
    assert comparison_text([hand_made()]) == TABLE


def test_notes_that_are_some_detectors_only_name_them() -> None:
    text = comparison_text([hand_made(("explains .43", None))])
    assert "\n  SuperAct: explains .43\n" in text
    text = comparison_text([hand_made(("explains .43", "41 % dead units"))])
    assert "\n  SuperAct: explains .43; MaxTok: 41 % dead units\n" in text


def test_a_note_wraps_in_a_narrow_terminal_and_is_dim() -> None:
    text = comparison_text([hand_made()], width=24, styled=True)
    assert "\x1b[2m  explains .43, 41 %\x1b[0m\n\x1b[2m  dead units\x1b[0m\n" in text
    assert "\ue002" not in text


def test_markdown() -> None:
    lines = comparison_text([hand_made()], Format.markdown).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert names == [
        *(
            "concept set",
            "sae",
            "explains .43, 41 % dead units",
            "vs Prompt",
            "avg",
            "vs Prompt",
            "always positive",
        ),
        *("answered by", "Big_7B", "small", "answers yes to 99 %", "vs Prompt"),
    ]
    assert lines[lines.index(next(line for line in lines if "answered by" in line)) - 1] == ""


def test_latex() -> None:
    lines = comparison_text([hand_made()], Format.latex).splitlines()
    assert (
        sum(line.startswith(r"\begin{tabular}") for line in lines)
        == 2
        == sum(r"\end{tabular}" in line for line in lines)
    )
    first = lines.index(r"\midrule")
    assert lines.index(r"\midrule", first + 1) == first + 6  # two sets, a note, two differences
    assert any(line.startswith(r" answers yes to 99 \% ") for line in lines) and r"\medskip" in lines
