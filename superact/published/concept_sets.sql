-- concept_sets: every set of concept vectors, with what its published names are made of.
-- grain: dataset, model, layer, concept_set, unit
-- reads: concept_sets, concepts, datasets, models
-- parameters: none
-- k: clusters or features asked for; the number of concepts where that is not recorded.
WITH sizes AS (
    SELECT dataset, model, layer, concept_set, unit, count(*) AS n
    FROM concepts
    GROUP BY dataset, model, layer, concept_set, unit
)
SELECT
    c.dataset,
    c.model,
    c.layer,
    c.concept_set,
    c.unit,
    c.method,
    c.supervised,
    c.score,
    coalesce(c.k, s.n)::BIGINT AS k,
    d.name AS dataset_name,
    m.name AS model_name,
    m.source AS model_source,
    m.modality,
    m.blocks
FROM concept_sets AS c
LEFT JOIN sizes AS s
    ON s.dataset = c.dataset AND s.model = c.model AND s.layer = c.layer AND s.concept_set = c.concept_set AND s.unit = c.unit
LEFT JOIN datasets AS d ON d.dataset = c.dataset
LEFT JOIN models AS m ON m.model = c.model
ORDER BY c.dataset, c.model, c.concept_set, c.unit, c.layer
