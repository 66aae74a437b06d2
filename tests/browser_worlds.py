"""What the browser opens: reports of one warehouse with every kind of dataset, whole, sampled, and cut to a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import numpy as np
import oracles
from compare_worlds import a_world, make_worlds
from metrics_tables import other_layer, publish_world, write_table
from report_worlds import PROTOCOL, World, report_world
from sae_worlds import publish_sae, sparse_world

import superact
from superact.figures.report import build, build_report
from superact.figures.report.plan import Piece, fit
from superact.metrics.evaluate import evaluate
from superact.query import Session
from superact.query.session import quoted

MARKUP = '<b onclick="alert(1)">Toys</b> &amp; <img src=x onerror=window.hacked=1>'
"""The display name of dataset d."""
TITLE = "<i>Mine</i> & yours"
HOSTILE = (
    "<script>window.hacked=1</script>",
    '<img src=x onerror="window.hacked=1">',
    "</script><svg onload=window.hacked=1>",
    "{{7*7}}${window.hacked=1}",
    "'\"><a href='javascript:window.hacked=1'>x</a>",
    "\u202e\x1b[31m\u2028\x00&lt;b&gt;",
)
"""The words of the texts of dataset d."""
OUTCOMES = ("tp", "fp", "fn", "tn")
CHOICES = ("dataset", "model", "set", "label", "layer", "detector")
AGGREGATES = {"mean_token": "mean", "last_token": "last", "random_token": "random", "cls": "cls"}
"""What detectors read of the token scores, where that is not the maximum."""
SHOWN = 8
"""Samples of each dataset in the sampled report; all have more of test."""


@dataclass(frozen=True)
class Reports:
    """The warehouse, and the folders of its reports."""

    session: Session
    whole: Path
    sampled: Path
    tight: Path


def browser_world(root: Path) -> World:
    """Two datasets beside the texts and pictures of `report_world`.

    d has texts that would do harm, some of them without a token, a set of unit cls alone, a label that only cls can calibrate
    and one that no test sample carries. spikes has a sparse autoencoder, tokens without a place in a text, and a label that is
    the empty text.
    """
    world = report_world(root, evaluated=False)
    warehouse = root / "warehouse"
    for (name, _), layers in make_worlds().items():
        for layer in (1, 2) if name in ("linsep", "whole") else ():
            publish_world(warehouse, layers[layer], layer=layer, concept_set=name)
    sparse = sparse_world(11)
    for layer in (2, 3):
        publish_sae(warehouse, other_layer(sparse, layer), dataset="spikes", layer=layer, files=2)
    with world.warehouse.run("test", replace=True) as run:
        about = {"modality": "text", "digest": "x", "licence": "<u>free</u>"}
        write_table(run, "datasets", [{"name": MARKUP, **about}], dataset="d")
        samples, tokens = hostile_texts(a_world())
        write_table(run, "samples", samples, 2, dataset="d")
        write_table(run, "tokens", tokens, 2, dataset="d", model="m")
        run.publish()
    evaluate(world.warehouse, protocol=PROTOCOL)
    return world


def hostile_texts(world: oracles.World) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of samples and tokens: a world with texts, whose tokens are HOSTILE in turn, with a blank between."""
    texts: dict[int, str] = dict.fromkeys(world.samples, "")
    tokens = []
    for (sample, token), is_content in sorted(world.tokens.items()):
        word = HOSTILE[(sample + token) % len(HOSTILE)]
        texts[sample] += " " * bool(texts[sample]) + word
        end = len(texts[sample])
        place = {"sample": sample, "token": token, "text": word, "char_start": end - len(word), "char_end": end}
        tokens.append({**place, "is_content": is_content})
    facts = world.samples.items()
    return [{"sample": s, "split": split, "modality": "text", "text": texts[s]} for s, split in facts], tokens


