"""`superact compare`: numbers against an independent computation, how they look, and what it says when it cannot compare."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import polars as pl
import pytest
from compare_worlds import HELD_OUT, LAYERS, METHODS, PROTOCOL, a_world, by_cell, close, describe, judged, make_worlds
from folders import tree
from metrics_tables import KEYS, publish_world, write_table
from oracles import World
from typer.testing import CliRunner, Result

from superact.cli.comparison import comparison_text
from superact.cli.main import app
from superact.cli.options import Format
from superact.errors import BadInput, Damaged, MissingTable, StaleInput
from superact.metrics.compare import DETECTORS, Comparison, columns, compare
from superact.metrics.evaluate import evaluate
from superact.query import Session
from superact.store import Warehouse


@pytest.fixture(scope="module")
def worlds() -> dict[tuple[str, str], dict[int, World]]:
    return make_worlds()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, worlds: Any) -> Iterator[Warehouse]:
    """Everything evaluated, with a null summary of one set; tests only read it."""
    root = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(root / "cache"))
        for (name, _), layers in worlds.items():
            for layer, world in layers.items():
                found = publish_world(root / "wh", world, layer=layer, concept_set=name)
        describe(found)
        evaluate(found, protocol=PROTOCOL)
        with found.run("test") as run:
            shared = {"method": "avg", "detector": "max_token", "n_labels": 2, "n_positive": 9, "run": "r"}
            rows = [
                {"layer_choice": choice, "layer": layer, "shuffle": shuffle, "f1": f1, **shared}
                for choice, layer, values in (("best", None, (0.25, 0.5)), ("fixed", 2, (0.125, 0.25)))
                for shuffle, f1 in enumerate(values)
            ]
            write_table(run, "null_summary", rows, **KEYS)
            run.publish()
        yield found


@pytest.fixture(scope="module")
def session(warehouse: Warehouse) -> Session:
    return Session(warehouse)


@pytest.mark.parametrize("layer", [None, 2])
def test_every_number_of_a_comparison(session: Session, worlds: Any, layer: int | None) -> None:
    (comparison,) = compare(session, "d", layer=layer)
    cells = by_cell(comparison)
    wanted = {(name, detector) for (name, _), own in worlds.items() for detector in own[1].detectors}
    assert cells.keys() == wanted | {("always", None), ("coin", None)}
    for (name, unit), layers in worlds.items():
        rows = judged(layers, layer)
        for detector in layers[1].detectors:
            f1, *_, n_labels, n_positive = oracles.averages(rows, detector)
            truth, predicted = oracles.matrices(rows, detector) or pytest.fail("nothing to average over")
            bounds = np.quantile(oracles.bootstrap(truth, predicted, 7, 25), [0.025, 0.975])
            row = cells[name, detector]
            assert close(row["f1"], f1), (name, detector)
            assert close(row["ci_low"], float(bounds[0])) and close(row["ci_high"], float(bounds[1]))
            assert (row["n_labels"], row["n_positive"], row["unit"]) == (n_labels, n_positive, unit)
            assert (row["dataset"], row["model"], row["method"]) == ("d", "m", METHODS[name]["method"])
            assert (row["layer_choice"], row["layer"]) == (("best", None) if layer is None else ("fixed", layer))
    null = {key: row["null_f1"] for key, row in cells.items() if row["null_f1"] is not None}
    assert null == {("avg", "max_token"): 0.375 if layer is None else 0.1875}
    assert (comparison.dataset, comparison.model, comparison.blocks) == ("Toy Set", "Tiny model", 4)
    assert comparison.layers == (LAYERS if layer is None else (2,))


def test_rows_stand_in_the_order_of_methods_and_detectors(session: Session) -> None:
    (comparison,) = compare(session)
    sets = ["avg", "linsep", "linsep-seed1", "linsep-seed2"]
    wanted = [(name, detector) for name in sets for detector in DETECTORS] + [("whole", "cls"), (None, None)]
    assert [(row["concept_set"], row["detector"]) for row in comparison.rows] == [*wanted, (None, None)]
    assert [list(row) for row in comparison.rows] == [list(columns(False, False))] * len(comparison.rows)


@pytest.mark.parametrize("unit", [None, "token"])
def test_floors_are_over_the_labels_that_are_compared(session: Session, unit: str | None) -> None:
    (comparison,) = compare(session, unit=unit)
    world, names = a_world(), ["ball", "red"] if unit else ["ball", HELD_OUT, "red"]
    test, cal = world.split("test"), world.split("cal")
    found = {"always": 0.0, "coin": 0.0}
    total = 0
    for name in names:
        n = sum((sample, name) in world.sample_labels for sample in test)
        q = sum((sample, name) in world.sample_labels for sample in cal) / len(cal)
        p, total = n / len(test), total + n
        found["always"] += n * 2 * p / (p + 1)
        found["coin"] += n * 2 * p * q / (p + q)
    cells = by_cell(comparison)
    for name, value in found.items():
        row = cells[name, None]
        assert close(row["f1"], value / total)
        assert (row["n_labels"], row["n_positive"]) == (len(names), total)
        empty = {"concept_set", "unit", "detector", "layer_choice", "layer", "ci_low", "ci_high", "null_f1", "note"}
        assert {key for key, own in row.items() if own is None} == empty
    assert (comparison.n_labels, comparison.n_positive) == (len(names), total)


def test_floors_are_those_of_the_view_when_every_label_is_compared(session: Session) -> None:
    (comparison,) = compare(session)
    ((always, coin, n),) = session.sql("SELECT always_f1, coin_f1, n_labels FROM floors").rows()
    cells = by_cell(comparison)
    assert n == 3 == cells["always", None]["n_labels"]
    assert close(cells["always", None]["f1"], always) and close(cells["coin", None]["f1"], coin)


@pytest.mark.parametrize("layer", [None, 2])
@pytest.mark.parametrize("against", ["max_token", "cls"])
def test_differences_are_paired_over_the_labels_in_common(
    session: Session, worlds: Any, against: str, layer: int | None
) -> None:
    (comparison,) = compare(session, against=against, layer=layer)
    own_labels = set()
    for (name, detector), row in by_cell(comparison).items():
        pairs = {key: pair for unit in ("token", "cls") for key, pair in judged_of(worlds, name, unit, layer).items()}
        mine, other = ({label for kind, label in pairs if kind == which} for which in (detector, against))
        common = sorted(label for label in mine & other if pairs[against, label][0].any())
        if not common or detector == against:
            assert [row[key] for key in columns(True, False) if key not in columns(False, False)] == [None] * 4
            continue
        own_labels.add(frozenset(mine ^ other))
        kept = {key: pair for key, pair in pairs.items() if key[1] in common}
        draws = [oracles.bootstrap(*oracles.matrices(kept, which), 7, 25) for which in (detector, against)]
        low, high = np.quantile(np.subtract(*draws), [0.025, 0.975])
        points = [oracles.averages(kept, which)[0] for which in (detector, against)]
        assert row["against"] == against
        assert close(row["difference"], points[0] - points[1]), (name, detector)
        assert close(row["difference_low"], float(low)) and close(row["difference_high"], float(high))
    # Some pairs agree in their labels and some do not.
    assert own_labels == {frozenset(), frozenset({HELD_OUT})} if against == "max_token" else {frozenset({HELD_OUT})}


def judged_of(worlds: Any, name: str | None, unit: str, layer: int | None) -> oracles.Judged:
    return judged(worlds[name, unit], layer) if (name, unit) in worlds else {}


def test_seeds_stand_side_by_side_and_under_them_their_mean(session: Session) -> None:
    (plain,) = compare(session, against="max_token")
    (comparison,) = compare(session, against="max_token", seeds=True)
    family = ["linsep", "linsep-seed1", "linsep-seed2"]
    cells, before = by_cell(comparison), by_cell(plain)
    means = {key: cells.pop(key) for key in list(cells) if key[0] == "+".join(family)}
    assert [key[1] for key in means] == list(DETECTORS)
    for key, row in cells.items():
        assert (row.pop("n_seeds"), row.pop("f1_std")) == (None if key[1] is None else 1, None)
        assert row == before[key]
    for (_, detector), row in means.items():
        own = [before[name, detector] for name in family]
        values = [other["f1"] for other in own]
        assert close(row["f1"], float(np.mean(values))) and close(row["f1_std"], float(np.std(values, ddof=1)))
        assert row["n_seeds"] == 3 and row["method"] == "linsep" and row["unit"] == own[0]["unit"]
        assert row["ci_low"] is row["ci_high"] is row["difference_low"] is row["null_f1"] is None
        if detector != "max_token":
            assert close(row["difference"], float(np.mean([other["difference"] for other in own])))
    names = [row["concept_set"] for row in comparison.rows]
    assert names.index("+".join(family)) == names.index("linsep-seed2") + len(DETECTORS)


def test_sets_that_differ_in_more_than_the_seed_are_no_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worlds: Any
) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    for name in ("linsep", "linsep-seed1"):
        for layer in LAYERS[:2] if name == "linsep" else LAYERS[:1]:
            found = publish_world(tmp_path / "wh", worlds[name, "cls"][layer], layer=layer, concept_set=name)
    describe(found)
    evaluate(found, protocol=PROTOCOL)
    with pytest.raises(BadInput, match=r"differ only in their seed.*superact learn --seed 1 --suffix seed1"):
        compare(Session(found), seeds=True)  # other layers to choose from
    (comparison,) = compare(Session(found), seeds=True, layer=1)
    assert [row["n_seeds"] for row in comparison.rows] == [1, 1, 2, None, None]
    for version, facts in enumerate(({"hyperparameters": '{"a": 1}'}, {"score": "signed_distance"}, {"seed": 0}), 3):
        describe(found, version, linsep_seed1=facts)
        with pytest.raises(BadInput, match="differ only in their seed"):
            compare(Session(found), seeds=True, layer=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dataset": "dd"}, r"no dataset 'dd'. The nearest: d\."),
        ({"model": "mm"}, r"no model 'mm'. The nearest: m\."),
        ({"unit": "tokens"}, r"no unit 'tokens'. The nearest: token\."),
        ({"layer": 3}, r"no layer 3. The nearest: 1, 2, 4\."),
        ({"against": "maxtok"}, r"no detector 'maxtok'. The nearest: max_token"),
        ({"against": "max_token", "unit": "cls"}, r"no detector 'max_token'. The nearest: cls\."),
    ],
)
def test_names_that_are_not_there_suggest_others(session: Session, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        compare(session, **given)


def test_what_was_not_evaluated_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worlds: Any) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    found = publish_world(tmp_path / "wh", worlds["avg", "token"][1])
    with pytest.raises(MissingTable, match=r"summary of d token, .*`superact eval --dataset d --unit token`"):
        compare(Session(found), "d", unit="token")
    with pytest.raises(MissingTable, match=r"summary of any dataset, .*`superact eval`"):
        compare(Session(found))


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worlds: Any) -> Warehouse:
    """A warehouse of one set whose concepts were replaced after eval."""
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    found = publish_world(tmp_path / "wh", worlds["avg", "token"][1])
    describe(found)
    evaluate(found, protocol=PROTOCOL)
    describe(found, version=9)
    return found


def test_stale_summaries_are_shown_and_named_but_not_set_against_each_other(changed: Warehouse) -> None:
    shown = run(changed, "compare", "--format", "json")
    assert shown.exit_code == 0 and len(json.loads(shown.stdout)) == 7
    assert "stale: 1 partition is of summary older than its inputs; `superact eval` makes them anew" in shown.stderr
    with pytest.raises(StaleInput, match=r"summary dataset=d .*`superact eval --dataset d --model m`"):
        compare(Session(changed), against="max_token")
    evaluate(changed, protocol=PROTOCOL)
    fresh = run(changed, "compare", "--against", "max_token")
    assert fresh.exit_code == 0 and fresh.stderr == ""


def test_damaged_scores_are_named(changed: Warehouse) -> None:
    evaluate(changed, protocol=PROTOCOL)
    (path,) = changed.paths("sample_scores")
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(Damaged, match=r"sample_scores.*sha256"):
        compare(Session(changed), against="max_token")


def test_no_lock_is_taken_and_nothing_is_written(warehouse: Warehouse, session: Session) -> None:
    before = tree(warehouse.root)
    with warehouse.lock():
        held = tree(warehouse.root)
        compare(session, against="max_token", seeds=True)
        assert tree(warehouse.root) == held
    assert tree(warehouse.root) == before


def run(warehouse: Warehouse, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--warehouse", str(warehouse.root)])


def test_machine_formats_hold_the_same_typed_rows(warehouse: Warehouse, session: Session, tmp_path: Path) -> None:
    arguments = ("compare", "D", "--against", "max_token", "--seeds")
    (comparison,) = compare(session, "d", against="max_token", seeds=True)
    assert json.loads(run(warehouse, *arguments, "--format", "json").stdout) == comparison.rows
    kinds = {"VARCHAR": pl.String, "INTEGER": pl.Int32, "BIGINT": pl.Int64, "DOUBLE": pl.Float64}
    schema = {name: kinds[kind] for name, kind in columns(True, True).items()}
    csv = run(warehouse, *arguments, "--format", "csv").stdout
    assert pl.read_csv(io.StringIO(csv), schema=schema).to_dicts() == comparison.rows
    assert run(warehouse, *arguments, "--out", str(tmp_path / "rows.parquet")).exit_code == 0
    parquet = pl.read_parquet(tmp_path / "rows.parquet")
    assert parquet.to_dicts() == comparison.rows and dict(parquet.schema) == schema


def test_a_table_goes_to_stdout_or_to_a_file(warehouse: Warehouse, session: Session, tmp_path: Path) -> None:
    found = compare(session, layer=2)
    assert run(warehouse, "compare", "--layer", "2").stdout == comparison_text(found)
    for suffix, kind in (("md", Format.markdown), ("tex", Format.latex), ("txt", Format.table)):
        run(warehouse, "compare", "--layer", "2", "--out", str(tmp_path / f"t.{suffix}"))
        assert (tmp_path / f"t.{suffix}").read_text(encoding="utf-8") == comparison_text(found, kind)


def test_a_layer_that_is_no_number_is_wrong_usage(warehouse: Warehouse) -> None:
    shown = run(warehouse, "compare", "--layer", "last")
    assert shown.exit_code == 2 and "'last' is neither best nor a number" in shown.stderr


def test_datasets_and_models_have_a_block_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worlds: Any) -> None:
    monkeypatch.setenv("SUPERACT_CACHE", str(tmp_path / "cache"))
    world = worlds["avg", "cls"][1]
    for dataset, model in (("d", "m"), ("d", "b"), ("a", "m")):
        found = publish_world(tmp_path / "wh", world, dataset=dataset, model=model)
    evaluate(found, protocol=PROTOCOL)
    titles = [(c.dataset, c.model) for c in compare(Session(found), against="cls")]
    assert titles == [("a", "m"), ("d", "b"), ("d", "m")]  # slugs, where there is no display name
    assert [c.dataset for c in compare(Session(found), model="m")] == ["a", "d"]
    text = run(found, "compare", "d").stdout
    assert [line for line in text.splitlines() if "|" in line] == ["d | b", "d | m"]
    assert "\n\nd | m\n" in text


ROW = {**dict.fromkeys(columns(True, True)), "dataset": "d", "model": "m", "n_seeds": 1, "n_labels": 3}


def hand_made() -> Comparison:
    """Two sets of which one has no CLS, a family, floors, a control, a label less, and other layers."""

    def cell(name: str, detector: str, f1: float | None, spread: float = 0.05, **more: Any) -> dict[str, Any]:
        bounds = {} if f1 is None else {"ci_low": f1 - spread, "ci_high": f1 + spread}
        method = name.partition("-")[0]
        return {**ROW, "concept_set": name, "method": method, "detector": detector, "f1": f1, **bounds, **more}

    def differing(value: float) -> dict[str, Any]:
        bounds = {"difference_low": value - 0.05, "difference_high": value + 0.05}
        return {"against": "max_token", "difference": value, **bounds}

    mean = {"n_seeds": 2, "f1_std": 0.25, "ci_low": None, "ci_high": None, "method": "k_m"}
    rows = [
        cell("k_m", "superactivator", 0.905, **differing(0.5)),
        cell("k_m", "max_token", 0.405, null_f1=0.125),
        cell("k_m", "cls", None, n_labels=0),
        cell("k_m-seed1", "superactivator", 0.25, **differing(-0.25)),
        cell("k_m-seed1", "max_token", 0.5, spread=0.5, n_labels=2),
        cell("k_m+k_m-seed1", "superactivator", 0.625, **mean),
        {**ROW, "method": "always", "f1": 0.75, "n_seeds": None},
        {**ROW, "method": "coin", "f1": 0.5, "n_seeds": None},
    ]
    return Comparison("Set_1", "A & B", 8, None, (1, 2), {"k_m": (1, 2), "k_m-seed1": (1,)}, 3, 40, rows)


PIPED = """\
Set_1 | A & B
Weighted test F1 [95 % interval]; 3 labels, 40 test positives; each label at its best layer on cal (of 1, 2)

