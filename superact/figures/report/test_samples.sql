-- test_samples: the test samples of a dataset with the evaluated labels that they carry.
-- grain: sample
-- reads: samples, sample_labels, labels
-- parameters: $dataset
WITH carried AS (
    SELECT c.sample, list(c.label ORDER BY c.label) AS labels
    FROM sample_labels AS c
    JOIN labels AS l ON l.dataset = $dataset AND l.label = c.label
    WHERE c.dataset = $dataset AND l.evaluated
    GROUP BY c.sample
)
SELECT s.sample, coalesce(c.labels, []::VARCHAR[]) AS labels, coalesce(length(s.text), 0) AS characters
FROM samples AS s
LEFT JOIN carried AS c ON c.sample = s.sample
WHERE s.dataset = $dataset AND s.split = 'test'
ORDER BY s.sample
