-- summaries: weighted test F1 of every detector, at every layer or with each label at its own.
-- grain: dataset, model, concept_set, unit, detector, layer
-- reads: summary
-- parameters: $dataset, $model, $layer_choice; $layers, $concept_sets, $detectors and $units, NULL for all
SELECT dataset, model, concept_set, method, unit, detector, layer, f1, ci_low, ci_high, n_labels, n_positive
FROM summary
WHERE
    dataset = $dataset::VARCHAR
    AND model = $model::VARCHAR
    AND unit <> 'sample'
    AND f1 IS NOT NULL
    AND layer_choice = $layer_choice::VARCHAR
    AND ($layers::INTEGER[] IS NULL OR list_contains($layers::INTEGER[], layer))
    AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], concept_set))
    AND ($detectors::VARCHAR[] IS NULL OR list_contains($detectors::VARCHAR[], detector))
    AND ($units::VARCHAR[] IS NULL OR list_contains($units::VARCHAR[], unit))
ORDER BY concept_set, unit, detector, layer
