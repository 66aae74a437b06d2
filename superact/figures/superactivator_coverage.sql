-- superactivator_coverage: how many of the in-concept tokens of each test sample are superactivators.
-- grain: dataset, model, concept_set, label, sample
-- reads: superactivator_ratio, layer_selection
-- parameters: $dataset, $model; $layers, one, NULL for the layer chosen for each label; $concept_sets and $labels, NULL for all
SELECT
    r.dataset,
    r.model,
    r.layer,
    r.concept_set,
    r.label,
    r.sample,
    r.n_superactivators_in_concept,
    r.n_in_concept
FROM superactivator_ratio AS r
JOIN layer_selection AS l
    ON l.dataset = r.dataset AND l.model = r.model AND l.concept_set = r.concept_set AND l.unit = 'token'
    AND l.detector = 'superactivator' AND l.label = r.label
WHERE
    r.dataset = $dataset::VARCHAR
    AND r.model = $model::VARCHAR
    AND CASE WHEN $layers::INTEGER[] IS NULL THEN r.layer = l.layer ELSE list_contains($layers::INTEGER[], r.layer) END
    AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], r.concept_set))
    AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], r.label))
ORDER BY r.concept_set, r.label, r.sample
