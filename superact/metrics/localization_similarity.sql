-- localization by superactivator_global and superactivator_local: the token counts of some labels at every q.
-- grain: label, localizer, split, quantile
-- reads: localization_scores (one partition); chosen_labels, label_scores; samples
-- parameters: none
-- localization_scores holds the cosines of the content tokens of detected samples. A token is predicted iff its cosine
-- reaches the q-quantile of those of its split: label-free, but the one place where test data set a cut-off.
WITH inside AS (
    SELECT label, sample, token
    FROM label_scores
    WHERE in_concept
),
aligned AS (
    SELECT l.label, s.split, l.global_cosine, l.local_cosine, i.label IS NOT NULL AS in_concept
    FROM localization_scores AS l
    JOIN samples AS s ON s.sample = l.sample
    LEFT JOIN inside AS i ON i.label = l.label AND i.sample = l.sample AND i.token = l.token
    WHERE l.label IN (SELECT c.label FROM chosen_labels AS c)
),
cosines AS (
    SELECT label, 'superactivator_global' AS localizer, split, global_cosine AS cosine, in_concept
    FROM aligned
    UNION ALL
    SELECT label, 'superactivator_local' AS localizer, split, local_cosine AS cosine, in_concept
    FROM aligned
),
cuts AS (
    SELECT
        label,
        localizer,
        split,
        unnest(deltas()) AS quantile,
        unnest(quantile_cont(cosine::DOUBLE, deltas()))::FLOAT AS cut
    FROM cosines
    GROUP BY label, localizer, split
),
hits AS (
    SELECT
        c.label,
        c.localizer,
        c.split,
        u.quantile,
        count(*) FILTER (c.in_concept) AS tp,
        count(*) FILTER (NOT c.in_concept) AS fp
    FROM cosines AS c
    JOIN cuts AS u ON u.label = c.label AND u.localizer = c.localizer AND u.split = c.split AND c.cosine >= u.cut
    GROUP BY c.label, c.localizer, c.split, u.quantile
),
totals AS (
    SELECT label, split, count(*) FILTER (in_concept) AS positives, count(*) AS n
    FROM label_scores
    GROUP BY label, split
)
SELECT
    b.label,
    k.localizer,
    s.split,
    g.quantile,
    coalesce(h.tp, 0) AS tp,
    coalesce(h.fp, 0) AS fp,
    coalesce(t.positives, 0) AS positives,
    coalesce(t.n, 0) AS n
FROM chosen_labels AS b
CROSS JOIN (VALUES ('superactivator_global'), ('superactivator_local')) AS k (localizer)
CROSS JOIN (VALUES ('cal'), ('test')) AS s (split)
CROSS JOIN (SELECT unnest(deltas()) AS quantile) AS g
LEFT JOIN totals AS t ON t.label = b.label AND t.split = s.split
LEFT JOIN hits AS h ON h.label = b.label AND h.localizer = k.localizer AND h.split = s.split AND h.quantile = g.quantile
ORDER BY b.label, k.localizer, s.split, g.quantile
