"""What eval is narrowed to, the names it does not know, and labels evaluated one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from eval_folders import (
    DISTRIBUTIONS,
    LABELS,
    SUMMARIES,
    WRITTEN,
    ask,
    computed_again,
    evaluated_toys,
    folder_of_toys,
    runs_of,
    scored_toys,
    without_a_token_label,
)
from typer.testing import CliRunner

from superact.cli.main import app
from superact.errors import BadInput, MissingTable
from superact.ingest.import_folder import import_folder
from superact.ingest.score import score
from superact.metrics.evaluate import Protocol
from superact.store import Warehouse
from superact.store.stale import stale

BY_LABEL = ("thresholds", "detection", "selection", "layer_selection", "localization", *DISTRIBUTIONS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        yield scored_toys(folder).root


@pytest.fixture
def warehouse(made: Path, tmp_path: Path) -> Warehouse:
    """Two layers, both units, a stored and a dense set: scored."""
    return Warehouse(shutil.copytree(made, tmp_path / "warehouse"))


def test_filters_narrow_what_is_computed(warehouse: Warehouse) -> None:
    evaluated_toys(warehouse, method="avg", layer=[2])
    assert {key[1:] for key in runs_of(warehouse)} == {("avg", "2"), ("avg", "2", "token"), ("avg", "token")}
    before = runs_of(warehouse)
    evaluated_toys(warehouse, unit="cls", concept_set="kmeans")
    assert {key[1:] for key in computed_again(before, warehouse)} == {("kmeans", "1", "cls"), ("kmeans", "cls")}
    assert {key[0] for key in computed_again(before, warehouse)} == {*WRITTEN["detect"], *SUMMARIES}


def test_datasets_and_models_are_filters(warehouse: Warehouse, tmp_path: Path) -> None:
    others = folder_of_toys(tmp_path / "others", dataset="others", units=("cls",), sets=("avg",), layers=(1,))
    import_folder(warehouse, others)
    score(warehouse)
    evaluated_toys(warehouse, dataset="others", model="tiny")
    assert ask(warehouse, "SELECT DISTINCT dataset FROM detection") == [("others",)]
    with pytest.raises(BadInput, match=r"no dataset 'toy'\. The nearest: toys"):
        evaluated_toys(warehouse, dataset="toy")
    with pytest.raises(BadInput, match=r"no model 'tinny'\. The nearest: tiny\."):
        evaluated_toys(warehouse, model="tinny")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"layer": 3}, r"no layer 3\. The nearest: 1, 2\."),
        ({"concept_set": "kmean"}, r"no concept set 'kmean'\. The nearest: kmeans\."),
        ({"labels": ("gren",)}, r"no evaluated label 'gren'\. The nearest: green"),
        ({"labels": ("red", "Blue")}, r"no evaluated label 'Blue'\. The nearest: blue"),
        ({"method": "sae"}, r"method 'sae'\. There are avg, kmeans\."),
        ({"unit": "sample"}, r"no unit 'sample'\."),
    ],
)
def test_unknown_names_suggest_the_nearest(warehouse: Warehouse, wanted: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        evaluated_toys(warehouse, **wanted)
    assert runs_of(warehouse) == {}


def test_stages_that_there_are_not_and_stages_without_their_unit_are_refused(warehouse: Warehouse) -> None:
    with pytest.raises(BadInput, match=r"'locate' is not a stage of eval\. Choose among detect, localize, layers"):
        evaluated_toys(warehouse, "locate")
    with pytest.raises(BadInput, match="localize: unit cls has no tokens"):
        evaluated_toys(warehouse, "localize", unit="cls")
    with pytest.raises(BadInput, match="localize and distributions: unit cls has no tokens"):
        evaluated_toys(warehouse, "localize", "distributions", unit="cls")
    assert runs_of(warehouse) == {}


def labels_of(warehouse: Warehouse) -> set[tuple[str, ...]]:
    """The labels of every table that has them."""
    query = "SELECT DISTINCT label FROM {} ORDER BY label"
    return {tuple(label for (label,) in ask(warehouse, query.format(table))) for table in BY_LABEL}


def rows_of(warehouse: Warehouse) -> dict[str, list[tuple]]:
    query = "SELECT * EXCLUDE (run) FROM {} WHERE label IN ('blue', 'red') ORDER BY ALL"
    return {table: ask(warehouse, query.format(table)) for table in BY_LABEL}


def test_labels_add_up(warehouse: Warehouse) -> None:
    where = {"layer": 1, "unit": "token"}
    evaluated_toys(warehouse, labels=("red",), **where)
    assert labels_of(warehouse) == {("red",)}
    assert ask(warehouse, "SELECT DISTINCT n_labels FROM summary") == [(1,)]
    evaluated_toys(warehouse, labels=("blue",), **where)
    assert labels_of(warehouse) == {("blue", "red")}
    assert stale(warehouse.state()) == []
    assert evaluated_toys(warehouse, labels=("red",), **where) == {}
    assert evaluated_toys(warehouse, labels=("red", "blue"), **where) == {}
    some = rows_of(warehouse)
    evaluated_toys(warehouse, **where)
    assert labels_of(warehouse) == {LABELS}
    assert rows_of(warehouse) == some


def test_a_complete_evaluation_stays_complete(warehouse: Warehouse) -> None:
    where = {"layer": 1, "unit": "token"}
    evaluated_toys(warehouse, **where)
    assert evaluated_toys(warehouse, labels=("green",), **where) == {}
    without_a_token_label(warehouse)
    assert "selection" in evaluated_toys(warehouse, labels=("green",), **where)
    assert labels_of(warehouse) == {LABELS}
    assert stale(warehouse.state()) == []


def test_layers_with_different_labels_are_summarised_together(warehouse: Warehouse) -> None:
    where = {"concept_set": "avg", "unit": "token"}
    evaluated_toys(warehouse, "detect", labels=("red",), layer=1, **where)
    evaluated_toys(warehouse, labels=("blue",), layer=2, **where)
    query = "SELECT layer, label, f1_cal IS NULL FROM layer_selection WHERE detector = 'max_token' ORDER BY label"
    found = ask(warehouse, query)
    assert [(label, empty) for _, label, empty in found] == [("blue", False), ("red", False)]
    assert {label: layer for layer, label, _ in found}["red"] == 1
    assert stale(warehouse.state()) == []


def command(warehouse: Warehouse, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["eval", *arguments, "--warehouse", str(warehouse.root)])
    return done.exit_code, done.stderr


def test_the_command_line_asks_the_same(warehouse: Warehouse) -> None:
    narrow = ("--concept-set", "avg", "--layer", "1", "--label", "red", "--label", "blue", "--replicates", "20")
    code, said = command(warehouse, "localize", *narrow)
    assert code == 3 and "Run `superact eval detect --dataset toys" in said
    code, said = command(warehouse, "localize", "detect", "--unit", "token", *narrow)
    assert code == 0 and "localization: " in said and "summary" not in said
    assert ask(warehouse, "SELECT DISTINCT label FROM localization ORDER BY label") == [("blue",), ("red",)]
    code, said = command(warehouse, "all", "--unit", "token", *narrow)
    assert code == 0 and "summary: 10 rows" in said and "detection" not in said
    assert "nothing was stale" in command(warehouse, "--unit", "token", *narrow)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["localize", "--unit", "cls"], 3, "localize: unit cls has no tokens"),
        (["--label", "gren"], 3, "The nearest: green"),
        (["--layers", "5"], 3, "There is no layer 5. The nearest: 1, 2."),
        (["--dataset", "toyz"], 3, "There is no dataset 'toyz'. The nearest: toys."),
        (["--method", "sae"], 3, "There are avg, kmeans."),
        (["locate"], 2, "'locate' is not one of"),
        (["--null", "detect"], 2, "name no stage"),
    ],
)
def test_the_command_line_refuses(warehouse: Warehouse, arguments: list[str], code: int, said: str) -> None:
    found, text = command(warehouse, *arguments)
    assert found == code
    assert said in " ".join(text.split())
    assert runs_of(warehouse) == {}


def test_labels_of_one_dataset_leave_the_others_alone(warehouse: Warehouse, tmp_path: Path) -> None:
    options = {"units": ("cls",), "sets": ("avg",), "layers": (1,)}
    import_folder(warehouse, folder_of_toys(tmp_path / "pets", dataset="pets", labels=("dog", "red"), **options))
    score(warehouse)
    evaluated_toys(warehouse, labels=("dog",))
    assert ask(warehouse, "SELECT DISTINCT dataset, label FROM selection") == [("pets", "dog")]
    evaluated_toys(warehouse, labels=("blue", "dog"), unit="cls")
    query = "SELECT DISTINCT dataset, label FROM selection ORDER BY ALL"
    assert ask(warehouse, query) == [("pets", "dog"), ("toys", "blue")]
    evaluated_toys(warehouse, labels=("red",), unit="cls", concept_set="avg")
    assert ask(warehouse, query) == [("pets", "dog"), ("pets", "red"), ("toys", "blue"), ("toys", "red")]
    with pytest.raises(BadInput, match=r"no evaluated label 'dog'\. The nearest: blue, green, red\."):
        evaluated_toys(warehouse, labels=("dog",), dataset="toys")


def test_a_later_stage_goes_on_from_the_detection_that_is_there(warehouse: Warehouse) -> None:
    where = {"layer": 1, "unit": "token"}
    evaluated_toys(warehouse, "detect", labels=("red",), all_pairs=True, **where)
    for stage in ("localize", "layers", "distributions"):
        assert evaluated_toys(warehouse, stage, **where)
    assert labels_of(warehouse) == {("red",)}
    assert stale(warehouse.state()) == []
    assert evaluated_toys(warehouse, labels=("red",), all_pairs=True, **where) == {}


def test_a_label_that_is_not_detected_yet_is_no_label_of_a_later_stage(warehouse: Warehouse) -> None:
    where = {"layer": 1, "unit": "token", "concept_set": "avg"}
    evaluated_toys(warehouse, "detect", labels=("red",), **where)
    with pytest.raises(MissingTable, match=r"label 'blue' .*Run `superact eval detect --label blue` first"):
        evaluated_toys(warehouse, "layers", labels=("red", "blue"), **where)


def test_a_layer_is_looked_for_among_those_of_the_dataset(warehouse: Warehouse, tmp_path: Path) -> None:
    import_folder(warehouse, folder_of_toys(tmp_path / "other", dataset="others", layers=(7,), sets=("avg",)))
    with pytest.raises(BadInput, match=r"There is no layer 7 of toys\. The nearest: 1, 2\."):
        evaluated_toys(warehouse, dataset="toys", layer=[7])


def test_replacing_some_layers_leaves_the_others(warehouse: Warehouse) -> None:
    evaluated_toys(warehouse, concept_set="avg", unit="token")
    before = runs_of(warehouse)
    evaluated_toys(warehouse, "detect", "layers", concept_set="avg", unit="token", layer=1, replace=True)
    again = {key for key, run in runs_of(warehouse).items() if before[key] != run}
    assert again and not {key for key in again if key[:3] == ("detection", "avg", "2")}


def test_a_seed_of_65_bits_is_refused() -> None:
    with pytest.raises(BadInput, match=r"from 0 to 2\^64 - 1"):
        Protocol(seed=1 << 64)
