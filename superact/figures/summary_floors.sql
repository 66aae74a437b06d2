-- summary_floors: weighted test F1 that is reached without any activation: the floors, and prompted models with their interval.
-- grain: name
-- reads: floors, summary
-- parameters: $dataset
SELECT 'always' AS name, 'always' AS method, always_f1 AS f1, NULL::DOUBLE AS ci_low, NULL::DOUBLE AS ci_high
FROM floors
WHERE dataset = $dataset::VARCHAR
UNION ALL
SELECT 'coin' AS name, 'coin' AS method, coin_f1 AS f1, NULL::DOUBLE AS ci_low, NULL::DOUBLE AS ci_high
FROM floors
WHERE dataset = $dataset::VARCHAR
UNION ALL
SELECT
    CASE WHEN count(*) OVER () = 1 THEN 'prompt' ELSE 'prompt ' || model END AS name,
    'prompt' AS method,
    f1,
    ci_low,
    ci_high
FROM summary
WHERE dataset = $dataset::VARCHAR AND unit = 'sample' AND f1 IS NOT NULL
ORDER BY ALL
