-- carried_labels: the evaluated labels that some samples carry.
-- grain: sample, label
-- reads: sample_labels, labels
-- parameters: $dataset; $samples, a list
SELECT c.sample, c.label
FROM sample_labels AS c
JOIN labels AS l ON l.dataset = c.dataset AND l.label = c.label AND l.evaluated
WHERE c.dataset = $dataset AND list_contains($samples::INTEGER[], c.sample)
ORDER BY c.sample, c.label
