-- summaries: weighted test F1 of every detector of every concept set, layer by layer and with each label at its best layer.
-- grain: concept_set, unit, detector, layer_choice, layer
-- reads: summary
-- parameters: $dataset, $model
SELECT
    concept_set, method, unit, detector, layer_choice, layer, f1, precision, recall, macro_f1, ci_low, ci_high, n_labels, n_positive
FROM summary
WHERE dataset = $dataset AND model = $model AND unit <> 'sample'
ORDER BY concept_set, unit, detector, layer_choice, layer
