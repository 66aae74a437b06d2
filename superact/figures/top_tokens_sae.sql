-- top_tokens_sae: the content tokens of a split with the largest scores for one concept.
-- grain: sample, token
-- reads: sae_activations, samples, token_labels
-- parameters: $dataset, $model, $layer, $concept_set; $concept, the one selected for $label; $threshold (DOUBLE or NULL);
--   $split; $k, how many; $per_sample, the most of one sample
WITH ranked AS (
    SELECT a.sample, a.token, a.activation AS score
    FROM sae_activations AS a
    JOIN samples AS s ON s.dataset = $dataset AND s.split = $split AND s.sample = a.sample
    WHERE
        a.dataset = $dataset
        AND a.model = $model
        AND a.layer = $layer
        AND a.concept_set = $concept_set
        AND a.unit = 'token'
        AND a.feature = $concept::INTEGER
    QUALIFY row_number() OVER (PARTITION BY a.sample ORDER BY score DESC, a.token) <= $per_sample
    ORDER BY score DESC, a.sample, a.token
    LIMIT $k
)
SELECT
    r.sample,
    r.token,
    r.score,
    l.token IS NOT NULL AS in_concept,
    detected(r.score, $threshold::DOUBLE) AS superactivator
FROM ranked AS r
LEFT JOIN token_labels AS l
    ON l.dataset = $dataset AND l.model = $model AND l.label = $label AND l.sample = r.sample AND l.token = r.token
ORDER BY r.score DESC, r.sample, r.token
