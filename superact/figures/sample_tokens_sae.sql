-- sample_tokens_sae: sample_tokens for a feature of a sparse autoencoder: a content token without a stored activation has 0.
-- grain: sample, token
-- reads: tokens, token_labels, sae_activations
-- parameters: $dataset, $model, $layer, $concept_set; $concept, the feature selected for $label, as text; $threshold (DOUBLE or
--   NULL); $samples, a list; $first and $last, its least and greatest
-- sae_activations is clustered by sample: the range of samples is what keeps all other row groups unread.
WITH active AS (
    SELECT sample, token, activation
    FROM sae_activations
    WHERE
        dataset = $dataset
        AND model = $model
        AND layer = $layer
        AND concept_set = $concept_set
        AND unit = 'token'
        AND sample BETWEEN $first AND $last
        AND feature = $concept::INTEGER
)
SELECT
    t.sample,
    t.token,
    t.text,
    t.char_start,
    t.char_end,
    t."row",
    t.col,
    coalesce(a.activation, 0.0::FLOAT) AS score,
    l.token IS NOT NULL AS in_concept,
    detected(a.activation, $threshold::DOUBLE) AS superactivator
FROM tokens AS t
LEFT JOIN active AS a ON a.sample = t.sample AND a.token = t.token
LEFT JOIN token_labels AS l
    ON l.dataset = $dataset AND l.model = $model AND l.label = $label AND l.sample = t.sample AND l.token = t.token
    AND l.sample BETWEEN $first AND $last
WHERE
    t.dataset = $dataset
    AND t.model = $model
    AND t.is_content
    AND t.sample BETWEEN $first AND $last
    AND list_contains($samples::INTEGER[], t.sample)
ORDER BY t.sample, t.token
