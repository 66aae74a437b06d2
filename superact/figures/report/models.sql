-- models: the models of a warehouse.
-- grain: model
-- reads: models
-- parameters: none
SELECT model, name, modality, source, licence, revision, blocks, width
FROM models
ORDER BY model
