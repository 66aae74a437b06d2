-- distributions: histograms of the test scores of the concepts of some labels, by population.
-- grain: label, population, bin
-- reads: chosen_labels, label_scores
-- parameters: none
-- in_concept: tokens with the label; out_of_concept: tokens without it in samples without it; in_sample_not_token: tokens
-- without it in samples with it. One range over all three, 100 bins, the last one closed; every bin has a row.
WITH scored AS (
    SELECT
        label,
        score::DOUBLE AS score,
        CASE WHEN in_concept THEN 'in_concept' WHEN carries THEN 'in_sample_not_token' ELSE 'out_of_concept' END AS population
    FROM label_scores
    WHERE split = 'test'
),
bounds AS (
    SELECT label, min(score) AS low, max(score) AS high
    FROM scored
    GROUP BY label
),
binned AS (
    SELECT s.label, s.population, bin_of(s.score, b.low, b.high) AS bin, count(*) AS n
    FROM scored AS s
    JOIN bounds AS b ON b.label = s.label
    GROUP BY ALL
),
totals AS (
    SELECT label, population, sum(n) AS total
    FROM binned
    GROUP BY label, population
)
SELECT
    c.label,
    p.population,
    g.bin,
    b.low + (b.high - b.low) * g.bin / 100 AS lo,
    b.low + (b.high - b.low) * (g.bin + 1) / 100 AS hi,
    coalesce(n.n, 0)::BIGINT AS n,
    ratio(coalesce(n.n, 0), coalesce(t.total, 0)) AS mass
FROM chosen_labels AS c
CROSS JOIN (VALUES ('in_concept'), ('in_sample_not_token'), ('out_of_concept')) AS p (population)
CROSS JOIN (SELECT unnest(range(100))::INTEGER AS bin) AS g
LEFT JOIN bounds AS b ON b.label = c.label
LEFT JOIN binned AS n ON n.label = c.label AND n.population = p.population AND n.bin = g.bin
LEFT JOIN totals AS t ON t.label = c.label AND t.population = p.population
ORDER BY c.label, p.population, g.bin
