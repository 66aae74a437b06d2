-- outcomes: what one detector said of each test sample at its selected concepts and deltas; the bootstrap resamples these.
-- grain: label, position (those detected or carrying the label: the rest are true negatives)
-- reads: selection, sample_scores (one partition); samples, sample_labels
-- parameters: $detector
-- position: 0-based place of the sample among the test samples, in sample order.
WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
)
SELECT chosen.label, s.position, detected(ss.score, chosen.threshold) AS predicted, sl.label IS NOT NULL AS truth
FROM selection AS chosen
JOIN detectors() AS d ON d.detector = chosen.detector
JOIN sample_scores AS ss ON ss.concept = chosen.concept AND ss.aggregate = d.aggregate
JOIN tested AS s ON s.sample = ss.sample
LEFT JOIN sample_labels AS sl ON sl.sample = s.sample AND sl.label = chosen.label
WHERE
    chosen.detector = $detector
    AND chosen.threshold IS NOT NULL
    AND (detected(ss.score, chosen.threshold) OR sl.label IS NOT NULL)
ORDER BY chosen.label, s.position
