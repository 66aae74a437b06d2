-- best_layers: the layer that was best on cal for every label and detector, and what it reaches on test.
-- grain: concept_set, unit, detector, label
-- reads: layer_selection
-- parameters: $dataset, $model
SELECT
    concept_set, unit, detector, label, layer, concept, delta, f1_cal, f1_test, precision_test, recall_test, n_positive
FROM layer_selection
WHERE dataset = $dataset AND model = $model
ORDER BY concept_set, unit, detector, label
