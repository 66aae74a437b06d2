-- prompts: the prompted models of a dataset whose answers were evaluated.
-- grain: model
-- reads: prompt_detection, models
-- parameters: $dataset
SELECT DISTINCT p.model, coalesce(m.name, p.model) AS name
FROM prompt_detection AS p
LEFT JOIN models AS m ON m.model = p.model
WHERE p.dataset = $dataset
ORDER BY p.model
