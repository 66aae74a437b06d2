-- prompt_outcomes: what a prompted model said of each test sample; the bootstrap resamples these.
-- grain: label, position (those answered yes or carrying the label: the rest are true negatives)
-- reads: prompt_answers (one answering model); samples, labels, sample_labels
-- parameters: none
-- position: 0-based place of the sample among the test samples, in sample order, as outcomes has it.
WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
)
SELECT a.label, s.position, a.answer = 'yes' AS predicted, sl.label IS NOT NULL AS truth
FROM prompt_answers AS a
JOIN tested AS s ON s.sample = a.sample
JOIN labels AS l ON l.label = a.label AND l.evaluated
LEFT JOIN sample_labels AS sl ON sl.sample = a.sample AND sl.label = a.label
WHERE a.answer = 'yes' OR sl.label IS NOT NULL
ORDER BY a.label, s.position
