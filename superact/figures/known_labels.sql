-- known_labels: the labels of a dataset.
-- grain: label
-- reads: labels
-- parameters: $dataset
SELECT label
FROM labels
WHERE dataset = $dataset::VARCHAR
ORDER BY label
