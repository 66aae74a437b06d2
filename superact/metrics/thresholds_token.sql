-- thresholds, unit token: one threshold a (detector, label, concept, delta) from the calibration values.
-- grain: detector, label, concept, delta
-- reads: activations, concepts, sample_scores (one partition); samples, labels, sample_labels, token_labels,
--   calibration_tokens
-- parameters: $first and $last, the concept range of this batch; $measure; $supervised, true where a label meets only the
--   concept of its own name
-- superactivator: quantile of the scores of the cal content tokens that carry the label. Other detectors: quantile of their
-- sample scores over the cal samples that own such a token. A label without any token label takes the weak rule: sample
-- scores over the cal samples that carry it (the maximum for superactivator).
WITH pairs AS (
    SELECT l.label, c.concept, l.label NOT IN (SELECT t.label FROM token_labels AS t) AS weak
    FROM labels AS l
    JOIN concepts AS c ON NOT $supervised OR c.concept = l.label
    WHERE l.evaluated AND c.status = 'ok' AND c.concept BETWEEN $first AND $last
),
cal_samples AS (
    SELECT DISTINCT label, sample
    FROM calibration_tokens
    UNION ALL
    SELECT sl.label, sl.sample
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'cal'
    WHERE sl.label NOT IN (SELECT t.label FROM token_labels AS t)
),
calibration AS (
    SELECT
        'superactivator' AS detector,
        ct.label,
        a.concept,
        score_of($measure, a.cosine, a.signed_distance)::DOUBLE AS score
    FROM activations AS a
    JOIN calibration_tokens AS ct
        ON ct.sample = a.sample AND ct.token = a.token
        AND CASE WHEN $supervised THEN ct.label ELSE '' END = CASE WHEN $supervised THEN a.concept ELSE '' END
    WHERE a.concept BETWEEN $first AND $last
    UNION ALL
    SELECT d.detector, p.label, p.concept, ss.score::DOUBLE AS score
    FROM pairs AS p
    JOIN detectors() AS d ON d.unit = 'token' AND (d.detector <> 'superactivator' OR p.weak)
    JOIN cal_samples AS cs ON cs.label = p.label
    JOIN sample_scores AS ss ON ss.concept = p.concept AND ss.sample = cs.sample AND ss.aggregate = d.aggregate
    WHERE ss.score IS NOT NULL AND ss.concept BETWEEN $first AND $last
),
quantiles AS (
    SELECT detector, label, concept, quantile_cont(score, levels()) AS thresholds, count(*) AS n_calibration
    FROM calibration
    GROUP BY detector, label, concept
)
SELECT
    d.detector,
    p.label,
    p.concept,
    deltas()[grid.i] AS delta,
    q.thresholds[grid.i] AS threshold,
    coalesce(q.n_calibration, 0) AS n_calibration,
    CASE WHEN q.n_calibration IS NULL THEN 'no_cal_positives' WHEN p.weak THEN 'sample_labels_only' ELSE 'ok' END AS status
FROM pairs AS p
JOIN detectors() AS d ON d.unit = 'token'
CROSS JOIN (SELECT unnest(range(1, len(deltas()) + 1)) AS i) AS grid
LEFT JOIN quantiles AS q ON q.detector = d.detector AND q.label = p.label AND q.concept = p.concept
ORDER BY d.detector, p.label, p.concept, delta
