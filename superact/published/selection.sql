-- selection: what was chosen on cal for every label and detector, and what it reaches on test.
-- grain: detector, label (one concept set at one layer)
-- reads: selection, detection
-- parameters: $dataset, $model, $layer, $concept_set, $unit
-- Labels that could not be calibrated are left out. f1_test is NULL without a test positive.
SELECT
    s.detector,
    s.label,
    s.concept,
    s.delta,
    s.threshold,
    s.f1_cal,
    CASE WHEN d.tp + d.fn > 0 THEN d.f1 END AS f1_test
FROM selection AS s
LEFT JOIN detection AS d
    ON d.dataset = s.dataset AND d.model = s.model AND d.layer = s.layer AND d.concept_set = s.concept_set
    AND d.unit = s.unit AND d.detector = s.detector AND d.label = s.label AND d.concept = s.concept AND d.delta = s.delta
    AND d.split = 'test'
WHERE
    s.dataset = $dataset
    AND s.model = $model
    AND s.layer = $layer
    AND s.concept_set = $concept_set
    AND s.unit = $unit
    AND s.f1_cal IS NOT NULL
ORDER BY s.detector, s.label
