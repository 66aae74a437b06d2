-- precision_recall: precision and recall on test at every sample score, and at the threshold that was selected on cal.
-- grain: dataset, model, concept_set, label, selected, threshold
-- reads: precision_recall, selection, layer_selection, detection
-- parameters: $dataset, $model, $detector; $layers, one, NULL for the layer chosen for each label; $concept_sets and $labels, NULL
-- for all
-- selected: the row of the selected delta, by the counts of table detection.
WITH chosen AS (
    SELECT s.dataset, s.model, s.layer, s.concept_set, s.method, s.unit, s.detector, s.label, s.concept, s.delta, s.threshold
    FROM selection AS s
    JOIN layer_selection AS l
        ON l.dataset = s.dataset AND l.model = s.model AND l.concept_set = s.concept_set AND l.unit = s.unit
        AND l.detector = s.detector AND l.label = s.label
    WHERE
        s.dataset = $dataset::VARCHAR
        AND s.model = $model::VARCHAR
        AND s.concept IS NOT NULL
        AND s.detector = $detector::VARCHAR
        AND CASE WHEN $layers::INTEGER[] IS NULL THEN s.layer = l.layer ELSE list_contains($layers::INTEGER[], s.layer) END
        AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], s.concept_set))
        AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], s.label))
)
SELECT
    c.dataset,
    c.model,
    c.layer,
    c.concept_set,
    c.method,
    c.label,
    false AS selected,
    p.threshold::DOUBLE AS threshold,
    p.precision,
    p.recall
FROM chosen AS c
JOIN precision_recall AS p
    ON p.dataset = c.dataset AND p.model = c.model AND p.layer = c.layer AND p.concept_set = c.concept_set AND p.unit = c.unit
    AND p.detector = c.detector AND p.label = c.label
WHERE p.dataset = $dataset::VARCHAR AND p.model = $model::VARCHAR AND p.detector = $detector::VARCHAR
UNION ALL
SELECT
    c.dataset,
    c.model,
    c.layer,
    c.concept_set,
    c.method,
    c.label,
    true AS selected,
    c.threshold,
    d.precision,
    d.recall
FROM chosen AS c
JOIN detection AS d
    ON d.dataset = c.dataset AND d.model = c.model AND d.layer = c.layer AND d.concept_set = c.concept_set AND d.unit = c.unit
    AND d.detector = c.detector AND d.label = c.label AND d.concept = c.concept AND d.delta = c.delta AND d.split = 'test'
WHERE d.tp IS NOT NULL
ORDER BY concept_set, label, layer, selected, threshold DESC
