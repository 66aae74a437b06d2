-- random_tokens: which token the random_token detector reads in every sample.
-- grain: sample (samples with at least one content token)
-- reads: tokens (one dataset and model)
-- parameters: $seed unsigned 64-bit
-- The content token number splitmix64(seed XOR sample) mod n, in ascending token order: the same for every layer, concept
-- and split. Drawn once a sample, since SplitMix64 in SQL runs at half a million a second.
WITH counts AS (
    SELECT sample, count(*)::UBIGINT AS n
    FROM tokens
    WHERE is_content
    GROUP BY sample
),
draws AS (
    SELECT sample, splitmix64(xor($seed::UBIGINT, sample::UBIGINT)) % n AS position
    FROM counts
),
numbered AS (
    SELECT sample, token, row_number() OVER (PARTITION BY sample ORDER BY token) - 1 AS position
    FROM tokens
    WHERE is_content
)
SELECT numbered.sample, numbered.token
FROM numbered
JOIN draws ON draws.sample = numbered.sample AND draws.position = numbered.position
ORDER BY numbered.sample
