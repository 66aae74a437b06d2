-- sample_tokens: the content tokens of a few samples with their scores for one concept, their truth, and whether they are
--   superactivators.
-- grain: sample, token
-- reads: tokens, token_labels, activations, sae_activations
-- parameters: $dataset, $model, $layer, $concept_set; $concept, the one selected for $label (of a sparse autoencoder: the feature,
--   as text); $measure; $threshold (DOUBLE or NULL); $samples, a list; $first and $last, its least and greatest
-- A concept set has its scores in one of the two tables; the other has no file of it. Both are clustered by concept: the
-- equality with $concept keeps all other row groups unread; for tokens the range of samples does. What a sparse autoencoder
-- stores nothing of is 0.
WITH scored AS (
    SELECT sample, token, score_of($measure, cosine, signed_distance) AS score
    FROM activations
    WHERE
        dataset = $dataset
        AND model = $model
        AND layer = $layer
        AND concept_set = $concept_set
        AND unit = 'token'
        AND concept = $concept
        AND sample BETWEEN $first AND $last
    UNION ALL
    SELECT sample, token, activation AS score
    FROM sae_activations
    WHERE
        dataset = $dataset
        AND model = $model
        AND layer = $layer
        AND concept_set = $concept_set
        AND unit = 'token'
        AND feature = CASE WHEN $measure = 'activation' THEN $concept::INTEGER END
        AND sample BETWEEN $first AND $last
)
SELECT
    t.sample,
    t.token,
    t.text,
    t.char_start,
    t.char_end,
    t."row",
    t.col,
    coalesce(s.score, 0.0::FLOAT) AS score,
    l.token IS NOT NULL AS in_concept,
    detected(s.score, $threshold::DOUBLE) AS superactivator
FROM tokens AS t
LEFT JOIN scored AS s ON s.sample = t.sample AND s.token = t.token
LEFT JOIN token_labels AS l
    ON l.dataset = $dataset AND l.model = $model AND l.label = $label AND l.sample = t.sample AND l.token = t.token
    AND l.sample BETWEEN $first AND $last
WHERE
    t.dataset = $dataset
    AND t.model = $model
    AND t.is_content
    AND t.sample BETWEEN $first AND $last
    AND list_contains($samples::INTEGER[], t.sample)
    AND (s.score IS NOT NULL OR $measure = 'activation')
ORDER BY t.sample, t.token
