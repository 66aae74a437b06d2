-- delta_histogram: how many labels chose each delta, at one layer or at the layer chosen for each label.
-- grain: dataset, model, concept_set, unit, detector, layer_choice, layer, delta
-- layer_choice: fixed, one layer; best, each label at the layer of layer_selection (layer is NULL). Every delta of the grid has a
-- row, whether or not a label chose it; labels that could not be calibrated chose none.
WITH choices AS (
    SELECT dataset, model, concept_set, unit, detector, 'fixed' AS layer_choice, layer, delta
    FROM selection
    UNION ALL
    SELECT dataset, model, concept_set, unit, detector, 'best' AS layer_choice, NULL AS layer, delta
    FROM layer_selection
)
SELECT
    c.dataset,
    c.model,
    c.concept_set,
    c.unit,
    c.detector,
    c.layer_choice,
    c.layer,
    g.delta,
    count(*) FILTER (c.delta = g.delta) AS n_labels
FROM choices AS c
CROSS JOIN (SELECT unnest(deltas()) AS delta) AS g
GROUP BY ALL
ORDER BY ALL
