-- best_layer: the layer that was best on cal for a label and detector of a concept set.
-- grain: one row, none where layers were not selected
-- reads: layer_selection
-- parameters: $dataset, $model, $concept_set, $unit, $detector, $label
SELECT layer
FROM layer_selection
WHERE
    dataset = $dataset
    AND model = $model
    AND concept_set = $concept_set
    AND unit = $unit
    AND detector = $detector
    AND label = $label
