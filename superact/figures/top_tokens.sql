-- top_tokens: the content tokens of a split with the largest scores for one concept.
-- grain: sample, token
-- reads: activations, sae_activations, samples, token_labels
-- parameters: $dataset, $model, $layer, $concept_set; $concept, the one selected for $label (of a sparse autoencoder: the feature,
--   as text); $measure; $threshold (DOUBLE or NULL); $split; $k, how many; $per_sample, the most of one sample
-- A concept set has its scores in one of the two tables; the other has no file of it.
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
),
ranked AS (
    SELECT a.sample, a.token, a.score
    FROM scored AS a
    JOIN samples AS s ON s.dataset = $dataset AND s.split = $split AND s.sample = a.sample
    QUALIFY row_number() OVER (PARTITION BY a.sample ORDER BY a.score DESC, a.token) <= $per_sample
    ORDER BY a.score DESC, a.sample, a.token
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
