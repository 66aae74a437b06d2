-- localization by superactivator_global and superactivator_local: the token counts of one label at every q.
-- grain: localizer, split, quantile
-- reads: localization_scores (one partition); label_scores; samples, token_labels
-- parameters: $label
-- localization_scores holds the cosines of the content tokens of detected samples. A token is predicted iff its cosine
-- reaches the q-quantile of those of its split: label-free, but the one place where test data set a cut-off.
WITH aligned AS (
    SELECT s.split, l.global_cosine, l.local_cosine, tl.label IS NOT NULL AS in_concept
    FROM localization_scores AS l
    JOIN samples AS s ON s.sample = l.sample
    LEFT JOIN token_labels AS tl ON tl.sample = l.sample AND tl.token = l.token AND tl.label = $label
    WHERE l.label = $label
),
cosines AS (
    SELECT 'superactivator_global' AS localizer, split, global_cosine AS cosine, in_concept
    FROM aligned
    UNION ALL
    SELECT 'superactivator_local' AS localizer, split, local_cosine AS cosine, in_concept
    FROM aligned
),
cuts AS (
    SELECT
        localizer,
        split,
        unnest(deltas()) AS quantile,
        unnest(quantile_cont(cosine::DOUBLE, deltas()))::FLOAT AS cut
    FROM cosines
    GROUP BY localizer, split
),
hits AS (
    SELECT
        c.localizer,
        c.split,
        u.quantile,
        count(*) FILTER (c.in_concept) AS tp,
        count(*) FILTER (NOT c.in_concept) AS fp
    FROM cosines AS c
    JOIN cuts AS u ON u.localizer = c.localizer AND u.split = c.split AND c.cosine >= u.cut
    GROUP BY c.localizer, c.split, u.quantile
),
totals AS (
    SELECT split, count(*) FILTER (in_concept) AS positives, count(*) AS n
    FROM label_scores
    GROUP BY split
)
SELECT
    $label AS label,
    k.localizer,
    s.split,
    g.quantile,
    coalesce(h.tp, 0) AS tp,
    coalesce(h.fp, 0) AS fp,
    coalesce(t.positives, 0) AS positives,
    coalesce(t.n, 0) AS n
FROM (VALUES ('superactivator_global'), ('superactivator_local')) AS k (localizer)
CROSS JOIN (VALUES ('cal'), ('test')) AS s (split)
CROSS JOIN (SELECT unnest(deltas()) AS quantile) AS g
LEFT JOIN totals AS t ON t.split = s.split
LEFT JOIN hits AS h ON h.localizer = k.localizer AND h.split = s.split AND h.quantile = g.quantile
ORDER BY k.localizer, s.split, g.quantile
