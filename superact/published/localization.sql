-- localization: the token confusion of the two localizers that the published code has.
-- grain: localizer, split, label, quantile (one concept set at one layer)
-- reads: localization, thresholds
-- parameters: $dataset, $model, $layer, $concept_set
-- invert: delta_i of concept_vector, whose quantile is the level of delta_i; the quantile itself of superactivator_global.
-- threshold: that of delta_i. chosen: the row that split test has, on both splits.
WITH own AS (
    SELECT *
    FROM localization
    WHERE
        dataset = $dataset
        AND model = $model
        AND layer = $layer
        AND concept_set = $concept_set
        AND localizer IN ('concept_vector', 'superactivator_global')
),
named AS (
    SELECT
        *,
        CASE localizer
            WHEN 'concept_vector' THEN deltas()[list_position(levels(), quantile)]
            ELSE quantile
        END AS invert
    FROM own
),
cuts AS (
    SELECT label, concept, delta, threshold
    FROM thresholds
    WHERE
        dataset = $dataset
        AND model = $model
        AND layer = $layer
        AND concept_set = $concept_set
        AND unit = 'token'
        AND detector = 'superactivator'
)
SELECT
    n.localizer,
    n.split,
    n.label,
    n.delta,
    n.invert,
    t.threshold,
    test.label IS NOT NULL AS chosen,
    n.tp,
    n.fp,
    n.tn,
    n.fn,
    n."precision",
    n.recall,
    n.f1,
    n.accuracy
FROM named AS n
LEFT JOIN cuts AS t
    ON n.localizer = 'concept_vector' AND t.label = n.label AND t.concept = n.concept AND t.delta = n.invert
LEFT JOIN own AS test
    ON test.localizer = n.localizer AND test.label = n.label AND test.quantile = n.quantile AND test.split = 'test'
ORDER BY n.localizer, n.split, n.invert, n.label
