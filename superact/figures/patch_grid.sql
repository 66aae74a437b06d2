-- patch_grid: rows and columns of the patch grid of a model, from the first sample of a dataset.
-- grain: one row
-- reads: tokens
-- parameters: $dataset, $model
SELECT max("row") + 1 AS "rows", max(col) + 1 AS "columns"
FROM tokens
WHERE
    dataset = $dataset
    AND model = $model
    AND sample = (SELECT min(sample) FROM tokens WHERE dataset = $dataset AND model = $model)
