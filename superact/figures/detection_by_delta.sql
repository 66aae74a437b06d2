-- detection_by_delta: test confusion at every delta of what was selected on cal for each label.
-- grain: dataset, model, concept_set, unit, detector, label, delta
-- reads: selection, layer_selection, detection
-- parameters: $dataset, $model, $detectors; $layers, one, NULL for the layer chosen for each label; $concept_sets and $labels, NULL
-- for all
WITH chosen AS (
    SELECT s.dataset, s.model, s.layer, s.concept_set, s.unit, s.detector, s.label, s.concept, s.delta AS selected_delta
    FROM selection AS s
    JOIN layer_selection AS l
        ON l.dataset = s.dataset AND l.model = s.model AND l.concept_set = s.concept_set AND l.unit = s.unit
        AND l.detector = s.detector AND l.label = s.label
    WHERE
        s.dataset = $dataset::VARCHAR
        AND s.model = $model::VARCHAR
        AND s.concept IS NOT NULL
        AND list_contains($detectors::VARCHAR[], s.detector)
        AND CASE WHEN $layers::INTEGER[] IS NULL THEN s.layer = l.layer ELSE list_contains($layers::INTEGER[], s.layer) END
        AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], s.concept_set))
        AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], s.label))
)
SELECT
    d.dataset,
    d.model,
    d.layer,
    d.concept_set,
    d.method,
    d.unit,
    d.detector,
    d.label,
    d.delta,
    d.tp,
    d.fp,
    d.fn,
    d.tn,
    c.selected_delta
FROM chosen AS c
JOIN detection AS d
    ON d.dataset = c.dataset AND d.model = c.model AND d.layer = c.layer AND d.concept_set = c.concept_set AND d.unit = c.unit
    AND d.detector = c.detector AND d.label = c.label AND d.concept = c.concept AND d.split = 'test'
WHERE d.tp IS NOT NULL
ORDER BY d.concept_set, d.unit, d.detector, d.label, d.layer, d.delta
