-- separations: how far in-concept test tokens stand from the others, and what the tail beyond the selected threshold holds.
-- grain: layer, label
-- reads: separation, selection
-- parameters: $dataset, $model, $concept_set
SELECT
    s.layer,
    s.label,
    s.concept,
    s.delta,
    c.threshold,
    s.overlap,
    s.auc,
    s.cohens_d,
    s.tail_mass,
    s.tail_coverage,
    s.tail_precision,
    s.n_in,
    s.n_out
FROM separation AS s
LEFT JOIN selection AS c
    ON c.dataset = s.dataset AND c.model = s.model AND c.layer = s.layer AND c.concept_set = s.concept_set
    AND c.unit = 'token' AND c.detector = 'superactivator' AND c.label = s.label
WHERE s.dataset = $dataset AND s.model = $model AND s.concept_set = $concept_set
ORDER BY s.layer, s.label
