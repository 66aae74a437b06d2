-- null_summary: what every detector reaches on shuffled labels, at every layer and at the layer chosen for each label.
-- grain: layer_choice, layer, detector (one concept set, unit and shuffle)
-- reads: layer_choices (all layers), layer_selection
-- parameters: $unit; $layers, all of them; $shuffle
-- Averaged like summary: over labels with a selection and a test positive, weighted by test positives.
WITH kinds AS (
    SELECT k.detector, c.layer_choice, c.layer
    FROM detectors() AS k
    CROSS JOIN (
        SELECT 'fixed' AS layer_choice, unnest($layers)::INTEGER AS layer
        UNION ALL
        SELECT 'best' AS layer_choice, NULL AS layer
    ) AS c
    WHERE k.unit = $unit
),
chosen AS (
    SELECT 'fixed' AS layer_choice, layer, detector, f1_cal, tp, fp, fn
    FROM layer_choices
    UNION ALL
    SELECT 'best' AS layer_choice, NULL AS layer, c.detector, c.f1_cal, c.tp, c.fp, c.fn
    FROM layer_choices AS c
    JOIN layer_selection AS s ON s.detector = c.detector AND s.label = c.label AND s.layer = c.layer
),
averaged AS (
    SELECT
        layer_choice,
        layer,
        detector,
        fsum(f1_cal * (tp + fn)) / sum(tp + fn) AS f1_cal,
        fsum(ratio(2 * tp, 2 * tp + fp + fn) * (tp + fn)) / sum(tp + fn) AS f1,
        count(*) AS n_labels,
        sum(tp + fn)::BIGINT AS n_positive
    FROM chosen
    WHERE tp + fn > 0
    GROUP BY layer_choice, layer, detector
)
SELECT
    kinds.layer_choice,
    kinds.layer,
    kinds.detector,
    $shuffle::INTEGER AS shuffle,
    a.f1_cal,
    a.f1,
    coalesce(a.n_labels, 0) AS n_labels,
    coalesce(a.n_positive, 0) AS n_positive
FROM kinds
LEFT JOIN averaged AS a
    ON a.detector = kinds.detector AND a.layer_choice = kinds.layer_choice AND a.layer IS NOT DISTINCT FROM kinds.layer
ORDER BY kinds.detector, kinds.layer_choice, kinds.layer
