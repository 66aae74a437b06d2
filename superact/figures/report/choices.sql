-- choices: what was selected on cal for every label and detector of a concept set, layer by layer.
-- grain: layer, unit, detector, label
-- reads: selection
-- parameters: $dataset, $model, $concept_set
SELECT layer, unit, detector, label, concept, delta, threshold, f1_cal
FROM selection
WHERE dataset = $dataset AND model = $model AND concept_set = $concept_set
ORDER BY layer, unit, detector, label
