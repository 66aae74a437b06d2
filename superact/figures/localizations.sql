-- localizations: token measures of every localizer on test, and how many test samples carry the label.
-- grain: dataset, model, concept_set, label, localizer
-- reads: localization, layer_selection
-- parameters: $dataset, $model; $layers, one, NULL for the layer chosen for each label by detector superactivator; $concept_sets and
-- $labels, NULL for all
SELECT
    z.dataset,
    z.model,
    z.layer,
    z.concept_set,
    z.method,
    z.label,
    z.localizer,
    z.f1,
    z.iou,
    l.n_positive
FROM localization AS z
JOIN layer_selection AS l
    ON l.dataset = z.dataset AND l.model = z.model AND l.concept_set = z.concept_set AND l.unit = 'token'
    AND l.detector = 'superactivator' AND l.label = z.label
WHERE
    z.dataset = $dataset::VARCHAR
    AND z.model = $model::VARCHAR
    AND z.split = 'test'
    AND z.f1 IS NOT NULL
    AND CASE WHEN $layers::INTEGER[] IS NULL THEN z.layer = l.layer ELSE list_contains($layers::INTEGER[], z.layer) END
    AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], z.concept_set))
    AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], z.label))
ORDER BY z.concept_set, z.localizer, z.label, z.layer
