-- localization: the token confusion of every localizer: the whole grid on cal, on test the row chosen on cal.
-- grain: label, localizer, split, quantile
-- reads: localization_counts, selection (one partition); localization_floors (one dataset and model)
-- parameters: none
-- Chosen on cal: largest token F1, ties to the first of the grid: the smallest delta_i (concept_vector, whose quantile is the
-- level of delta_i and falls with it) or the smallest q. Floors have nothing to choose, and no concept. Only labels with a
-- selection have rows.
WITH selected AS (
    SELECT label, concept, delta
    FROM selection
    WHERE detector = 'superactivator' AND threshold IS NOT NULL
),
counted AS (
    SELECT c.label, c.localizer, c.split, c.quantile, s.concept, s.delta, c.tp, c.fp, c.positives, c.n
    FROM localization_counts AS c
    JOIN selected AS s ON s.label = c.label
    UNION ALL
    SELECT f.label, f.localizer, f.split, f.quantile, NULL AS concept, NULL AS delta, f.tp, f.fp, f.positives, f.n
    FROM localization_floors AS f
    JOIN selected AS s ON s.label = f.label
),
measured AS (
    SELECT
        label,
        localizer,
        split,
        quantile,
        concept,
        delta,
        tp,
        fp,
        positives - tp AS fn,
        n - positives - fp AS tn,
        ratio(2 * tp, tp + fp + positives) AS f1
    FROM counted
),
chosen AS (
    SELECT label, localizer, quantile
    FROM measured
    WHERE split = 'cal'
    QUALIFY row_number() OVER (
        PARTITION BY label, localizer
        ORDER BY f1 DESC, CASE localizer WHEN 'concept_vector' THEN -quantile ELSE quantile END
    ) = 1
)
SELECT
    m.label,
    m.localizer,
    m.split,
    m.quantile,
    m.concept,
    m.delta,
    m.tp,
    m.fp,
    m.fn,
    m.tn,
    ratio(m.tp, m.tp + m.fp) AS "precision",
    ratio(m.tp, m.tp + m.fn) AS recall,
    m.f1,
    ratio(m.tp + m.tn, m.tp + m.fp + m.fn + m.tn) AS accuracy,
    ratio(m.tp, m.tp + m.fp + m.fn) AS iou
FROM measured AS m
WHERE m.split = 'cal' OR (m.label, m.localizer, m.quantile) IN (SELECT (c.label, c.localizer, c.quantile) FROM chosen AS c)
ORDER BY m.label, m.localizer, m.split, m.quantile
