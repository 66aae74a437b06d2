-- selected: the concept and delta that were selected on cal for one label, detector and concept set at one layer.
-- grain: one row, none where nothing was evaluated
-- reads: selection, concept_sets
-- parameters: $dataset, $model, $layer, $concept_set, $unit, $detector, $label
-- concept, delta and threshold are NULL for a label that could not be calibrated.
SELECT s.concept, s.delta, s.threshold, s.f1_cal, s.method, c.score AS measure
FROM selection AS s
JOIN concept_sets AS c
    ON c.dataset = s.dataset AND c.model = s.model AND c.layer = s.layer AND c.concept_set = s.concept_set AND c.unit = s.unit
WHERE
    s.dataset = $dataset
    AND s.model = $model
    AND s.layer = $layer
    AND s.concept_set = $concept_set
    AND s.unit = $unit
    AND s.detector = $detector
    AND s.label = $label
