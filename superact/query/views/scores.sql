-- scores: every stored score with its sample's split, the token's text or place, and whether the token carries the concept.
-- grain: dataset, model, layer, concept_set, unit, concept, sample, token
-- in_concept: unit token: a token_labels row for the concept's name; unit cls: a sample_labels row. Features of sparse autoencoders
-- are not among them: sae_activations has what is active, and an absent row is 0.
SELECT
    a.dataset,
    a.model,
    a.layer,
    a.concept_set,
    a.unit,
    a.concept,
    a.sample,
    a.token,
    s.split,
    t.text,
    t."row",
    t.col,
    a.cosine,
    a.signed_distance,
    CASE c.score WHEN 'cosine' THEN a.cosine ELSE a.signed_distance END AS score,
    coalesce(tl.label, sl.label) IS NOT NULL AS in_concept
FROM activations AS a
JOIN samples AS s ON s.dataset = a.dataset AND s.sample = a.sample
JOIN concept_sets AS c
    ON c.dataset = a.dataset AND c.model = a.model AND c.layer = a.layer AND c.concept_set = a.concept_set AND c.unit = a.unit
LEFT JOIN tokens AS t
    ON t.dataset = a.dataset AND t.model = a.model AND t.sample = a.sample AND t.token = a.token
LEFT JOIN token_labels AS tl
    ON tl.dataset = a.dataset AND tl.model = a.model AND tl.sample = a.sample AND tl.token = a.token AND tl.label = a.concept
LEFT JOIN sample_labels AS sl
    ON a.token = -1 AND sl.dataset = a.dataset AND sl.sample = a.sample AND sl.label = a.concept
