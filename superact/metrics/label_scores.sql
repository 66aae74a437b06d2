-- label_scores: the scores of all cal and test content tokens for the concepts of some labels, and what each label says of them.
-- grain: label, sample, token
-- reads: chosen_labels; activations (one partition); samples, sample_labels, token_labels
-- parameters: $first and $last, the range of the chosen concepts; $measure, cosine, signed_distance or activation
-- in_concept: the token carries the label; carries: its sample does. Read once a batch of labels; localization, distributions,
-- separation and superactivator_ratio read these rows.
WITH evaluated AS (
    SELECT c.label, c.concept, s.sample, s.split::ENUM('cal', 'test') AS split, sl.label IS NOT NULL AS carries
    FROM chosen_labels AS c
    CROSS JOIN samples AS s
    LEFT JOIN sample_labels AS sl ON sl.sample = s.sample AND sl.label = c.label
    WHERE s.split IN ('cal', 'test')
),
inside AS (
    SELECT tl.label, tl.sample, tl.token
    FROM token_labels AS tl
    WHERE tl.label IN (SELECT c.label FROM chosen_labels AS c)
)
SELECT
    e.label,
    a.sample,
    a.token,
    e.split,
    score_of($measure, a.cosine, a.signed_distance) AS score,
    i.label IS NOT NULL AS in_concept,
    e.carries
FROM activations AS a
JOIN evaluated AS e ON e.concept = a.concept AND e.sample = a.sample
LEFT JOIN inside AS i ON i.label = e.label AND i.sample = a.sample AND i.token = a.token
WHERE a.concept BETWEEN $first AND $last
