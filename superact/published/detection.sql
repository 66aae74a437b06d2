-- detection: the confusion of one detector on one split, with the rates that the published tables have beside.
-- grain: delta, label, concept (one concept set at one layer, one detector and split)
-- reads: detection, thresholds, selection
-- parameters: $dataset, $model, $layer, $concept_set, $unit, $detector, $split
-- Only labels with a positive in the split and a threshold: the others have nothing to be measured by. chosen: the concept
-- that selection has for the label.
SELECT
    d.delta,
    d.label,
    d.concept,
    s.concept IS NOT NULL AS chosen,
    t.threshold,
    d."precision",
    d.recall,
    d.accuracy,
    d.f1,
    d.fpr,
    d.recall AS tpr,
    ratio(d.tn, d.tn + d.fp) AS tnr,
    ratio(d.fn, d.fn + d.tp) AS fnr,
    d.tp,
    d.tn,
    d.fp,
    d.fn,
    d.tp + d.fp AS n_detected,
    d.tp + d.fn AS n_gt_positive
FROM detection AS d
JOIN thresholds AS t
    ON t.dataset = d.dataset AND t.model = d.model AND t.layer = d.layer AND t.concept_set = d.concept_set
    AND t.unit = d.unit AND t.detector = d.detector AND t.label = d.label AND t.concept = d.concept AND t.delta = d.delta
LEFT JOIN selection AS s
    ON s.dataset = d.dataset AND s.model = d.model AND s.layer = d.layer AND s.concept_set = d.concept_set
    AND s.unit = d.unit AND s.detector = d.detector AND s.label = d.label AND s.concept = d.concept
WHERE
    d.dataset = $dataset
    AND d.model = $model
    AND d.layer = $layer
    AND d.concept_set = $concept_set
    AND d.unit = $unit
    AND d.detector = $detector
    AND d.split = $split
    AND d.tp + d.fn > 0
ORDER BY d.delta, d.label, try_cast(d.concept AS BIGINT), d.concept
