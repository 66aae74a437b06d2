-- modalities: the datasets and what their samples are.
-- grain: dataset
-- reads: datasets
-- parameters: none
SELECT dataset, name, modality
FROM datasets
ORDER BY dataset
