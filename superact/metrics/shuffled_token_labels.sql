-- shuffled_token_labels: token labels moved to the samples that shuffling gives them, each to the like place among the tokens.
-- grain: label, sample, token
-- reads: shuffled_samples (sample, target); tokens, token_labels (one dataset and model)
-- parameters: none
-- Content token number i of n goes to number floor(i * m / n) of the m content tokens of the target: a mask lies on another image
-- as it lay on its own, and words stay about where they were in a text. A target without content tokens takes none.
WITH content AS (
    SELECT
        sample,
        token,
        row_number() OVER (PARTITION BY sample ORDER BY token) - 1 AS place,
        count(*) OVER (PARTITION BY sample) AS n
    FROM tokens
    WHERE is_content
)
SELECT DISTINCT tl.label, s.target AS sample, there.token
FROM token_labels AS tl
JOIN content AS here ON here.sample = tl.sample AND here.token = tl.token
JOIN shuffled_samples AS s ON s.sample = tl.sample
JOIN content AS there ON there.sample = s.target AND there.place = here.place * there.n // here.n
ORDER BY tl.label, s.target, there.token
