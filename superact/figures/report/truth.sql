-- truth: the tokens of a few samples that carry an evaluated label.
-- grain: sample, label, token
-- reads: token_labels, labels
-- parameters: $dataset, $model; $samples, a list; $first and $last, its least and greatest
SELECT t.sample, t.label, t.token
FROM token_labels AS t
JOIN labels AS l ON l.dataset = $dataset AND l.label = t.label
WHERE
    t.dataset = $dataset
    AND t.model = $model
    AND l.evaluated
    AND t.sample BETWEEN $first AND $last
    AND list_contains($samples::INTEGER[], t.sample)
ORDER BY t.sample, t.label, t.token
