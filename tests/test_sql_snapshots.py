"""The SQL that runs, as files to review: every statement of a tiny eval, rendered, and the views of a session.

A change to a query, or to when one is asked, shows as a diff of tests/snapshots/. Where it is meant, accept it with

    SUPERACT_ACCEPT_SNAPSHOTS=1 python -m pytest tests/test_sql_snapshots.py

and commit the files. Parameters stand as literals; a statement that repeats is written once; looking up and dropping temporary
tables is left out.
"""

from __future__ import annotations

import difflib
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from eval_folders import evaluated_toys, scored_toys
from prompt_tables import publish_answers
from sae_worlds import publish_sae, sparse_world

import superact.metrics.evaluate as evaluate_module
import superact.metrics.null as null_module
import superact.metrics.prompts as prompts_module
import superact.query.session as session_module
from superact.query import Session
from superact.schemas import tables
from superact.store import Warehouse

SNAPSHOTS = Path(__file__).with_name("snapshots")
ACCEPT = "SUPERACT_ACCEPT_SNAPSHOTS"
RECORDED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "eval_detect_token": (("detect",), {"concept_set": "avg", "unit": "token"}),
    "eval_detect_cls": (("detect",), {"concept_set": "avg", "unit": "cls"}),
    "eval_detect_dense": (("detect",), {"concept_set": "kmeans", "unit": "token"}),
    "eval_localize": (("localize",), {"concept_set": "avg"}),
    "eval_layers": (("layers",), {"concept_set": "avg", "unit": "token"}),
    "eval_distributions": (("distributions",), {"concept_set": "avg"}),
}
"""Snapshot: the stages and filters of the eval that it shows; a stage finds what the ones before it wrote."""
SPARSE: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "eval_sae_detect_token": (("detect",), {"unit": "token"}),
    "eval_sae_detect_cls": (("detect",), {"unit": "cls"}),
    "eval_sae_localize": (("localize",), {}),
}
"""The same of a sparse autoencoder, in a warehouse of its own."""
NULL = "eval_null"
PROMPTS = "eval_prompts"
NOT_EVAL = {"compare", "compare_floors", "compare_prompts"}
"""Queries of metrics that another command asks."""
_HOUSEKEEPING = re.compile(r"DROP |SELECT 'VIEW', view_name FROM duckdb_views\(\)|SELECT count\(\*\) FROM \w+$")


class Recorder:
    """A connection that notes what it is asked, and finds that a rendered query means what the original does."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, statements: list[str]) -> None:
        self._connection, self._statements = connection, statements

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, text: str, parameters: Any = None) -> Any:
        self._note(text, parameters)
        return self._connection.execute(text, parameters)

    def sql(self, text: str, params: Any = None) -> Any:
        rendered = self._note(text, params)
        if params:
            found, wanted = self._connection.sql(rendered), self._connection.sql(text, params=params)
            assert sorted(map(repr, found.fetchall())) == sorted(map(repr, wanted.fetchall())), rendered
        return self._connection.sql(text, params=params)

    def _note(self, text: str, parameters: Any) -> str:
        rendered = render(text, parameters)
        if rendered not in self._statements and not _HOUSEKEEPING.match(rendered):
            self._statements.append(rendered)
        return rendered


def literal(value: Any) -> str:
    """A parameter as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    assert isinstance(value, int | float), value
    return repr(value)


def render(text: str, parameters: Any) -> str:
    """A statement without comments, its parameters as literals."""
    lines = [line for line in text.strip().split("\n") if not line.lstrip().startswith("--")]
    body = "\n".join(line.partition(" --")[0] for line in lines)
    named = parameters if isinstance(parameters, dict) else {str(i): v for i, v in enumerate(parameters or [], 1)}
    return re.sub(r"\$(\w+)", lambda found: literal(named[found[1]]), body) if named else body


def page(statements: list[str], root: Path) -> str:
    """A snapshot: statements without the paths of this machine; those of one line are folded."""
    shown = []
    for statement in statements:
        text = statement.replace(str(root), "<warehouse>")
        if "\n" not in text:
            text = textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
        shown.append(text + ";\n")
    return "\n".join(shown)


