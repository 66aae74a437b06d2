-- token_draws: the number that the localization floor `random` compares with a label's rate, one a content token.
-- grain: sample, token
-- reads: tokens (one dataset and model); samples
-- parameters: $seed unsigned 64-bit
-- splitmix64(splitmix64(seed XOR sample) XOR token) of the cal and test content tokens. Drawn once a dataset and model: SplitMix64
-- in SQL runs at half a million a second.
WITH seeds AS (
    SELECT sample, split, splitmix64(xor($seed::UBIGINT, sample::UBIGINT)) AS seed
    FROM samples
    WHERE split IN ('cal', 'test')
)
SELECT t.sample, t.token, s.split, splitmix64(xor(s.seed, t.token::UBIGINT)) AS draw
FROM tokens AS t
JOIN seeds AS s ON s.sample = t.sample
WHERE t.is_content
