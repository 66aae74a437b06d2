-- superactivators: the content tokens that reach the threshold selected on cal for detector superactivator.
-- grain: dataset, model, layer, concept_set, label, sample, token
-- in_concept: the token carries the label.
SELECT
    a.dataset,
    a.model,
    a.layer,
    a.concept_set,
    chosen.label,
    a.sample,
    a.token,
    s.split,
    t.text,
    CASE c.score WHEN 'cosine' THEN a.cosine ELSE a.signed_distance END AS score,
    chosen.threshold,
    tl.label IS NOT NULL AS in_concept
FROM selection AS chosen
JOIN concept_sets AS c
    ON c.dataset = chosen.dataset AND c.model = chosen.model AND c.layer = chosen.layer
    AND c.concept_set = chosen.concept_set AND c.unit = chosen.unit
JOIN activations AS a
    ON a.dataset = chosen.dataset AND a.model = chosen.model AND a.layer = chosen.layer
    AND a.concept_set = chosen.concept_set AND a.unit = chosen.unit AND a.concept = chosen.concept
JOIN samples AS s ON s.dataset = a.dataset AND s.sample = a.sample
LEFT JOIN tokens AS t
    ON t.dataset = a.dataset AND t.model = a.model AND t.sample = a.sample AND t.token = a.token
LEFT JOIN token_labels AS tl
    ON tl.dataset = a.dataset AND tl.model = a.model AND tl.sample = a.sample AND tl.token = a.token
    AND tl.label = chosen.label
WHERE
    chosen.detector = 'superactivator'
    AND chosen.unit = 'token'
    AND CASE c.score WHEN 'cosine' THEN a.cosine ELSE a.signed_distance END >= chosen.threshold::FLOAT
