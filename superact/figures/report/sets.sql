-- sets: what eval has selected for: the concept sets of a dataset and model by layer and unit.
-- grain: concept_set, layer, unit
-- reads: selection, concept_sets
-- parameters: $dataset, $model
SELECT s.concept_set, s.layer, s.unit, c.method, c.score AS measure, c.supervised, c.k
FROM (
    SELECT DISTINCT concept_set, layer, unit
    FROM selection
    WHERE dataset = $dataset AND model = $model
) AS s
JOIN concept_sets AS c
    ON c.dataset = $dataset AND c.model = $model AND c.concept_set = s.concept_set AND c.layer = s.layer AND c.unit = s.unit
ORDER BY s.concept_set, s.layer, s.unit
