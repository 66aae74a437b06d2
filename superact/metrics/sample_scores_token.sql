-- sample_scores, unit token: the roll-up of the token scores of one sample for one concept.
-- grain: concept, sample, aggregate (max, mean, last, random)
-- reads: activations, concepts (one partition); samples, random_tokens
-- parameters: $first and $last, the concept range of this batch; $measure, cosine or signed_distance
-- A sample without content tokens has NULL scores. The mean is summed in DOUBLE with compensation, so that its FLOAT does
-- not depend on threads or file order.
WITH rolled AS (
    SELECT
        a.concept,
        a.sample,
        max(score_of($measure, a.cosine, a.signed_distance)) AS max_score,
        favg(score_of($measure, a.cosine, a.signed_distance)::DOUBLE)::FLOAT AS mean_score,
        arg_max(score_of($measure, a.cosine, a.signed_distance), a.token) AS last_score,
        max(score_of($measure, a.cosine, a.signed_distance)) FILTER (a.token = r.token) AS random_score
    FROM activations AS a
    JOIN random_tokens AS r ON r.sample = a.sample
    WHERE a.concept BETWEEN $first AND $last
    GROUP BY a.concept, a.sample
),
every AS (
    SELECT c.concept, s.sample
    FROM concepts AS c
    CROSS JOIN samples AS s
    WHERE c.status = 'ok' AND c.concept BETWEEN $first AND $last
)
SELECT
    every.concept,
    every.sample,
    roll.aggregate,
    CASE roll.aggregate
        WHEN 'max' THEN rolled.max_score
        WHEN 'mean' THEN rolled.mean_score
        WHEN 'last' THEN rolled.last_score
        ELSE rolled.random_score
    END AS score
FROM every
CROSS JOIN (VALUES ('last'), ('max'), ('mean'), ('random')) AS roll (aggregate)
LEFT JOIN rolled ON rolled.concept = every.concept AND rolled.sample = every.sample
ORDER BY every.concept, every.sample, roll.aggregate
