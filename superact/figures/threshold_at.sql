-- threshold_at: the threshold of one concept for one label and detector at one delta.
-- grain: one row, none for a delta that is not of the grid
-- reads: thresholds
-- parameters: $dataset, $model, $layer, $concept_set, $unit, $detector, $label, $concept, $delta
SELECT threshold
FROM thresholds
WHERE
    dataset = $dataset
    AND model = $model
    AND layer = $layer
    AND concept_set = $concept_set
    AND unit = $unit
    AND detector = $detector
    AND label = $label
    AND concept = $concept
    AND delta = $delta
