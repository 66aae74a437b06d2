-- detection: the confusion of every threshold on the samples of one split.
-- grain: detector, label, concept, delta, split
-- reads: thresholds, sample_scores, selection (one partition); samples, sample_labels
-- parameters: $split; $first and $last, the concept range of this batch; $chosen_only, true to keep only the concept that
--   selection holds for the detector and label (unsupervised methods on test)
-- Truth is sample_labels. A sample with a NULL score is not detected; a NULL threshold decides nothing: NULL measures.
-- Detected are the scores at or above the threshold, FLOAT against FLOAT. Scores and thresholds are sorted together, once with
-- all samples and once with the positives of each label, and the scores above are counted: linear in samples, whatever the
-- number of deltas.
WITH pairs AS (
    SELECT t.detector, t.label, t.concept, t.delta, t.threshold::FLOAT AS threshold
    FROM thresholds AS t
    WHERE
        t.concept BETWEEN $first AND $last
        AND (
            NOT $chosen_only
            OR (t.detector, t.label, t.concept) IN (SELECT (c.detector, c.label, c.concept) FROM selection AS c)
        )
),
evaluated AS (
    SELECT sample
    FROM samples
    WHERE split = $split
),
carried AS (
    SELECT sl.label, sl.sample
    FROM sample_labels AS sl
    JOIN evaluated AS e ON e.sample = sl.sample
),
scored AS (
    SELECT d.detector, ss.concept, ss.sample, ss.score
    FROM sample_scores AS ss
    JOIN evaluated AS e ON e.sample = ss.sample
    JOIN detectors() AS d ON d.aggregate = ss.aggregate
    WHERE
        ss.score IS NOT NULL
        AND ss.concept BETWEEN $first AND $last
        AND ss.concept IN (SELECT p.concept FROM pairs AS p)
),
detected_samples AS (
    SELECT detector, label, concept, delta, sum(counted) OVER above AS n
    FROM (
        SELECT detector, NULL AS label, concept, NULL AS delta, score AS value, 1 AS counted
        FROM scored
        UNION ALL
        SELECT detector, label, concept, delta, threshold AS value, 0 AS counted
        FROM pairs
        WHERE threshold IS NOT NULL
    )
    WINDOW above AS (PARTITION BY detector, concept ORDER BY value DESC RANGE UNBOUNDED PRECEDING)
    QUALIFY label IS NOT NULL
),
detected_positives AS (
    SELECT detector, label, concept, delta, sum(counted) OVER above AS n
    FROM (
        SELECT s.detector, c.label, s.concept, NULL AS delta, s.score AS value, 1 AS counted
        FROM scored AS s
        JOIN carried AS c ON c.sample = s.sample
        JOIN (SELECT DISTINCT detector, label, concept FROM pairs) AS p
            ON p.detector = s.detector AND p.label = c.label AND p.concept = s.concept
        UNION ALL
        SELECT detector, label, concept, delta, threshold AS value, 0 AS counted
        FROM pairs
        WHERE threshold IS NOT NULL
    )
    WINDOW above AS (PARTITION BY detector, label, concept ORDER BY value DESC RANGE UNBOUNDED PRECEDING)
    QUALIFY delta IS NOT NULL
),
positives AS (
    SELECT label, count(*) AS n
    FROM carried
    GROUP BY label
),
confusion AS (
    SELECT
        p.detector,
        p.label,
        p.concept,
        p.delta,
        tp.n::BIGINT AS tp,
        (ds.n - tp.n)::BIGINT AS fp,
        (coalesce(pos.n, 0) - tp.n)::BIGINT AS fn,
        ((SELECT count(*) FROM evaluated) - coalesce(pos.n, 0) - ds.n + tp.n)::BIGINT AS tn
    FROM pairs AS p
    LEFT JOIN detected_samples AS ds
        ON ds.detector = p.detector AND ds.label = p.label AND ds.concept = p.concept AND ds.delta = p.delta
    LEFT JOIN detected_positives AS tp
        ON tp.detector = p.detector AND tp.label = p.label AND tp.concept = p.concept AND tp.delta = p.delta
    LEFT JOIN positives AS pos ON pos.label = p.label
)
SELECT
    detector,
    label,
    concept,
    delta,
    $split AS split,
    tp,
    fp,
    fn,
    tn,
    ratio(tp, tp + fp) AS precision,
    ratio(tp, tp + fn) AS recall,
    ratio(2 * tp, 2 * tp + fp + fn) AS f1,
    ratio(tp + tn, tp + fp + fn + tn) AS accuracy,
    ratio(fp, fp + tn) AS fpr
FROM confusion
ORDER BY detector, label, concept, delta
