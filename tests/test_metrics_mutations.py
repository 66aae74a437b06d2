"""The checks notice a wrong query: each small change to a `.sql` file makes a fixed set of worlds differ from the oracle."""

from functools import cache
from typing import Any

import duckdb
import pytest
from metrics_tables import assert_tables, expected, random_world, run_world

import superact.metrics.partition
import superact.query.session
from superact.metrics.partition import evaluation_connection
from superact.query.session import sql_file

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
    "cal counts every split": ("detection", " AND s.split = $split", ""),
    "unselected pairs on test": ("detection", "NOT $chosen_only", "true"),
    "a NULL threshold detects nothing": ("detection", "WHEN threshold IS NOT NULL THEN tr", "WHEN true THEN tr"),
    "truth of any label": ("detection", "sl.sample = scored.sample AND sl.label = t.label", "sl.sample = scored.sample"),
    "largest delta first": ("selection", "                d.delta,\n", "                d.delta DESC,\n"),
    "names as text": ("selection", "CASE WHEN naming.numeric_names THEN length(d.concept) END,", ""),
    "smallest F1": ("selection", "d.f1 DESC", "d.f1"),
    "selectable without a cal positive": ("selection", "WHERE s.split = 'cal'", ""),
    "chosen on test": ("selection", "d.split = 'cal'", "d.split = 'test'"),
    "labels without a choice vanish": ("selection", "LEFT JOIN ranked", "JOIN ranked"),
    "labels without test positives count": ("summary", "AND d.tp + d.fn > 0", ""),
    "summary of cal": ("summary", "WHERE d.split = 'test'", "WHERE d.split = 'cal'"),
    "weighted by what fired": ("summary", "d.tp + d.fn AS positives", "d.tp + d.fp AS positives"),
    "macro is weighted": ("summary", "favg(f1) AS macro_f1", "fsum(f1 * positives) / sum(positives) AS macro_f1"),
    "micro forgets misses": ("summary", "2 * sum(tp) + sum(fp) + sum(fn)", "2 * sum(tp) + sum(fp)"),
}  # fmt: skip


@cache
def wanted(number: int) -> dict[str, dict[Any, tuple[Any, ...]]]:
    return expected(WORLDS[number])


def run_checks(connection: duckdb.DuckDBPyConnection) -> None:
    for number, world in enumerate(WORLDS):
        assert_tables(run_world(connection, world), wanted(number))


def test_the_worlds_pass_unchanged():
    with evaluation_connection() as connection:
        run_checks(connection)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checks_notice(name, monkeypatch):
    file, old, new = MUTATIONS[name]

    def mutated(package: str, own: str) -> str:
        text = sql_file(package, own)
        if own != file:
            return text
        assert old in text, f"{file}.sql no longer has {old!r}"
        return text.replace(old, new)

    monkeypatch.setattr(superact.metrics.partition, "sql_file", mutated)
    monkeypatch.setattr(superact.query.session, "sql_file", mutated)
    with evaluation_connection() as connection, pytest.raises((AssertionError, duckdb.Error)) as noticed:
        run_checks(connection)
    assert "no longer has" not in str(noticed.value)
