-- about: display names of a dataset and a model, and how many blocks the model has.
-- grain: one row
-- reads: datasets, models
-- parameters: $dataset, $model
SELECT
    coalesce((SELECT name FROM datasets WHERE dataset = $dataset::VARCHAR), $dataset::VARCHAR) AS dataset,
    coalesce((SELECT name FROM models WHERE model = $model::VARCHAR), $model::VARCHAR) AS model,
    (SELECT blocks FROM models WHERE model = $model::VARCHAR) AS blocks
