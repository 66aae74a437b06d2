-- outcomes: what one detector said of each test sample at its selected concepts and deltas; the bootstrap resamples these.
-- grain: label, position (those detected or carrying the label: the rest are true negatives)
-- reads: selection, sample_scores (one partition); samples, sample_labels
-- parameters: $detector
-- position: 0-based place of the sample among the test samples, in sample order. A sample without a score (or, of a sparse
-- autoencoder, with a score of 0, which has no row) is not detected.
WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
),
judged AS (
    SELECT label, concept, threshold
    FROM selection
    WHERE detector = $detector AND threshold IS NOT NULL
),
detected_samples AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN detectors() AS d ON d.detector = $detector
    JOIN sample_scores AS ss ON ss.concept = j.concept AND ss.aggregate = d.aggregate
    JOIN tested AS s ON s.sample = ss.sample
    WHERE detected(ss.score, j.threshold)
),
carried AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN sample_labels AS sl ON sl.label = j.label
    JOIN tested AS s ON s.sample = sl.sample
)
SELECT
    coalesce(d.label, c.label) AS label,
    coalesce(d.position, c.position) AS position,
    d.label IS NOT NULL AS predicted,
    c.label IS NOT NULL AS truth
FROM detected_samples AS d
FULL JOIN carried AS c ON c.label = d.label AND c.position = d.position
ORDER BY label, position
