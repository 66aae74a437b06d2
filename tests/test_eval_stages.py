"""The stages of eval: alone and together, and what each computes again when something changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eval_folders import (
    DISTRIBUTIONS,
    JUDGED,
    LOCALIZATION,
    SUMMARIES,
    WHERE,
    WRITTEN,
    Key,
    computed_again,
    evaluated_toys,
    layer_keys,
    republish,
    runs_of,
    scored_toys,
    set_keys,
    stored,
    without_a_token_label,
)
from folders import contents

from superact.metrics import partition
from superact.metrics.evaluate import STAGES
from superact.store import Warehouse
from superact.store.stale import stale

SETS = ("avg", "kmeans")
ABOUT_TOKENS = (*LOCALIZATION, *DISTRIBUTIONS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A warehouse of two layers, both units, a stored and a dense set: scored, and evaluated."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        scored = scored_toys(folder).root
        evaluated = shutil.copytree(scored, folder / "evaluated")
        evaluated_toys(Warehouse(evaluated))
        yield {"scored": scored, "evaluated": evaluated}


@pytest.fixture
def scored(made: dict[str, Path], tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copytree(made["scored"], tmp_path / "scored"))


@pytest.fixture
def evaluated(made: dict[str, Path], tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copytree(made["evaluated"], tmp_path / "evaluated"))


def test_stages_one_by_one_and_all_at_once_are_the_same(scored: Warehouse, made: dict[str, Path]) -> None:
    for stage in STAGES:
        assert evaluated_toys(scored, stage).keys() == WRITTEN[stage]
        assert evaluated_toys(scored, stage) == {}
    assert contents(scored.root) == contents(made["evaluated"])
    assert evaluated_toys(scored) == {}


def test_stages_run_in_their_order_however_they_are_named(scored: Warehouse, made: dict[str, Path]) -> None:
    evaluated_toys(scored, *reversed(STAGES))
    assert contents(scored.root) == contents(made["evaluated"])


def test_everything_is_there(evaluated: Warehouse) -> None:
    wanted = set()
    for name in SETS:
        detected = ("sample_scores", *JUDGED, *(["activations"] if name == "kmeans" else []))
        wanted |= layer_keys(detected, name, (1, 2), "token") | layer_keys(detected, name, (1,), "cls")
        wanted |= layer_keys(ABOUT_TOKENS, name, (1, 2))
        wanted |= set_keys(SUMMARIES, name, "token") | set_keys(SUMMARIES, name, "cls")
    assert runs_of(evaluated).keys() == wanted
    assert stale(evaluated.state()) == []


def test_running_again_does_nothing(evaluated: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "run_sql", None)  # a query would fail
    before = evaluated.state().sequence
    for stages in ([], ["detect"], ["localize", "layers"]):
        assert evaluated_toys(evaluated, *stages) == {}
    assert evaluated.state().sequence == before


def test_replace_computes_the_named_stages_again(evaluated: Warehouse) -> None:
    before, rows = runs_of(evaluated), contents(evaluated.root)
    assert evaluated_toys(evaluated, "layers", replace=True).keys() == set(SUMMARIES)
    assert computed_again(before, evaluated) == {key for key in before if key[0] in SUMMARIES}
    assert stale(evaluated.state()) == []
    evaluated_toys(evaluated, replace=True)
    assert computed_again(before, evaluated) == before.keys()
    assert contents(evaluated.root) == rows


def without_a_sample_label(warehouse: Warehouse) -> None:
    rows = stored(warehouse, "sample_labels", dataset="toys")
    republish(warehouse, "sample_labels", rows[1:], dataset="toys")


def with_other_embeddings(warehouse: Warehouse) -> None:
    keys = {**WHERE, "unit": "token", "layer": 2}
    rows = stored(warehouse, "embeddings", **keys)
    rows[3]["embedding"] = [2 * value + 1 for value in rows[3]["embedding"]]
    republish(warehouse, "embeddings", rows, **keys)


def with_a_cluster_less(warehouse: Warehouse) -> None:
    keys = {**WHERE, "unit": "token", "layer": 1, "concept_set": "kmeans"}
    republish(warehouse, "concepts", stored(warehouse, "concepts", **keys)[:-1], **keys)
    republish(warehouse, "concept_sets", [{**stored(warehouse, "concept_sets", **keys)[0], "k": 4}], **keys)


def after(tables: tuple[str, ...], layers: tuple[int, ...], *sets: str) -> set[Key]:
    """Tables of unit token of these layers, and all that follows from them."""
    found = set()
    for name in sets:
        found |= layer_keys(tables, name, layers, "token") | layer_keys(ABOUT_TOKENS, name, layers)
        found |= set_keys(SUMMARIES, name, "token")
        if name == "kmeans":
            found |= layer_keys(["activations"], name, layers, "token")
    return found


JUDGED_CLS = (
    layer_keys(JUDGED, "avg", (1,), "cls")
    | layer_keys(("activations", *JUDGED), "kmeans", (1,), "cls")
    | set_keys(SUMMARIES, "avg", "cls")
    | set_keys(SUMMARIES, "kmeans", "cls")
)
EVERY_SUMMARY = {("summary", name, unit) for name in SETS for unit in ("token", "cls")}
CHANGES: dict[str, tuple[Callable[[Warehouse], None], set[Key]]] = {
    "token labels": (without_a_token_label, after(JUDGED, (1, 2), *SETS)),
    "sample labels": (without_a_sample_label, after(JUDGED, (1, 2), *SETS) | JUDGED_CLS),
    "embeddings": (
        with_other_embeddings,
        after(("sample_scores", *JUDGED), (2,), "kmeans") | layer_keys(LOCALIZATION, "avg", (2,)),
    ),
    "k": (with_a_cluster_less, after(("sample_scores", *JUDGED), (1,), "kmeans")),
}
OPTIONS: dict[str, tuple[dict[str, Any], set[Key]]] = {
    "seed": (
        {"seed": 1},
        # The alignment of localization depends on what superactivator selected, which reads no random token.
        (after(("sample_scores", *JUDGED), (1, 2), *SETS) | EVERY_SUMMARY)
        - layer_keys(["localization_scores"], "avg", (1, 2))
        - layer_keys(["localization_scores"], "kmeans", (1, 2)),
    ),
    "replicates": ({"replicates": 30}, EVERY_SUMMARY),
    "all pairs": (
        {"all_pairs": True},
        layer_keys(["detection"], "kmeans", (1, 2), "token") | layer_keys(["detection"], "kmeans", (1,), "cls"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_computes_again_what_depends_on_it(evaluated: Warehouse, name: str) -> None:
    change, wanted = CHANGES[name]
    before = runs_of(evaluated)
    change(evaluated)
    changed = {published.partition.table for published in stale(evaluated.state())}
    assert changed == {table for table, *_ in wanted}
    assert evaluated_toys(evaluated).keys() == changed
    assert computed_again(before, evaluated) == wanted
    assert runs_of(evaluated).keys() == before.keys()
    assert stale(evaluated.state()) == []
    # What was left alone is what would have come out.
    found = contents(evaluated.root)
    evaluated_toys(evaluated, replace=True)
    assert contents(evaluated.root) == found


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_computes_again_what_depends_on_it(evaluated: Warehouse, name: str) -> None:
    options, wanted = OPTIONS[name]
    before = runs_of(evaluated)
    evaluated_toys(evaluated, **options)
    assert computed_again(before, evaluated) == wanted
    assert runs_of(evaluated).keys() == before.keys()
    assert stale(evaluated.state()) == []
    assert evaluated_toys(evaluated, **options) == {}
