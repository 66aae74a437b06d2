-- superactivators: the content tokens that reach the threshold selected on cal for detector superactivator.
-- grain: dataset, model, layer, concept_set, label, sample, token
-- in_concept: the token carries the label. Features of sparse autoencoders are read from sae_activations: a threshold lies above 0.
WITH chosen AS NOT MATERIALIZED (
    SELECT
        s.dataset,
        s.model,
        s.layer,
        s.concept_set,
        s.unit,
        s.label,
        s.concept,
        s.threshold,
        c.score AS measure
    FROM selection AS s
    JOIN concept_sets AS c
        ON c.dataset = s.dataset AND c.model = s.model AND c.layer = s.layer AND c.concept_set = s.concept_set
        AND c.unit = s.unit
    WHERE s.detector = 'superactivator' AND s.unit = 'token'
),
reached AS NOT MATERIALIZED (
    SELECT
        chosen.dataset,
        chosen.model,
        chosen.layer,
        chosen.concept_set,
        chosen.label,
        a.sample,
        a.token,
        score_of(chosen.measure, a.cosine, a.signed_distance) AS score,
        chosen.threshold
    FROM chosen
    JOIN activations AS a
        ON a.dataset = chosen.dataset AND a.model = chosen.model AND a.layer = chosen.layer
        AND a.concept_set = chosen.concept_set AND a.unit = chosen.unit AND a.concept = chosen.concept
    WHERE score_of(chosen.measure, a.cosine, a.signed_distance) >= chosen.threshold::FLOAT
    UNION ALL
    SELECT
        chosen.dataset,
        chosen.model,
        chosen.layer,
        chosen.concept_set,
        chosen.label,
        f.sample,
        f.token,
        f.activation AS score,
        chosen.threshold
    FROM chosen
    JOIN sae_activations AS f
        ON f.dataset = chosen.dataset AND f.model = chosen.model AND f.layer = chosen.layer
        AND f.concept_set = chosen.concept_set AND f.unit = chosen.unit AND f.feature = try_cast(chosen.concept AS INTEGER)
    WHERE chosen.measure = 'activation' AND f.activation >= chosen.threshold::FLOAT
)
SELECT
    r.dataset,
    r.model,
    r.layer,
    r.concept_set,
    r.label,
    r.sample,
    r.token,
    s.split,
    t.text,
    r.score,
    r.threshold,
    tl.label IS NOT NULL AS in_concept
FROM reached AS r
JOIN samples AS s ON s.dataset = r.dataset AND s.sample = r.sample
LEFT JOIN tokens AS t ON t.dataset = r.dataset AND t.model = r.model AND t.sample = r.sample AND t.token = r.token
LEFT JOIN token_labels AS tl
    ON tl.dataset = r.dataset AND tl.model = r.model AND tl.sample = r.sample AND tl.token = r.token AND tl.label = r.label
