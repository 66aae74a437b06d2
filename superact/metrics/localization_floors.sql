-- localization_floors: the token counts of every content token, of none, and of tokens drawn at a label's rate.
-- grain: label, localizer, split
-- reads: token_draws; labels, token_labels (one dataset and model)
-- parameters: none
-- random: predicted iff draw < p * 2^64, p the label's share of labelled tokens among the cal content tokens; the product
-- with a power of two is exact, and so is the comparison of integers. Labels without any token label have no truth: no rows.
WITH sizes AS (
    SELECT split, count(*) AS n
    FROM token_draws
    GROUP BY split
),
labelled AS (
    SELECT l.label, d.split, d.draw
    FROM labels AS l
    JOIN token_labels AS tl ON tl.label = l.label
    JOIN token_draws AS d ON d.sample = tl.sample AND d.token = tl.token
    WHERE l.evaluated
),
known AS (
    SELECT DISTINCT l.label
    FROM labels AS l
    JOIN token_labels AS tl ON tl.label = l.label
    WHERE l.evaluated
),
rates AS (
    SELECT k.label, ratio(count(g.label), any_value(coalesce(c.n, 0))) AS p
    FROM known AS k
    LEFT JOIN labelled AS g ON g.label = k.label AND g.split = 'cal'
    LEFT JOIN sizes AS c ON c.split = 'cal'
    GROUP BY k.label
),
bounds AS (
    SELECT label, p, ceil(p * 18446744073709551616)::UHUGEINT AS bound
    FROM rates
),
drawn AS (
    SELECT b.label, d.split, count(*) AS n
    FROM bounds AS b
    JOIN token_draws AS d ON d.draw::UHUGEINT < b.bound
    GROUP BY b.label, d.split
),
positives AS (
    SELECT
        g.label,
        g.split,
        count(*) AS n,
        count(*) FILTER (g.draw::UHUGEINT < b.bound) AS drawn
    FROM labelled AS g
    JOIN bounds AS b ON b.label = g.label
    GROUP BY g.label, g.split
),
counted AS (
    SELECT
        b.label,
        b.p,
        s.split,
        coalesce(p.n, 0) AS positives,
        coalesce(c.n, 0) AS n,
        coalesce(d.n, 0) AS drawn,
        coalesce(p.drawn, 0) AS drawn_positives
    FROM bounds AS b
    CROSS JOIN (VALUES ('cal'), ('test')) AS s (split)
    LEFT JOIN sizes AS c ON c.split = s.split
    LEFT JOIN drawn AS d ON d.label = b.label AND d.split = s.split
    LEFT JOIN positives AS p ON p.label = b.label AND p.split = s.split
)
SELECT
    c.label,
    f.localizer,
    c.split,
    CASE f.localizer WHEN 'always' THEN 0.0 WHEN 'never' THEN 1.0 ELSE 1.0 - c.p END AS quantile,
    CASE f.localizer WHEN 'always' THEN c.positives WHEN 'never' THEN 0 ELSE c.drawn_positives END AS tp,
    CASE f.localizer WHEN 'always' THEN c.n - c.positives WHEN 'never' THEN 0 ELSE c.drawn - c.drawn_positives END AS fp,
    c.positives,
    c.n
FROM counted AS c
CROSS JOIN (VALUES ('always'), ('never'), ('random')) AS f (localizer)
ORDER BY c.label, f.localizer, c.split
