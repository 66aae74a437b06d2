-- ranked_samples: the samples of one split by the score that a detector gives them for one concept, with truth and decision.
-- grain: sample
-- reads: samples, sample_labels, sample_scores
-- parameters: $dataset, $model, $layer, $concept_set, $unit; $concept, the one selected for $label; $aggregate, what the detector
--   reads; $measure; $threshold (DOUBLE or NULL); $split
-- As table detection: truth is sample_labels, a sample with a NULL score is not detected. A feature of a sparse autoencoder has
-- no row where it is 0.
WITH scored AS (
    SELECT sample, score
    FROM sample_scores
    WHERE
        dataset = $dataset
        AND model = $model
        AND layer = $layer
        AND concept_set = $concept_set
        AND unit = $unit
        AND concept = $concept
        AND aggregate = $aggregate
),
judged AS (
    SELECT
        s.sample,
        CASE WHEN $measure = 'activation' THEN coalesce(r.score, 0.0::FLOAT) ELSE r.score END AS score,
        l.sample IS NOT NULL AS positive,
        detected(r.score, $threshold::DOUBLE) AS detected
    FROM samples AS s
    LEFT JOIN scored AS r ON r.sample = s.sample
    LEFT JOIN sample_labels AS l ON l.dataset = $dataset AND l.label = $label AND l.sample = s.sample
    WHERE s.dataset = $dataset AND s.split = $split
)
SELECT
    sample,
    score,
    positive,
    detected,
    CASE WHEN positive THEN if(detected, 'tp', 'fn') ELSE if(detected, 'fp', 'tn') END AS outcome
FROM judged
ORDER BY score DESC NULLS LAST, sample
