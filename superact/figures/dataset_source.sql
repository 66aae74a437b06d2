-- dataset_source: the folder, or what else a dataset came from.
-- grain: one row
-- reads: datasets
-- parameters: $dataset
SELECT name, source, modality
FROM datasets
WHERE dataset = $dataset