def check(name: str, found: str) -> None:
    """The snapshot is this text; or becomes it, where that is asked for."""
    path = SNAPSHOTS / f"{name}.sql"
    if os.environ.get(ACCEPT):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    stored = path.read_text(encoding="utf-8") if path.exists() else ""
    if found != stored:
        lines = difflib.unified_diff(stored.splitlines(), found.splitlines(), path.name, "what runs now", lineterm="")
        accept = f"{ACCEPT}=1 python -m pytest tests/test_sql_snapshots.py"
        pytest.fail("\n".join([*lines, f"If this is meant: {accept}"]), pytrace=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, dict[str, list[str]]]]:
    """A tiny warehouse evaluated stage by stage, and the statements of each."""
    folder = tmp_path_factory.mktemp("tiny")
    recorded: dict[str, list[str]] = {}
    original = evaluate_module.evaluation_connection
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERACT_CACHE", str(folder / "cache"))
        warehouse = scored_toys(folder, labels=("it's red", "blue"), layers=(1,), clusters=2, samples=12)
        sparse = warehouse_of_an_autoencoder(sparse_root(warehouse))
        for name, (stages, where) in (RECORDED | SPARSE).items():
            statements = recorded.setdefault(name, [])
            patch.setattr(
                evaluate_module,
                "evaluation_connection",
                lambda threads, statements=statements: Recorder(original(threads), statements),
            )
            evaluated_toys(sparse if name in SPARSE else warehouse, *stages, **where)
        statements = recorded.setdefault(NULL, [])
        patch.setattr(null_module, "evaluation_connection", lambda threads: Recorder(original(threads), statements))
        null_module.evaluate_null(warehouse, shuffles=1, threads=1, concept_set="avg", unit="token")
        statements = recorded.setdefault(PROMPTS, [])
        patch.setattr(prompts_module, "evaluation_connection", lambda threads: Recorder(original(threads), statements))
        answers = {(sample, label): "yes" for sample in range(12) for label in ("it's red", "blue")}
        publish_answers(warehouse, answers, places={(11, 0, "blue")}, dataset="toys", tokens_of="tiny")
        prompts_module.evaluate_prompts(warehouse, threads=1)
        yield warehouse, recorded


def sparse_root(warehouse: Warehouse) -> Path:
    return warehouse.root.with_name("sparse")


def warehouse_of_an_autoencoder(root: Path) -> Warehouse:
    """Both units of one; where its token labels are, some features are kept and others are not."""
    world = sparse_world(87, labels=3, width=2, density=0.3)
    publish_sae(root, world, modality="image")
    places = sorted({(c, s) for c, s, _ in world.scores})
    scores = {(c, s, -1): np.float32(1 + s) for c, s in places if s % 2}
    return publish_sae(root, replace(world, unit="cls", scores=scores, embeddings={}), modality="image")


@pytest.mark.parametrize("name", [*RECORDED, *SPARSE, NULL, PROMPTS])
def test_statements_of_eval(made: tuple[Warehouse, dict[str, list[str]]], name: str) -> None:
    warehouse, recorded = made
    check(name, page(recorded[name], sparse_root(warehouse) if name in SPARSE else warehouse.root))


def test_views_of_a_session(made: tuple[Warehouse, dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse, _ = made
    statements: list[str] = []
    original = session_module.connect
    monkeypatch.setattr(session_module, "connect", lambda *settings: Recorder(original(*settings), statements))
    Session(warehouse).connection.close()
    shown = [statement for statement in statements if statement.startswith("CREATE OR REPLACE VIEW ")]
    named = [statement.split()[4] for statement in shown]
    assert named == [
        *(name for name, table in tables().items() if table.room != "manifest"),
        "runs",
        *session_module.VIEWS,
    ]
    check("session_views", page(statements, warehouse.root))


def test_every_query_of_eval_is_in_a_snapshot(made: tuple[Warehouse, dict[str, list[str]]]) -> None:
    _, recorded = made
    shown = {statement for statements in recorded.values() for statement in statements}
    missing = set()
    for path in Path(str(files("superact.metrics"))).glob("*.sql"):
        text = re.escape(render(path.read_text(encoding="utf-8"), None))
        pattern = re.compile(re.sub(r"\\\$\w+", ".+?", text))
        if not any(pattern.search(statement) for statement in shown):
            missing.add(path.stem)
    assert missing == NOT_EVAL


def test_no_snapshot_is_left_over() -> None:
    names = {*RECORDED, *SPARSE, NULL, PROMPTS, "session_views"}
    assert {path.name for path in SNAPSHOTS.iterdir()} == {f"{name}.sql" for name in names}


def test_parameters_are_rendered_as_literals() -> None:
    text = "-- $a is a comment\nSELECT $a, $b, $c, $d, $e -- and $a"
    found = render(text, {"a": "it's", "b": True, "c": [1, 2], "d": None, "e": 0.5})
    assert found == "SELECT 'it''s', true, [1, 2], NULL, 0.5"
    assert render("SELECT $1, $2", ["x", 3]) == "SELECT 'x', 3"
