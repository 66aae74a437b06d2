-- localization_weights: the superactivators of every label in a range of samples, and their softmax weights.
-- grain: label, sample, token
-- reads: activations, sample_scores (one partition); localization_labels; samples
-- parameters: $first and $last, the sample range of this block; $measure, cosine or signed_distance
-- global_weight: over the superactivators of train and cal together; local_weight: over those of the sample alone, for cal and
-- test samples, which are thereby detected. Weights are unnormalised (the vector they make is): exp(logit - maximum), the
-- maximum of a sample being its largest score.
SELECT
    l.label,
    a.sample,
    a.token,
    CASE
        WHEN s.split IN ('train', 'cal')
            THEN exp(score_of($measure, a.cosine, a.signed_distance)::DOUBLE * l.scale - l.peak)
        ELSE 0.0
    END AS global_weight,
    CASE
        WHEN s.split IN ('cal', 'test')
            THEN exp((score_of($measure, a.cosine, a.signed_distance)::DOUBLE - ss.score::DOUBLE) * l.scale)
        ELSE 0.0
    END AS local_weight
FROM activations AS a
JOIN localization_labels AS l
    ON l.concept = a.concept AND score_of($measure, a.cosine, a.signed_distance) >= l.threshold
JOIN samples AS s ON s.sample = a.sample
JOIN sample_scores AS ss ON ss.concept = a.concept AND ss.sample = a.sample AND ss.aggregate = 'max'
WHERE a.sample BETWEEN $first AND $last AND ss.sample BETWEEN $first AND $last
