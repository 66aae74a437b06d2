-- default_sample: the test sample that carries the most evaluated labels, the smallest of several.
-- grain: one row, none without a test sample
-- reads: samples, sample_labels, labels
-- parameters: $dataset
SELECT s.sample
FROM samples AS s
LEFT JOIN sample_labels AS c ON c.dataset = s.dataset AND c.sample = s.sample
LEFT JOIN labels AS l ON l.dataset = c.dataset AND l.label = c.label AND l.evaluated
WHERE s.dataset = $dataset AND s.split = 'test'
GROUP BY s.sample
ORDER BY count(l.label) DESC, s.sample
LIMIT 1
