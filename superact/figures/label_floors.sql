-- label_floors: what is reached on test without any activation, label by label: the floors, and prompted models.
-- grain: name, label
-- reads: label_floors, prompt_detection, summary
-- parameters: $dataset
-- A prompted model is one that was asked about every test sample, as those of table summary are.
WITH asked AS (
    SELECT model
    FROM summary
    WHERE dataset = $dataset::VARCHAR AND unit = 'sample'
)
SELECT 'always' AS name, 'always' AS method, label, always_f1 AS f1, n_positive
FROM label_floors
WHERE dataset = $dataset::VARCHAR
UNION ALL
SELECT 'coin' AS name, 'coin' AS method, label, coin_f1 AS f1, n_positive
FROM label_floors
WHERE dataset = $dataset::VARCHAR
UNION ALL
SELECT
    CASE WHEN (SELECT count(*) FROM asked) = 1 THEN 'prompt' ELSE 'prompt ' || p.model END AS name,
    'prompt' AS method,
    p.label,
    p.f1,
    p.tp + p.fn AS n_positive
FROM prompt_detection AS p
JOIN asked AS a ON a.model = p.model
WHERE p.dataset = $dataset::VARCHAR AND p.tp + p.fn > 0
ORDER BY ALL
