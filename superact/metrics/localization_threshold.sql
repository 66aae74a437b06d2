-- localization by concept_vector: the token counts of some labels at the threshold of every delta from the selected one on.
-- grain: label, localizer, split, quantile
-- reads: chosen_labels, label_scores; thresholds (one partition)
-- parameters: none
-- A token is predicted iff its sample is detected (a token reaches the selected threshold) and its score reaches the
-- threshold of delta_i. Counts run over all content tokens of the split, those of undetected samples included.
WITH grid AS (
    SELECT c.label, levels()[list_position(deltas(), t.delta)] AS quantile, t.threshold::FLOAT AS threshold
    FROM chosen_labels AS c
    JOIN thresholds AS t ON t.label = c.label AND t.concept = c.concept AND t.delta >= c.delta
    WHERE t.detector = 'superactivator'
),
lowest AS (
    SELECT label, min(threshold) AS threshold
    FROM grid
    GROUP BY label
),
detected_samples AS (
    SELECT DISTINCT s.label, s.sample
    FROM label_scores AS s
    JOIN chosen_labels AS c ON c.label = s.label AND s.score >= c.threshold::FLOAT
),
candidates AS (
    SELECT s.label, s.split, s.score, s.in_concept
    FROM label_scores AS s
    JOIN lowest AS l ON l.label = s.label AND s.score >= l.threshold
    JOIN detected_samples AS d ON d.label = s.label AND d.sample = s.sample
),
hits AS (
    SELECT c.label, c.split, g.quantile, count(*) FILTER (c.in_concept) AS tp, count(*) FILTER (NOT c.in_concept) AS fp
    FROM candidates AS c
    JOIN grid AS g ON g.label = c.label AND c.score >= g.threshold
    GROUP BY c.label, c.split, g.quantile
),
totals AS (
    SELECT label, split, count(*) FILTER (in_concept) AS positives, count(*) AS n
    FROM label_scores
    GROUP BY label, split
)
SELECT
    g.label,
    'concept_vector' AS localizer,
    s.split,
    g.quantile,
    coalesce(h.tp, 0) AS tp,
    coalesce(h.fp, 0) AS fp,
    coalesce(t.positives, 0) AS positives,
    coalesce(t.n, 0) AS n
FROM (VALUES ('cal'), ('test')) AS s (split)
CROSS JOIN grid AS g
LEFT JOIN totals AS t ON t.label = g.label AND t.split = s.split
LEFT JOIN hits AS h ON h.label = g.label AND h.split = s.split AND h.quantile = g.quantile
ORDER BY g.label, s.split, g.quantile
