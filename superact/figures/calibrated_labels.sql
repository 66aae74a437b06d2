-- calibrated_labels: the labels for which a concept set has a threshold of detector superactivator.
-- grain: label
-- reads: selection
-- parameters: $dataset, $model, $concept_set; $layer, NULL for any
SELECT label
FROM selection
WHERE
    dataset = $dataset
    AND model = $model
    AND concept_set = $concept_set
    AND ($layer::INTEGER IS NULL OR layer = $layer::INTEGER)
    AND unit = 'token'
    AND detector = 'superactivator'
    AND concept IS NOT NULL
GROUP BY label
ORDER BY label
