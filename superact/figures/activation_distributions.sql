-- activation_distributions: histograms of the test scores of each label's concept, and the threshold of its superactivators.
-- grain: dataset, model, layer, concept_set, label, population, bin
-- reads: distributions, selection, concept_sets
-- parameters: $dataset, $model; $layers, $concept_sets and $labels, NULL for all
-- threshold: selected on cal for detector superactivator; NULL for a label that could not be calibrated. score: cosine,
-- signed_distance or activation.
SELECT
    d.dataset,
    d.model,
    d.layer,
    d.concept_set,
    c.score,
    d.label,
    d.population,
    d.bin,
    d.lo,
    d.hi,
    d.n,
    d.mass,
    s.threshold
FROM distributions AS d
JOIN concept_sets AS c
    ON c.dataset = d.dataset AND c.model = d.model AND c.layer = d.layer AND c.concept_set = d.concept_set AND c.unit = 'token'
LEFT JOIN selection AS s
    ON s.dataset = d.dataset AND s.model = d.model AND s.layer = d.layer AND s.concept_set = d.concept_set
    AND s.unit = 'token' AND s.detector = 'superactivator' AND s.label = d.label
WHERE
    d.dataset = $dataset::VARCHAR
    AND d.model = $model::VARCHAR
    AND ($layers::INTEGER[] IS NULL OR list_contains($layers::INTEGER[], d.layer))
    AND ($concept_sets::VARCHAR[] IS NULL OR list_contains($concept_sets::VARCHAR[], d.concept_set))
    AND ($labels::VARCHAR[] IS NULL OR list_contains($labels::VARCHAR[], d.label))
ORDER BY d.concept_set, d.label, d.layer, d.population, d.bin
