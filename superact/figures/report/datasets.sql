-- datasets: the datasets of a report, with how many samples each split has.
-- grain: dataset
-- reads: samples, datasets
-- parameters: $dataset, NULL for any
-- A dataset without a row in table datasets goes by its slug.
SELECT
    s.dataset,
    coalesce(d.name, s.dataset) AS name,
    coalesce(d.modality, min(s.modality)) AS modality,
    d.licence,
    d.digest,
    count(*) FILTER (s.split = 'train') AS train,
    count(*) FILTER (s.split = 'cal') AS cal,
    count(*) FILTER (s.split = 'test') AS test
FROM samples AS s
LEFT JOIN datasets AS d ON d.dataset = s.dataset
WHERE $dataset::VARCHAR IS NULL OR s.dataset = $dataset::VARCHAR
GROUP BY s.dataset, d.name, d.modality, d.licence, d.digest
ORDER BY s.dataset
