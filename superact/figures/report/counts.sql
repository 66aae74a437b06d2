-- counts: the confusion on test of the concept that each detector reads for each label, at every delta of the grid.
-- grain: layer, unit, detector, label, delta
-- reads: selection, detection, thresholds
-- parameters: $dataset, $model, $concept_set
-- threshold: as scores are compared with it, a FLOAT.
WITH chosen AS NOT MATERIALIZED (
    SELECT layer, unit, detector, label, concept
    FROM selection
    WHERE dataset = $dataset AND model = $model AND concept_set = $concept_set AND concept IS NOT NULL
),
cuts AS NOT MATERIALIZED (
    SELECT layer, unit, detector, label, concept, delta, threshold::FLOAT AS threshold
    FROM thresholds
    WHERE dataset = $dataset AND model = $model AND concept_set = $concept_set
),
counted AS NOT MATERIALIZED (
    SELECT layer, unit, detector, label, concept, delta, tp, fp, fn, tn
    FROM detection
    WHERE dataset = $dataset AND model = $model AND concept_set = $concept_set AND split = 'test'
)
SELECT c.layer, c.unit, c.detector, c.label, t.delta, t.threshold, d.tp, d.fp, d.fn, d.tn
FROM chosen AS c
JOIN cuts AS t
    ON t.layer = c.layer AND t.unit = c.unit AND t.detector = c.detector AND t.label = c.label AND t.concept = c.concept
JOIN counted AS d
    ON d.layer = c.layer AND d.unit = c.unit AND d.detector = c.detector AND d.label = c.label AND d.concept = c.concept
    AND d.delta = t.delta
ORDER BY c.layer, c.unit, c.detector, c.label, t.delta
