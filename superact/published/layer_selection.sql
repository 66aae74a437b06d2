-- layer_selection: the layer that every label of one detector chose on cal, and its test measures.
-- grain: label (one concept set and unit, one detector)
-- reads: layer_selection
-- parameters: $dataset, $model, $concept_set, $unit, $detector
-- Labels that no layer could calibrate are left out; without a test positive there is nothing to measure.
SELECT
    label AS concept,
    layer,
    delta AS best_percentile,
    f1_cal,
    CASE WHEN n_positive > 0 THEN f1_test END AS f1_test,
    CASE WHEN n_positive > 0 THEN precision_test END AS precision_test,
    CASE WHEN n_positive > 0 THEN recall_test END AS recall_test,
    n_positive AS n_gt_positive
FROM layer_selection
WHERE
    dataset = $dataset
    AND model = $model
    AND concept_set = $concept_set
    AND unit = $unit
    AND detector = $detector
    AND layer IS NOT NULL
ORDER BY label
