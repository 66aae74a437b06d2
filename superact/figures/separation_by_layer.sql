-- separation_by_layer: how far in-concept test tokens stand from the others, at every layer.
-- grain: dataset, model, layer, concept_set, label
-- reads: separation
-- parameters: $dataset, $model; $layers, $concept_sets and $labels, NULL for all
SELECT
    dataset,
    model,
    layer,
    concept_set,
    label,
    overlap,
    auc,
    cohens_d,
    tail_mass,
    tail_coverage,
    tail_precision
FROM separation
WHERE
    dataset = $dataset::VARCHAR
    AND model = $model::VARCHAR
    AND ($layers::INTEGER[] IS NULL OR list_contains($layers::INTEGER[], layer))
    AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], concept_set))
    AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], label))
ORDER BY concept_set, label, layer
