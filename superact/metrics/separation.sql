-- separation: how far the in-concept test tokens of some labels stand from the out-of-concept ones, and what the tail holds.
-- grain: label
-- reads: chosen_labels, label_scores; samples, sample_labels, token_labels
-- parameters: none
-- overlap: of the 100-bin histograms of table distributions. auc: P(in > out) + P(in = out) / 2 on the stored scores.
-- cohens_d: pooled deviation, ddof 1. tail_mass: share of in-concept tokens at or above the selected threshold (without one
-- there is no tail: NULL); tail_coverage: share of the samples with the label that own a token there; tail_precision:
-- in-concept share of the in- and out-of-concept tokens there. NULL where a group is empty; the two that ask for in-concept
-- tokens are NULL, too, where the label has no token label in any split, so that there is no truth.
WITH scored AS (
    SELECT label, sample, carries, score, in_concept AS inside, NOT in_concept AND NOT carries AS outside
    FROM label_scores
    WHERE split = 'test'
),
bounds AS (
    SELECT label, min(score)::DOUBLE AS low, max(score)::DOUBLE AS high
    FROM scored
    GROUP BY label
),
values_seen AS (
    SELECT label, score, count(*) FILTER (inside) AS n_in, count(*) FILTER (outside) AS n_out
    FROM scored
    GROUP BY label, score
),
ranked AS (
    SELECT
        label,
        score::DOUBLE AS score,
        n_in,
        n_out,
        sum(n_out) OVER (PARTITION BY label ORDER BY score ROWS UNBOUNDED PRECEDING) - n_out AS out_below
    FROM values_seen
),
groups AS (
    SELECT
        label,
        sum(n_in)::BIGINT AS n_in,
        sum(n_out)::BIGINT AS n_out,
        sum(n_in * (2 * out_below + n_out))::DOUBLE / 2 AS wins
    FROM ranked
    GROUP BY label
),
binned AS (
    SELECT r.label, bin_of(r.score, b.low, b.high) AS bin, sum(r.n_in) AS n_in, sum(r.n_out) AS n_out
    FROM ranked AS r
    JOIN bounds AS b ON b.label = r.label
    GROUP BY ALL
),
overlapping AS (
    SELECT b.label, fsum(least(b.n_in / g.n_in, b.n_out / g.n_out)) AS overlap
    FROM binned AS b
    JOIN groups AS g ON g.label = b.label
    WHERE g.n_in > 0 AND g.n_out > 0
    GROUP BY b.label
),
moments AS (
    SELECT
        label,
        favg(score::DOUBLE) FILTER (inside) AS mean_in,
        favg(score::DOUBLE) FILTER (outside) AS mean_out,
        var_samp(score::DOUBLE) FILTER (inside) AS var_in,
        var_samp(score::DOUBLE) FILTER (outside) AS var_out
    FROM scored
    GROUP BY label
),
tail AS (
    SELECT
        s.label,
        count(*) FILTER (s.inside) AS n_in,
        count(*) FILTER (s.outside) AS n_out,
        count(DISTINCT s.sample) FILTER (s.carries) AS n_samples
    FROM scored AS s
    JOIN chosen_labels AS c ON c.label = s.label AND s.score >= c.threshold::FLOAT
    GROUP BY s.label
),
known AS (
    SELECT DISTINCT label
    FROM token_labels
),
carriers AS (
    SELECT sl.label, count(*) AS n
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'test'
    GROUP BY sl.label
)
SELECT
    c.label,
    c.concept,
    c.delta,
    o.overlap,
    CASE WHEN g.n_in > 0 AND g.n_out > 0 THEN g.wins / g.n_in / g.n_out END AS auc,
    (m.mean_in - m.mean_out)
    / nullif(sqrt(((g.n_in - 1) * m.var_in + (g.n_out - 1) * m.var_out) / (g.n_in + g.n_out - 2)), 0) AS cohens_d,
    CASE WHEN c.threshold IS NOT NULL AND i.label IS NOT NULL THEN ratio(coalesce(t.n_in, 0), coalesce(g.n_in, 0)) END
        AS tail_mass,
    CASE WHEN c.threshold IS NOT NULL THEN ratio(coalesce(t.n_samples, 0), coalesce(k.n, 0)) END AS tail_coverage,
    CASE
        WHEN c.threshold IS NOT NULL AND i.label IS NOT NULL
            THEN ratio(coalesce(t.n_in, 0), coalesce(t.n_in + t.n_out, 0))
    END AS tail_precision,
    coalesce(g.n_in, 0) AS n_in,
    coalesce(g.n_out, 0) AS n_out
FROM chosen_labels AS c
LEFT JOIN groups AS g ON g.label = c.label
LEFT JOIN moments AS m ON m.label = c.label
LEFT JOIN tail AS t ON t.label = c.label
LEFT JOIN known AS i ON i.label = c.label
LEFT JOIN carriers AS k ON k.label = c.label
LEFT JOIN overlapping AS o ON o.label = c.label
ORDER BY c.label
