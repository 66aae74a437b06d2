-- labels: the labels of a dataset that eval reports, with how many test samples carry each.
-- grain: label
-- reads: labels, sample_labels, samples
-- parameters: $dataset
SELECT l.label, count(s.sample) AS positives
FROM labels AS l
LEFT JOIN sample_labels AS c ON c.dataset = $dataset AND c.label = l.label
LEFT JOIN samples AS s ON s.dataset = $dataset AND s.sample = c.sample AND s.split = 'test'
WHERE l.dataset = $dataset AND l.evaluated
GROUP BY l.label
ORDER BY l.label
