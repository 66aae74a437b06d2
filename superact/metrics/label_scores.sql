-- label_scores: the scores of all cal and test content tokens for the concept of one label, and what the label says of them.
-- grain: sample, token
-- reads: activations (one partition); samples, sample_labels, token_labels
-- parameters: $label; $concept; $measure, cosine or signed_distance
-- in_concept: the token carries the label; carries: its sample does. Read once a label; localization, distributions, separation
-- and superactivator_ratio read these rows.
WITH evaluated AS (
    SELECT s.sample, s.split::ENUM('cal', 'test') AS split, sl.label IS NOT NULL AS carries
    FROM samples AS s
    LEFT JOIN sample_labels AS sl ON sl.sample = s.sample AND sl.label = $label
    WHERE s.split IN ('cal', 'test')
)
SELECT
    a.sample,
    a.token,
    e.split,
    score_of($measure, a.cosine, a.signed_distance) AS score,
    tl.label IS NOT NULL AS in_concept,
    e.carries
FROM activations AS a
JOIN evaluated AS e ON e.sample = a.sample
LEFT JOIN token_labels AS tl ON tl.sample = a.sample AND tl.token = a.token AND tl.label = $label
WHERE a.concept = $concept
