-- sample_tokens: the content tokens of a few samples with their scores for one concept, their truth, and whether they are
--   superactivators.
-- grain: sample, token
-- reads: tokens, token_labels, activations
-- parameters: $dataset, $model, $layer, $concept_set; $concept, the one selected for $label; $measure; $threshold (DOUBLE or
--   NULL); $samples, a list; $first and $last, its least and greatest
-- activations is clustered by concept: the equality with $concept is what keeps all other row groups unread, and the range of
-- samples does it for tokens.
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
        AND list_contains($samples::INTEGER[], sample)
)
SELECT
    t.sample,
    t.token,
    t.text,
    t.char_start,
    t.char_end,
    t."row",
    t.col,
    s.score,
    l.token IS NOT NULL AS in_concept,
    detected(s.score, $threshold::DOUBLE) AS superactivator
FROM tokens AS t
JOIN scored AS s ON s.sample = t.sample AND s.token = t.token
LEFT JOIN token_labels AS l
    ON l.dataset = $dataset AND l.model = $model AND l.label = $label AND l.sample = t.sample AND l.token = t.token
    AND l.sample BETWEEN $first AND $last
WHERE t.dataset = $dataset AND t.model = $model AND t.is_content AND t.sample BETWEEN $first AND $last
ORDER BY t.sample, t.token
