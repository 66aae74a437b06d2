-- known_labels: the labels of a dataset, and whether eval judges them.
-- grain: label
-- reads: labels
-- parameters: $dataset
SELECT label, evaluated
FROM labels
WHERE dataset = $dataset::VARCHAR
ORDER BY label
