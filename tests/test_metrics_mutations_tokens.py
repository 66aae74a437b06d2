"""The checks notice a wrong query about tokens: each small change to a `.sql` file makes some world differ from the oracle."""

from functools import cache
from typing import Any

import duckdb
import pytest
from metrics_tables import assert_tables, expected_tokens, random_world, run_tokens
from mutations import assert_noticed

from superact.metrics.partition import evaluation_connection

WORLDS = [
    random_world(1, samples=30, most_tokens=5, labels=4, density=0.4, width=2),
    random_world(2, samples=30, most_tokens=5, labels=4, density=0.4, width=2, clusters=4, grid=1, measure="signed_distance"),
    random_world(3, samples=30, most_tokens=5, labels=4, density=0.1, width=3, grid=1000, measure="signed_distance"),
]  # fmt: skip

MUTATIONS = {
    "the last bin is open": ("macros", "(high - low) * 100), 99)", "(high - low) * 100), 100)"),
    "token scores of every label": ("label_scores", "i.label = e.label AND ", ""),
    "a sample carries any label": ("label_scores", " AND sl.label = c.label", ""),
    "undetected samples are searched": ("localization_threshold", " AND s.score >= c.threshold::FLOAT", ""),
    "deltas below the selected one": ("localization_threshold", " AND t.delta >= c.delta", ""),
    "tokens above the threshold, not at": ("localization_threshold", "c.score >= g.threshold", "c.score > g.threshold"),
    "tokens of detected samples alone": ("localization_threshold", "label_scores\n    GROUP BY", "candidates\n    GROUP BY"),
    "local is global": ("localization_similarity", "local_cosine AS cosine", "global_cosine AS cosine"),
    "levels for q": ("localization_similarity", "cosine::DOUBLE, deltas()", "cosine::DOUBLE, levels()"),
    "cosines above the cut, not at": ("localization_similarity", "c.cosine >= u.cut", "c.cosine > u.cut"),
    "one cut for both splits": ("localization_similarity", "u.split = c.split AND ", ""),
    "no softmax": ("localization_weights", "THEN exp(logit - peak)", "THEN (logit - peak)"),
    "scores are no logits": ("localization_weights", " * l.scale", ""),
    "global of test": ("localization_weights", "('train', 'cal')", "('train', 'cal', 'test')"),
    "global of cal alone": ("localization_weights", "split IN ('train', 'cal')", "split IN ('cal')"),
    "train samples are localized": ("localization_weights", "('cal', 'test')", "('train', 'cal', 'test')"),
    "superactivators above, not at": ("localization_weights", ">= l.threshold", "> l.threshold"),
    "logits without the norm": ("localization_labels", "THEN any_value(v.norm) ELSE", "THEN 1.0 ELSE"),
    "labels that another detector chose": ("localization_labels", "c.detector = 'superactivator' AND ", ""),
    "labels without token labels": ("localization_labels", " AND c.label IN (SELECT t.label FROM token_labels AS t)", ""),
    "the rate of test": ("localization_floors", "g.split = 'cal'", "g.split = 'test'"),
    "random hits are misses": ("localization_floors", "ELSE c.drawn_positives", "ELSE c.drawn - c.drawn_positives"),
    "the rate for the quantile": ("localization_floors", "ELSE 1.0 - c.p END", "ELSE c.p END"),
    "always is right": ("localization_floors", "THEN c.n - c.positives", "THEN 0"),
    "one draw a sample": ("token_draws", "xor(s.seed, t.token::UBIGINT)", "s.seed"),
    "padding is drawn": ("token_draws", "WHERE t.is_content", ""),
    "draws ignore the seed": ("token_draws", "xor($seed::UBIGINT, sample::UBIGINT)", "sample::UBIGINT"),
    "quantiles chosen on test": ("localization", "split = 'cal'\n    QUALIFY", "split = 'test'\n    QUALIFY"),
    "the largest delta of equals": ("localization", "THEN -quantile", "THEN quantile"),
    "the largest q of equals": ("localization", "ELSE quantile END", "ELSE -quantile END"),
    "the worst quantile": ("localization", "ORDER BY f1 DESC", "ORDER BY f1"),
    "one choice for all localizers": ("localization", "PARTITION BY label, localizer", "PARTITION BY label"),
    "iou is f1": ("localization", "ratio(m.tp, m.tp + m.fp + m.fn) AS iou", "m.f1 AS iou"),
    "populations by token alone": ("distributions", "WHEN carries THEN", "WHEN NOT carries THEN"),
    "bins of cal": ("distributions", "WHERE split = 'test'", "WHERE split = 'cal'"),
    "mass over all populations": ("distributions", " AND t.population = p.population", ""),
    "empty bins vanish": ("distributions", "LEFT JOIN binned", "JOIN binned"),
    "auc forgets ties": ("separation", "2 * out_below + n_out", "2 * out_below"),
    "auc counts what is above": ("separation", "ORDER BY score ROWS", "ORDER BY score DESC ROWS"),
    "deviations of the population": ("separation", "var_samp(", "var_pop("),
    "the larger mass overlaps": ("separation", "least(", "greatest("),
    "the whole sample is inside": ("separation", "NOT in_concept AND NOT carries", "NOT in_concept"),
    "covered by unlabelled samples": ("separation", "FILTER (s.carries)", ""),
    "coverage of every split": ("separation", " AND s.split = 'test'", ""),
    "the tail above, not at": ("separation", "s.score >= c.threshold::FLOAT", "s.score > c.threshold::FLOAT"),
    "superactivators above": ("superactivator_ratio", "s.score >= c.threshold::FLOAT", "s.score > c.threshold::FLOAT"),
    "samples without the label": ("superactivator_ratio", "HAVING count(*) FILTER (s.in_concept) > 0\n", ""),
    "superactivators in the concept alone": ("superactivator_ratio", "::FLOAT) AS", "::FLOAT AND s.in_concept) AS"),
}  # fmt: skip


@cache
def wanted(number: int) -> dict[str, dict[Any, tuple[Any, ...]]]:
    return expected_tokens(WORLDS[number])


def run_checks(connection: duckdb.DuckDBPyConnection) -> None:
    for number, world in enumerate(WORLDS):
        assert_tables(run_tokens(connection, world), wanted(number))


def test_the_worlds_pass_unchanged():
    with evaluation_connection() as connection:
        run_checks(connection)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checks_notice(name, monkeypatch):
    assert_noticed(monkeypatch, MUTATIONS[name], run_checks)
