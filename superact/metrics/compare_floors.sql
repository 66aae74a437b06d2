-- compare_floors: what a detector without any signal reaches over the labels that a comparison averages over.
-- grain: dataset, model (NULL: of a comparison of prompted models alone)
-- reads: layer_selection, selection, summary, prompt_detection, label_floors (views of a session: path keys are columns)
-- parameters: $dataset, $model and $unit, NULL for any; $layer, NULL for the layer chosen for each label
-- Labels with a test positive that some detector could calibrate, or that a prompted model was asked about, which stands in every
-- comparison of its dataset. View floors takes every evaluated label instead.
WITH chosen AS (
    SELECT dataset, model, unit, label
    FROM layer_selection
    WHERE $layer::INTEGER IS NULL AND f1_cal IS NOT NULL
    UNION ALL
    SELECT dataset, model, unit, label
    FROM selection
    WHERE layer = $layer::INTEGER AND f1_cal IS NOT NULL
),
judged AS (
    SELECT DISTINCT dataset, model, label
    FROM chosen
    WHERE
        ($dataset::VARCHAR IS NULL OR dataset = $dataset::VARCHAR)
        AND ($model::VARCHAR IS NULL OR model = $model::VARCHAR)
        AND ($unit::VARCHAR IS NULL OR unit = $unit::VARCHAR)
),
prompted AS (
    SELECT DISTINCT p.dataset, p.label
    FROM prompt_detection AS p
    JOIN summary AS s ON s.dataset = p.dataset AND s.model = p.model AND s.unit = 'sample'
    WHERE $dataset::VARCHAR IS NULL OR p.dataset = $dataset::VARCHAR
),
sets AS (
    SELECT DISTINCT dataset, model
    FROM summary
    WHERE
        unit <> 'sample'
        AND ($model::VARCHAR IS NULL OR model = $model::VARCHAR)
        AND ($unit::VARCHAR IS NULL OR unit = $unit::VARCHAR)
),
compared AS (
    SELECT dataset, model, label
    FROM judged
    UNION
    SELECT p.dataset, s.model, p.label
    FROM prompted AS p
    JOIN sets AS s ON s.dataset = p.dataset
    UNION
    SELECT dataset, NULL AS model, label
    FROM prompted
)
SELECT
    j.dataset,
    j.model,
    fsum(f.always_f1 * f.n_positive) / sum(f.n_positive) AS always,
    fsum(f.coin_f1 * f.n_positive) / sum(f.n_positive) AS coin,
    count(*) AS n_labels,
    sum(f.n_positive)::BIGINT AS n_positive
FROM compared AS j
JOIN label_floors AS f ON f.dataset = j.dataset AND f.label = j.label
GROUP BY j.dataset, j.model
