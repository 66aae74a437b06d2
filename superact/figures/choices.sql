-- choices: the layer and delta that were chosen on cal for each label.
-- grain: dataset, model, concept_set, unit, detector, label
-- reads: selection, layer_selection
-- parameters: $dataset, $model; $layers, NULL for the layer chosen for each label; $concept_sets, $detectors and $labels, NULL for all
-- A label that could not be calibrated chose nothing and has no row.
WITH chosen AS (
    SELECT dataset, model, concept_set, method, unit, detector, label, layer, delta
    FROM layer_selection
    WHERE $layers::INTEGER[] IS NULL
    UNION ALL
    SELECT dataset, model, concept_set, method, unit, detector, label, layer, delta
    FROM selection
    WHERE list_contains($layers::INTEGER[], layer)
)
SELECT *
FROM chosen
WHERE
    dataset = $dataset::VARCHAR
    AND model = $model::VARCHAR
    AND delta IS NOT NULL
    AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], concept_set))
    AND ($detectors::VARCHAR[] IS NULL OR list_contains($detectors::VARCHAR[], detector))
    AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], label))
ORDER BY concept_set, detector, label, layer
