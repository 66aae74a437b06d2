-- sae_units, unit token: which features of a sparse autoencoder are evaluated, by how they are active on cal.
-- grain: concept
-- reads: sae_statistics (one partition); samples, labels, tokens, token_labels
-- parameters: none
-- Let fewest and most be the least and the largest number of labelled cal content tokens of an evaluated label that has any,
-- n_labels how many such labels there are, and n_rows the cal content tokens. A feature is, by the first that holds,
--   dead: active on fewer than 3/4 fewest tokens (images) or max(10, fewest/100) tokens (texts), rounded down;
--   ubiquitous: active on more than 5/4 most tokens;
--   weak: of those left, its p99 lies below a quantile of theirs: .5 with one label, .6 below 10, .7 below 30, else .8.
-- Without labelled tokens: dead below 200 (500), ubiquitous above n_rows/50 (3 n_rows/100), weak below .75 (.7), for images
-- (texts).
WITH labelled AS (
    SELECT tl.label, count(*) AS n
    FROM token_labels AS tl
    JOIN samples AS s ON s.sample = tl.sample AND s.split = 'cal'
    JOIN labels AS l ON l.label = tl.label AND l.evaluated
    JOIN tokens AS t ON t.sample = tl.sample AND t.token = tl.token AND t.is_content
    GROUP BY tl.label
),
sizes AS (
    SELECT
        count(*) AS n_labels,
        min(n) AS fewest,
        max(n) AS most,
        (
            SELECT count(*)
            FROM tokens AS t
            JOIN samples AS s ON s.sample = t.sample AND s.split = 'cal'
            WHERE t.is_content
        ) AS n_rows,
        (SELECT any_value(modality) = 'image' FROM samples) AS images
    FROM labelled
),
rules AS (
    SELECT
        n_rows,
        CASE
            WHEN n_labels = 0 THEN CASE WHEN images THEN 200 ELSE 500 END
            WHEN images THEN fewest * 3 // 4
            ELSE greatest(10, fewest // 100)
        END AS least,
        CASE
            WHEN n_labels = 0 THEN n_rows * CASE WHEN images THEN 2 ELSE 3 END / 100
            ELSE most * 5 / 4
        END AS largest,
        CASE
            WHEN n_labels = 0 THEN CASE WHEN images THEN 0.75 ELSE 0.7 END
            WHEN n_labels = 1 THEN 0.5
            WHEN n_labels < 10 THEN 0.6
            WHEN n_labels < 30 THEN 0.7
            ELSE 0.8
        END AS level
    FROM sizes
),
counted AS (
    SELECT
        f.*,
        r.n_rows,
        r.level,
        CASE WHEN f.n_active < r.least THEN 'dead' WHEN f.n_active > r.largest THEN 'ubiquitous' END AS dropped
    FROM sae_statistics AS f
    CROSS JOIN rules AS r
),
strengths AS (
    SELECT
        unnest([0.5, 0.6, 0.7, 0.75, 0.8]) AS level,
        unnest(quantile_cont(quantiles[2], [0.5, 0.6, 0.7, 0.75, 0.8])) AS least_p99
    FROM counted
    WHERE dropped IS NULL
)
SELECT
    c.feature::VARCHAR AS concept,
    c.n_active,
    ratio(c.n_active, c.n_rows) AS share_active,
    c.max_activation,
    c.mean_activation,
    c.quantiles[1] AS p95,
    c.quantiles[2] AS p99,
    coalesce(c.dropped, CASE WHEN c.quantiles[2] < s.least_p99 THEN 'weak' ELSE 'kept' END) AS status
FROM counted AS c
LEFT JOIN strengths AS s ON s.level = c.level
ORDER BY concept
