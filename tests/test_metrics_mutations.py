"""The checks notice a wrong query: each small change to a `.sql` file makes a fixed set of worlds differ from the oracle."""

from functools import cache
from typing import Any

import duckdb
import oracles
import pytest
from metrics_tables import (
    assert_tables,
    expected,
    expected_layers,
    expected_outcomes,
    other_layer,
    random_world,
    run_layers,
    run_world,
)
from mutations import assert_noticed

from superact.metrics.partition import evaluation_connection

WORLDS = [
    random_world(11, samples=40, labels=4, density=0.3),
    random_world(12, samples=30, labels=3, clusters=12, density=0.3, grid=2),
    random_world(13, samples=40, labels=4, unit="cls", density=0.3, measure="signed_distance"),
    random_world(14, samples=30, labels=4, density=0.5, grid=1000, measure="signed_distance"),
    random_world(20, samples=40, labels=8, density=0.03),
]

MUTATIONS = {
    "detected means above, not at": ("macros", "score >= threshold::FLOAT", "score > threshold::FLOAT"),
    "levels in the wrong order": ("macros", "[0.98, 0.95, 0.9,", "[0.95, 0.98, 0.9,"),
    "a level is 1 - delta of another": ("macros", "0.1, 0.05]::DOUBLE[];", "0.1, 0.04]::DOUBLE[];"),
    "0/0 is NULL": ("macros", "CASE WHEN denominator = 0 THEN 0.0::DOUBLE ELSE", "CASE WHEN denominator <> 0 THEN"),
    "the other score": ("macros", "CASE measure WHEN 'cosine' THEN cosine", "CASE measure WHEN 'cosine' THEN -cosine"),
    "last_token reads the first": ("sample_scores_token", "arg_max(", "arg_min("),
    "the mean over distinct scores": ("sample_scores_token", "favg(", "avg(DISTINCT "),
    "random reads any token": ("sample_scores_token", "FILTER (a.token = r.token)", ""),
    "samples without tokens vanish": ("sample_scores_token", "LEFT JOIN rolled", "JOIN rolled"),
    "random counts special tokens": ("random_tokens", "    WHERE is_content\n    GROUP BY", "    GROUP BY"),
    "random ignores the seed": ("random_tokens", "xor($seed::UBIGINT, sample::UBIGINT)", "sample::UBIGINT"),
    "random in falling order": ("random_tokens", "ORDER BY token)", "ORDER BY token DESC)"),
    "calibrated on test": ("calibration_tokens", "s.split = 'cal'", "s.split = 'test'"),
    "special tokens calibrate": ("calibration_tokens", " AND t.is_content", ""),
    "labels of no evaluation": ("thresholds_token", "WHERE l.evaluated AND", "WHERE"),
    "each token counts a sample": ("thresholds_token", "SELECT DISTINCT label, sample", "SELECT label, sample"),
    "the weak rule on test": ("thresholds_token", "s.split = 'cal'", "s.split = 'test'"),
    "the weak rule for all": ("thresholds_token", "WHERE sl.label NOT IN (SELECT t.label FROM token_labels AS t)", ""),
    "no weak superactivator": ("thresholds_token", "<> 'superactivator' OR p.weak", "<> 'superactivator'"),
    "thresholds only where values are": ("thresholds_token", "LEFT JOIN quantiles", "JOIN quantiles"),
    "quantiles of FLOAT": ("thresholds_token", "quantile_cont(score, ", "quantile_cont(score::FLOAT, "),
    "cls calibrated on test": ("thresholds_cls", "s.split = 'cal'", "s.split = 'test'"),
    "cls detects by every label": ("thresholds_cls", "sl.label = p.label", "true"),
    "cal counts every split": ("detection", "    WHERE split = $split\n", ""),
    "unselected pairs on test": ("detection", "NOT $chosen_only", "true"),
    "a NULL threshold detects nothing": ("detection", "        WHERE threshold IS NOT NULL\n", ""),
    "truth of other samples": ("detection", "SELECT sl.label, sl.sample\n", "SELECT sl.label, sl.sample // 2 AS sample\n"),
    "detection above, not at": ("detection", "r, concept ORDER BY value DESC", "r, concept ORDER BY value DESC, counted"),
    "positives above, not at": ("detection", "l, concept ORDER BY value DESC", "l, concept ORDER BY value DESC, counted"),
    "the threshold is not rounded": ("detection", "t.threshold::FLOAT AS threshold", "t.threshold"),
    "fp and tp are one": ("detection", "(ds.n - tp.n)::BIGINT AS fp", "ds.n::BIGINT AS fp"),
    "largest delta first": ("selection", "                d.delta,\n", "                d.delta DESC,\n"),
    "names as text": ("selection", "CASE WHEN naming.numeric_names THEN length(d.concept) END,", ""),
    "smallest F1": ("selection", "d.f1 DESC", "d.f1"),
    "selectable without a cal positive": ("selection", "WHERE s.split = 'cal'", ""),
    "chosen on test": ("selection", "d.split = 'cal'", "d.split = 'test'"),
    "labels without a choice vanish": ("selection", "LEFT JOIN ranked", "JOIN ranked"),
    "labels without test positives count": ("summary", "    WHERE tp + fn > 0\n", ""),
    "summary of cal": ("layer_choices", "d.split = 'test'", "d.split = 'cal'"),
    "weighted by what fired": ("summary", "tp + fn AS positives", "tp + fp AS positives"),
    "macro is weighted": ("summary", "favg(f1) AS macro_f1", "fsum(f1 * positives) / sum(positives) AS macro_f1"),
    "micro forgets misses": ("summary", "2 * sum(tp) + sum(fp) + sum(fn)", "2 * sum(tp) + sum(fp)"),
    "true positives alone are outcomes": ("outcomes", "FULL JOIN carried", "LEFT JOIN carried"),
    "outcomes of every label": ("outcomes", "sl.label = j.label", "TRUE"),
    "outcomes numbered over all splits": ("outcomes", "    WHERE split = 'test'\n", ""),
}  # fmt: skip