def partly(found: Sequence[tuple[int, Piece]], budget: int) -> tuple[list[Piece], list[Piece]]:
    """What a report keeps if there is room for so much of the scores that only some of the other layers find a place."""
    best = sum(piece.size for rank, piece in found if rank == 0)
    rest = sum(piece.size for rank, piece in found if rank > 0 and not piece.tokens)
    return fit(found, min(budget, best + rest // 2))


def make_reports(root: Path) -> Reports:
    """Build everything below `root`."""
    world = browser_world(root)
    session = superact.open(world.warehouse.root)
    whole, sampled, tight = (root / name for name in ("whole", "sampled", "tight"))
    build_report(session, whole, data_root=world.data_root, title=TITLE)
    build_report(session, sampled, data_root=world.data_root, samples=SHOWN)
    with patch.object(build, "fit", partly):
        build_report(session, tight, images=False)
    return Reports(session, whole, sampled, tight)


def cases(reports: Reports, n: int = 20, where: str = "true") -> list[dict[str, Any]]:
    """Seeded (label, delta) of any set, layer and detector, with the counts of table detection."""
    found = reports.session.sql(
        "SELECT dataset, model, layer, concept_set AS set, unit, detector, label, concept, delta, threshold, "
        "c.score AS measure, d.tp, d.fp, d.fn, d.tn, d.precision, d.recall, d.f1 "
        "FROM (SELECT dataset, model, layer, concept_set, unit, detector, label, concept FROM selection) AS s "
        "JOIN detection AS d USING (dataset, model, layer, concept_set, unit, detector, label, concept) "
        "JOIN thresholds AS t USING (dataset, model, layer, concept_set, unit, detector, label, concept, delta) "
        "JOIN concept_sets AS c USING (dataset, model, layer, concept_set, unit) "
        f"WHERE d.split = 'test' AND {where} ORDER BY dataset, model, concept_set, layer, detector, label, delta"
    ).to_dicts()
    places = np.random.default_rng(20).choice(len(found), n, replace=False)
    return [found[place] for place in places]


def counted(reports: Reports, case: dict[str, Any]) -> dict[str, list[int]]:
    """The test samples by outcome, each list the highest score first, from sample_scores, thresholds and sample_labels."""
    aggregate = AGGREGATES.get(case["detector"], "max")
    rows = reports.session.sql(
        "SELECT s.sample, r.score, l.sample IS NOT NULL AS positive, "
        f"coalesce(r.score >= (SELECT threshold::FLOAT FROM thresholds WHERE dataset = {quoted(case['dataset'])} "
        f"AND model = {quoted(case['model'])} AND layer = {case['layer']} AND concept_set = {quoted(case['set'])} "
        f"AND unit = {quoted(case['unit'])} AND detector = {quoted(case['detector'])} AND label = {quoted(case['label'])} "
        f"AND concept = {quoted(case['concept'])} AND delta = {case['delta']}), false) AS detected "
        "FROM samples AS s "
        f"LEFT JOIN sample_scores AS r ON r.dataset = s.dataset AND r.sample = s.sample AND r.model = {quoted(case['model'])} "
        f"AND r.layer = {case['layer']} AND r.concept_set = {quoted(case['set'])} AND r.unit = {quoted(case['unit'])} "
        f"AND r.concept = {quoted(case['concept'])} AND r.aggregate = '{aggregate}' "
        f"LEFT JOIN sample_labels AS l ON l.dataset = s.dataset AND l.sample = s.sample AND l.label = {quoted(case['label'])} "
        f"WHERE s.dataset = {quoted(case['dataset'])} AND s.split = 'test'"
    ).to_dicts()
    absent = 0.0 if case["measure"] == "activation" else -np.inf
    rows.sort(key=lambda row: (-(absent if row["score"] is None else row["score"]), row["sample"]))
    found: dict[str, list[int]] = {outcome: [] for outcome in OUTCOMES}
    for row in rows:
        outcome = ("tp" if row["positive"] else "fp") if row["detected"] else ("fn" if row["positive"] else "tn")
        found[outcome].append(row["sample"])
    return found


def address(case: dict[str, Any], **more: Any) -> str:
    """The deep link of a case."""
    choices = {name: case[name] for name in CHOICES} | {"delta": case["delta"]} | more
    return f"#/samples?{urlencode(choices)}"
