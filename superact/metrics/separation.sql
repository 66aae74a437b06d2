-- separation: how far the in-concept test tokens of one label stand from the out-of-concept ones, and what the tail holds.
-- grain: one row
-- reads: label_scores; samples, sample_labels
-- parameters: $label; $threshold, that of the selection (NULL: no tail)
-- overlap: of the 100-bin histograms of table distributions. auc: P(in > out) + P(in = out) / 2 on the stored scores.
-- cohens_d: pooled deviation, ddof 1. tail_mass: share of in-concept tokens at or above the threshold; tail_coverage: share
-- of the samples with the label that own a token there; tail_precision: in-concept share of the in- and out-of-concept
-- tokens there. NULL where a group is empty.
WITH scored AS (
    SELECT sample, carries, score, in_concept AS inside, NOT in_concept AND NOT carries AS outside
    FROM label_scores
    WHERE split = 'test'
),
bounds AS (
    SELECT min(score)::DOUBLE AS low, max(score)::DOUBLE AS high
    FROM scored
),
values_seen AS (
    SELECT score, count(*) FILTER (inside) AS n_in, count(*) FILTER (outside) AS n_out
    FROM scored
    GROUP BY score
),
ranked AS (
    SELECT
        score::DOUBLE AS score,
        n_in,
        n_out,
        coalesce(sum(n_out) OVER (ORDER BY score ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS out_below
    FROM values_seen
),
groups AS (
    SELECT
        sum(n_in)::BIGINT AS n_in,
        sum(n_out)::BIGINT AS n_out,
        sum(n_in * (2 * out_below + n_out))::DOUBLE / 2 AS wins
    FROM ranked
),
binned AS (
    SELECT bin_of(r.score, b.low, b.high) AS bin, sum(r.n_in) AS n_in, sum(r.n_out) AS n_out
    FROM ranked AS r
    CROSS JOIN bounds AS b
    GROUP BY bin
),
overlapping AS (
    SELECT fsum(least(b.n_in / g.n_in, b.n_out / g.n_out)) AS overlap
    FROM binned AS b
    CROSS JOIN groups AS g
    WHERE g.n_in > 0 AND g.n_out > 0
),
moments AS (
    SELECT
        favg(score::DOUBLE) FILTER (inside) AS mean_in,
        favg(score::DOUBLE) FILTER (outside) AS mean_out,
        var_samp(score::DOUBLE) FILTER (inside) AS var_in,
        var_samp(score::DOUBLE) FILTER (outside) AS var_out
    FROM scored
),
tail AS (
    SELECT
        count(*) FILTER (inside) AS n_in,
        count(*) FILTER (outside) AS n_out,
        count(DISTINCT sample) FILTER (carries) AS n_samples
    FROM scored
    WHERE score >= $threshold::FLOAT
),
carriers AS (
    SELECT count(*) AS n
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'test'
    WHERE sl.label = $label
)
SELECT
    CASE WHEN g.n_in > 0 AND g.n_out > 0 THEN o.overlap END AS overlap,
    CASE WHEN g.n_in > 0 AND g.n_out > 0 THEN g.wins / g.n_in / g.n_out END AS auc,
    (m.mean_in - m.mean_out)
    / nullif(sqrt(((g.n_in - 1) * m.var_in + (g.n_out - 1) * m.var_out) / (g.n_in + g.n_out - 2)), 0) AS cohens_d,
    CASE WHEN $threshold IS NOT NULL THEN ratio(t.n_in, coalesce(g.n_in, 0)) END AS tail_mass,
    CASE WHEN $threshold IS NOT NULL THEN ratio(t.n_samples, c.n) END AS tail_coverage,
    CASE WHEN $threshold IS NOT NULL THEN ratio(t.n_in, t.n_in + t.n_out) END AS tail_precision,
    coalesce(g.n_in, 0) AS n_in,
    coalesce(g.n_out, 0) AS n_out
FROM groups AS g
CROSS JOIN moments AS m
CROSS JOIN tail AS t
CROSS JOIN carriers AS c
LEFT JOIN overlapping AS o ON true