LAYERS = [
    {2: WORLDS[0], 10: other_layer(WORLDS[0], 1), 3: other_layer(WORLDS[0], 2)},
    {7: WORLDS[4], 1: other_layer(WORLDS[4], 3)},
]
LAYER_MUTATIONS = {
    "the largest layer of equals": ("layer_selection", "f1_cal DESC, layer)", "f1_cal DESC, layer DESC)"),
    "the worst layer": ("layer_selection", "f1_cal DESC, layer)", "f1_cal, layer)"),
    "one layer for all detectors": ("layer_selection", "PARTITION BY detector, label", "PARTITION BY label"),
    "positives of every split": ("layer_selection", " AND s.split = 'test'", ""),
    "labels without a layer vanish": ("layer_selection", "LEFT JOIN best", "JOIN best"),
    "misses are no part of f1_test": ("layer_selection", "2 * b.tp + b.fp + b.fn)", "2 * b.tp + b.fp)"),
    "best is every layer": ("summary", " AND s.layer = c.layer", ""),
    "best has a layer": ("summary", "'best' AS layer_choice, NULL AS layer\n", "'best' AS layer_choice, 2 AS layer\n"),
    "null: labels without test positives count": ("null_summary", "    WHERE tp + fn > 0\n", ""),
    "null: cal F1 is not weighted": ("null_summary", "fsum(f1_cal * (tp + fn)) / sum(tp + fn)", "favg(f1_cal)"),
    "null: every layer": ("null_summary", " AND s.layer = c.layer", ""),
}  # fmt: skip

KEPT = random_world(16, samples=30, labels=3, clusters=12, density=0.3, grid=1)
BEST_MUTATIONS = {
    "the worst are kept": ("detection_best", "b.f1 DESC NULLS LAST", "b.f1"),
    "the largest delta first": ("detection_best", "b.delta, CASE", "b.delta DESC, CASE"),
    "names as text": ("detection_best", "CASE WHEN n.numeric_names THEN length(b.concept) END, ", ""),
    "one list for all labels": ("detection_best", "PARTITION BY b.detector, b.label\n", "PARTITION BY b.detector\n"),
    "the best delta alone": ("detection_best", "f1 DESC NULLS LAST, delta)", "f1 NULLS LAST, delta)"),
}  # fmt: skip


@cache
def wanted(number: int) -> dict[str, dict[Any, tuple[Any, ...]]]:
    return expected(WORLDS[number])


@cache
def wanted_outcomes(number: int) -> set[tuple[Any, ...]]:
    return expected_outcomes(WORLDS[number])


def run_checks(connection: duckdb.DuckDBPyConnection) -> None:
    for number, world in enumerate(WORLDS):
        found = run_world(connection, world)
        assert_tables(found, wanted(number))
        assert {tuple(row.values()) for row in found["outcomes"]} == wanted_outcomes(number)


@cache
def wanted_layers(number: int) -> dict[str, dict[Any, tuple[Any, ...]]]:
    return expected_layers(LAYERS[number]) | {"null_summary": oracles.null_summary(LAYERS[number])}


def run_layer_checks(connection: duckdb.DuckDBPyConnection) -> None:
    for number, worlds in enumerate(LAYERS):
        assert_tables(run_layers(connection, worlds), wanted_layers(number))


@cache
def wanted_best() -> dict[str, dict[Any, tuple[Any, ...]]]:
    best, found = oracles.detection_best(KEPT, 2), expected(KEPT)
    kept = {key: row for key, row in found["detection"].items() if key[-1] == "test" or key[:3] in best}
    return {"detection": kept}


def run_best_checks(connection: duckdb.DuckDBPyConnection) -> None:
    assert_tables(run_world(connection, KEPT, batch_rows=200, keep=2), wanted_best())


@pytest.mark.parametrize("checks", [run_checks, run_layer_checks, run_best_checks])
def test_the_worlds_pass_unchanged(checks):
    with evaluation_connection() as connection:
        checks(connection)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checks_notice(name, monkeypatch):
    assert_noticed(monkeypatch, MUTATIONS[name], run_checks)


@pytest.mark.parametrize("name", LAYER_MUTATIONS)
def test_the_checks_of_layers_notice(name, monkeypatch):
    assert_noticed(monkeypatch, LAYER_MUTATIONS[name], run_layer_checks)


@pytest.mark.parametrize("name", BEST_MUTATIONS)
def test_the_checks_of_the_best_concepts_notice(name, monkeypatch):
    assert_noticed(monkeypatch, BEST_MUTATIONS[name], run_best_checks)