concept set                  SuperAct              MaxTok   CLS
───────────────────────────────────────────────────────────────
k_m                *0.91 [0.85, 0.96]   0.41 [0.36, 0.46]     -
vs MaxTok          +0.50 [0.45, 0.55]
k_m-seed1           0.25 [0.20, 0.30]  *0.50 [0.00, 1.00]
vs MaxTok        -0.25 [-0.30, -0.20]
k_m, 2 seeds             *0.62 ± 0.25

always positive                  0.75                0.75  0.75
coin                             0.50                0.50  0.50
k_m, shuffled                                        0.12

vs MaxTok: F1 minus that of MaxTok on the same draws of the test samples [95 % interval].
seeds: mean ± standard deviation over concept sets that differ in their seed alone.
shuffled: mean F1 of the same search where labels are shuffled among samples.
Layers to choose from: k_m: 1, 2; k_m-seed1: 1.
Averaged over fewer labels than 3: k_m CLS 0, k_m-seed1 MaxTok 2.
*: the largest F1 of its row.
"""


def test_a_piped_table_is_as_wide_as_it_must_be() -> None:
    assert comparison_text([hand_made()]) == PIPED


def test_blocks_are_apart() -> None:
    assert comparison_text([hand_made()] * 2) == PIPED + "\n" + PIPED


def test_a_name_does_not_speak_to_the_terminal() -> None:
    text = comparison_text([replace(hand_made(), dataset="a\x1b[2Jb")])
    assert text.startswith("a\\x1b[2Jb | A & B\n") and "\x1b" not in text


def table_lines(width: int, styled: bool = False) -> list[str]:
    """The lines of the table alone, from its heading to the floors."""
    text = comparison_text([hand_made()], width=width, styled=styled)
    assert max(map(len, text.splitlines())) <= width or styled
    return text.split("\n\n")[1].splitlines()


def test_a_narrow_terminal_has_intervals_below_and_drops_zeros_last() -> None:
    assert table_lines(63) == PIPED.split("\n\n")[1].splitlines()
    assert table_lines(50)[:5] == [
        "concept set           SuperAct       MaxTok  CLS",
        "────────────────────────────────────────────────",
        "k_m                      *0.91         0.41    -",
        "                  [0.85, 0.96] [0.36, 0.46]",
        "vs MaxTok                +0.50",
    ]
    assert table_lines(45)[:3] == [
        "concept set         SuperAct      MaxTok CLS",
        "────────────────────────────────────────────",
        "k_m                     *.91         .41   -",
    ]
    assert table_lines(37)[:9] == [
        "concept",
        "set          SuperAct      MaxTok CLS",
        "─────────────────────────────────────",
        "k_m              *.91         .41   -",
        "           [.85, .96]  [.36, .46]",
        "vs               +.50",
        "MaxTok     [.45, .55]",
        "k_m-              .25        *.50",
        "seed1      [.20, .30] [.00, 1.00]",
    ]


def test_a_terminal_shows_the_best_in_bold() -> None:
    text = comparison_text([hand_made()], width=100, styled=True)
    assert text.startswith("\x1b[1mSet_1 | A & B\x1b[0m\n")
    bold = [found.strip() for found in re.findall(r"\x1b\[1m([^\x1b]*[\d\]])\x1b\[0m", text)]
    assert bold == ["0.91 [0.85, 0.96]", "0.50 [0.00, 1.00]", "0.62 ± 0.25"]
    assert "*" not in text and text.endswith("\nBold: the largest F1 of its row.\n")


def test_markdown() -> None:
    title, subtitle, blank, *lines = comparison_text([hand_made()], Format.markdown).splitlines()
    assert title == "**Set\\_1 | A & B**  " and blank == ""
    assert subtitle.startswith("Weighted test F1 \\[95 % interval\\]; 3 labels, 40 test positives; each label at ")
    assert lines[:-2] == [
        "| concept set     |              SuperAct |                MaxTok |   CLS |",
        "|-----------------|-----------------------|-----------------------|-------|",
        "| k_m             | **0.91 [0.85, 0.96]** |     0.41 [0.36, 0.46] |     - |",
        "| vs MaxTok       |    +0.50 [0.45, 0.55] |                       |       |",
        "| k_m-seed1       |     0.25 [0.20, 0.30] | **0.50 [0.00, 1.00]** |       |",
        "| vs MaxTok       |  -0.25 [-0.30, -0.20] |                       |       |",
        "| k_m, 2 seeds    |       **0.62 ± 0.25** |                       |       |",
        "| always positive |                  0.75 |                  0.75 |  0.75 |",
        "| coin            |                  0.50 |                  0.50 |  0.50 |",
        "| k_m, shuffled   |                       |                  0.12 |       |",
    ]
    assert lines[-2] == "" and lines[-1].endswith(" k\\_m-seed1 MaxTok 2. Bold: the largest F1 of its row.")


def test_latex() -> None:
    text = comparison_text([hand_made()], Format.latex)
    lines = text.splitlines()
    assert lines[:2] == [r"\begin{table}", r"\centering"] and lines[-2:] == [r"\end{tabular}", r"\end{table}"]
    assert lines[2].startswith(
        r"\caption{Set\_1, A \& B. Weighted test F1 [95 \% interval]; 3 labels, 40 test positives; "
    )
    assert r"mean $\pm$ standard" in lines[2] and lines[2].endswith("Bold: the largest F1 of its row.}")
    assert lines[3:6] == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        " concept set     &                   SuperAct &                     MaxTok &   CLS \\\\",
    ]
    assert [line.split("&")[0].strip() for line in lines[7:12]] == [
        r"k\_m", "vs MaxTok", r"k\_m-seed1", "vs MaxTok", r"k\_m, 2 seeds",
    ]  # fmt: skip
    assert r"\textbf{0.91 [0.85, 0.96]}" in lines[7] and r"\textbf{0.62 $\pm$ 0.25}" in lines[11]
    assert (lines[6], lines[12], lines[16]) == (r"\midrule", r"\midrule", r"\bottomrule")
