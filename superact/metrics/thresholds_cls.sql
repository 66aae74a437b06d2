-- thresholds, unit cls: one threshold a (label, concept, delta) from the scores of the cal samples that carry the label.
-- grain: detector (cls), label, concept, delta
-- reads: concepts, sample_scores (one partition); samples, labels, sample_labels
-- parameters: $first and $last, the concept range of this batch; $supervised, true where a label meets only the concept of
--   its own name
WITH pairs AS (
    SELECT l.label, c.concept
    FROM labels AS l
    JOIN concepts AS c ON NOT $supervised OR c.concept = l.label
    WHERE l.evaluated AND c.status = 'ok' AND c.concept BETWEEN $first AND $last
),
quantiles AS (
    SELECT p.label, p.concept, quantile_cont(ss.score::DOUBLE, levels()) AS thresholds, count(*) AS n_calibration
    FROM pairs AS p
    JOIN sample_labels AS sl ON sl.label = p.label
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'cal'
    JOIN sample_scores AS ss ON ss.concept = p.concept AND ss.sample = sl.sample AND ss.aggregate = 'cls'
    WHERE ss.score IS NOT NULL
    GROUP BY p.label, p.concept
)
SELECT
    'cls' AS detector,
    p.label,
    p.concept,
    deltas()[grid.i] AS delta,
    q.thresholds[grid.i] AS threshold,
    coalesce(q.n_calibration, 0) AS n_calibration,
    CASE WHEN q.n_calibration IS NULL THEN 'no_cal_positives' ELSE 'ok' END AS status
FROM pairs AS p
CROSS JOIN (SELECT unnest(range(1, len(deltas()) + 1)) AS i) AS grid
LEFT JOIN quantiles AS q ON q.label = p.label AND q.concept = p.concept
ORDER BY p.label, p.concept, delta
