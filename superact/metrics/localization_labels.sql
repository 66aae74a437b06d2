-- localization_labels: what is needed to weigh the superactivators of every label that has a selection and token labels.
-- grain: label
-- reads: selection, concepts, sample_scores (one partition); samples, token_labels
-- parameters: $measure, cosine, signed_distance or activation
-- A score times `scale` is the raw logit (signed distances) or the score itself. `peak`: the largest logit over train and cal.
SELECT
    c.label,
    c.concept,
    c.threshold::FLOAT AS threshold,
    CASE $measure WHEN 'signed_distance' THEN any_value(v.norm) ELSE 1.0 END AS scale,
    max(ss.score::DOUBLE) * CASE $measure WHEN 'signed_distance' THEN any_value(v.norm) ELSE 1.0 END AS peak
FROM selection AS c
JOIN concepts AS v ON v.concept = c.concept
JOIN sample_scores AS ss ON ss.concept = c.concept AND ss.aggregate = 'max'
JOIN samples AS s ON s.sample = ss.sample AND s.split IN ('train', 'cal')
WHERE c.detector = 'superactivator' AND c.threshold IS NOT NULL AND c.label IN (SELECT t.label FROM token_labels AS t)
GROUP BY c.label, c.concept, c.threshold
ORDER BY c.label
