-- localization by concept_vector: the token counts of one label at the threshold of every delta from the selected one on.
-- grain: split, quantile
-- reads: label_scores; thresholds (one partition)
-- parameters: $label; $concept; $delta and $threshold, those of the selection
-- A token is predicted iff its sample is detected (a token reaches the selected threshold) and its score reaches the
-- threshold of delta_i. Counts run over all content tokens of the split, those of undetected samples included.
WITH grid AS (
    SELECT levels()[list_position(deltas(), t.delta)] AS quantile, t.threshold::FLOAT AS threshold
    FROM thresholds AS t
    WHERE t.detector = 'superactivator' AND t.label = $label AND t.concept = $concept AND t.delta >= $delta
),
candidates AS (
    SELECT split, score, in_concept
    FROM label_scores
    WHERE
        score >= (SELECT min(threshold) FROM grid)
        AND sample IN (SELECT sample FROM label_scores WHERE score >= $threshold::FLOAT)
),
hits AS (
    SELECT c.split, g.quantile, count(*) FILTER (c.in_concept) AS tp, count(*) FILTER (NOT c.in_concept) AS fp
    FROM grid AS g
    JOIN candidates AS c ON c.score >= g.threshold
    GROUP BY c.split, g.quantile
),
totals AS (
    SELECT split, count(*) FILTER (in_concept) AS positives, count(*) AS n
    FROM label_scores
    GROUP BY split
)
SELECT
    $label AS label,
    'concept_vector' AS localizer,
    s.split,
    g.quantile,
    coalesce(h.tp, 0) AS tp,
    coalesce(h.fp, 0) AS fp,
    coalesce(t.positives, 0) AS positives,
    coalesce(t.n, 0) AS n
FROM (VALUES ('cal'), ('test')) AS s (split)
CROSS JOIN grid AS g
LEFT JOIN totals AS t ON t.split = s.split
LEFT JOIN hits AS h ON h.split = s.split AND h.quantile = g.quantile
ORDER BY s.split, g.quantile
