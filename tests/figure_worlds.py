"""What the tests of charts draw: three concept sets at three layers, and a prompted model; and the data in a chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compare_worlds import PROTOCOL, a_world, describe, make_worlds
from metrics_tables import publish_world
from prompt_tables import publish_answers, random_answers

from superact.metrics.evaluate import evaluate
from superact.metrics.prompts import evaluate_prompts
from superact.store import Warehouse

SETS = ("avg", "linsep", "whole")


def charted(root: Path) -> Warehouse:
    """Three sets of dataset d under model m, evaluated, of which `whole` has unit cls alone; and one prompted model."""
    for (name, _), layers in make_worlds().items():
        for layer, world in layers.items() if name in SETS else ():
            found = publish_world(root / "wh", world, layer=layer, concept_set=name)
    describe(found)
    publish_answers(found, random_answers(a_world(), 3), model="big", name="Big 7B")
    evaluate(found, protocol=PROTOCOL)
    evaluate_prompts(found, protocol=PROTOCOL)
    return found


def data_of(chart: Any, *fields: str) -> list[dict[str, Any]]:
    """All records of a chart that have these fields, in the order of its panels and layers, each once."""
    spec = chart.to_dict()
    found: list[dict[str, Any]] = []
    names: list[str] = []

    def visit(part: Any) -> None:
        if isinstance(part, dict):
            data = part.get("data")
            if isinstance(data, dict) and "values" in data:
                found.extend(data["values"])
            elif isinstance(data, dict) and data["name"] not in names:
                names.append(data["name"])
                found.extend(spec["datasets"][data["name"]])
            for name, value in part.items():
                if name not in ("data", "datasets"):
                    visit(value)
        elif isinstance(part, list):
            for one in part:
                visit(one)

    visit(spec)
    return [record for record in found if all(field in record for field in fields)]
