-- sample_scores of a sparse autoencoder, unit token: the roll-up of one sample's activations, where it is not 0.
-- grain: concept, sample, aggregate (max, mean, last, random)
-- reads: sae_activations, concepts (one partition; those evaluated); tokens, random_tokens
-- parameters: $first and $last, the concept range of this batch
-- An absent activation is 0, and so is an absent score. The mean is over all content tokens of the sample.
WITH features AS (
    SELECT concept, concept::INTEGER AS feature
    FROM concepts
    WHERE status = 'ok' AND concept BETWEEN $first AND $last
),
content AS (
    SELECT sample, count(*) AS n, max(token) AS last_token
    FROM tokens
    WHERE is_content
    GROUP BY sample
),
rolled AS (
    SELECT
        a.feature,
        a.sample,
        max(a.activation) AS max_score,
        fsum(a.activation::DOUBLE) AS total,
        max(a.token) AS last_token,
        arg_max(a.activation, a.token) AS last_score,
        max(a.activation) FILTER (a.token = r.token) AS random_score
    FROM sae_activations AS a
    JOIN features AS f ON f.feature = a.feature
    JOIN random_tokens AS r ON r.sample = a.sample
    GROUP BY a.feature, a.sample
),
scored AS (
    SELECT
        f.concept,
        r.sample,
        roll.aggregate,
        CASE roll.aggregate
            WHEN 'max' THEN r.max_score
            WHEN 'mean' THEN (r.total / c.n)::FLOAT
            WHEN 'last' THEN CASE WHEN r.last_token = c.last_token THEN r.last_score END
            ELSE r.random_score
        END AS score
    FROM rolled AS r
    JOIN features AS f ON f.feature = r.feature
    JOIN content AS c ON c.sample = r.sample
    CROSS JOIN (VALUES ('last'), ('max'), ('mean'), ('random')) AS roll (aggregate)
)
SELECT concept, sample, aggregate, score
FROM scored
WHERE score > 0
ORDER BY concept, sample, aggregate
