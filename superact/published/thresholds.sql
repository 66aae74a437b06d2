-- thresholds: the thresholds of one detector that are there.
-- grain: delta, label, concept (one concept set at one layer and one detector)
-- reads: thresholds
-- parameters: $dataset, $model, $layer, $concept_set, $unit, $detector
SELECT delta, label, concept, threshold
FROM thresholds
WHERE
    dataset = $dataset
    AND model = $model
    AND layer = $layer
    AND concept_set = $concept_set
    AND unit = $unit
    AND detector = $detector
    AND threshold IS NOT NULL
ORDER BY delta, label, try_cast(concept AS BIGINT), concept
