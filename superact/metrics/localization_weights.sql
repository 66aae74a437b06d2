-- localization_weights: the superactivators of every label in a range of samples, and their softmax weights.
-- grain: label, sample, token
-- reads: activations (one partition); localization_labels; samples
-- parameters: $first and $last, the sample range of this block; $measure, cosine, signed_distance or activation
-- global_weight: over the superactivators of train and cal together; local_weight: over those of the sample alone, for cal and
-- test samples, which are thereby detected. Weights are unnormalised (the vector they make is): exp(logit - maximum).
WITH reached AS (
    SELECT
        l.label,
        a.sample,
        a.token,
        s.split,
        score_of($measure, a.cosine, a.signed_distance)::DOUBLE * l.scale AS logit,
        l.peak
    FROM activations AS a
    JOIN localization_labels AS l
        ON l.concept = a.concept AND score_of($measure, a.cosine, a.signed_distance) >= l.threshold
    JOIN samples AS s ON s.sample = a.sample
    WHERE a.sample BETWEEN $first AND $last
)
SELECT
    label,
    sample,
    token,
    CASE WHEN split IN ('train', 'cal') THEN exp(logit - peak) ELSE 0.0 END AS global_weight,
    CASE
        WHEN split IN ('cal', 'test') THEN exp(logit - max(logit) OVER (PARTITION BY label, sample))
        ELSE 0.0
    END AS local_weight
FROM reached
