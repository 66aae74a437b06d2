-- detection: the confusion of every threshold on the samples of one split.
-- grain: detector, label, concept, delta, split
-- reads: thresholds, sample_scores, selection (one partition); samples, sample_labels
-- parameters: $split; $first and $last, the concept range of this batch; $chosen_only, true to keep only the concept that
--   selection holds for the detector and label (unsupervised methods on test)
-- Truth is sample_labels. A sample with a NULL score is not detected; a NULL threshold decides nothing: NULL measures.
WITH scored AS (
    SELECT d.detector, ss.concept, ss.sample, ss.score
    FROM sample_scores AS ss
    JOIN samples AS s ON s.sample = ss.sample AND s.split = $split
    JOIN detectors() AS d ON d.aggregate = ss.aggregate
    WHERE ss.concept BETWEEN $first AND $last
),
counted AS (
    SELECT
        t.detector,
        t.label,
        t.concept,
        t.delta,
        t.threshold,
        count(*) FILTER (detected(scored.score, t.threshold) AND sl.label IS NOT NULL) AS true_positives,
        count(*) FILTER (detected(scored.score, t.threshold) AND sl.label IS NULL) AS false_positives,
        count(sl.label) AS positives,
        count(scored.sample) AS n
    FROM thresholds AS t
    LEFT JOIN scored ON scored.detector = t.detector AND scored.concept = t.concept
    LEFT JOIN sample_labels AS sl ON sl.sample = scored.sample AND sl.label = t.label
    WHERE
        t.concept BETWEEN $first AND $last
        AND (
            NOT $chosen_only
            OR (t.detector, t.label, t.concept) IN (SELECT (c.detector, c.label, c.concept) FROM selection AS c)
        )
    GROUP BY t.detector, t.label, t.concept, t.delta, t.threshold
),
confusion AS (
    SELECT
        detector,
        label,
        concept,
        delta,
        CASE WHEN threshold IS NOT NULL THEN true_positives END AS tp,
        CASE WHEN threshold IS NOT NULL THEN false_positives END AS fp,
        CASE WHEN threshold IS NOT NULL THEN positives - true_positives END AS fn,
        CASE WHEN threshold IS NOT NULL THEN n - positives - false_positives END AS tn
    FROM counted
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
