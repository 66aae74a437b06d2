-- sample_scores, unit cls: the score of the single cls row.
-- grain: concept, sample, aggregate (cls)
-- reads: activations, concepts (one partition); samples
-- parameters: $first and $last, the concept range of this batch; $measure, cosine or signed_distance
SELECT
    c.concept,
    s.sample,
    'cls' AS aggregate,
    score_of($measure, a.cosine, a.signed_distance) AS score
FROM concepts AS c
CROSS JOIN samples AS s
LEFT JOIN activations AS a ON a.concept = c.concept AND a.sample = s.sample
WHERE c.status = 'ok' AND c.concept BETWEEN $first AND $last
ORDER BY c.concept, s.sample
