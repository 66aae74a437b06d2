-- summary: the averages over labels, each at its own best layer, under their published names.
-- grain: one row (one concept set and unit, one detector)
-- reads: summary
-- parameters: $dataset, $model, $concept_set, $unit, $detector
-- weighted_f1_se: half the width of the 95 % interval. Precision and recall have no interval.
SELECT
    f1 AS weighted_f1,
    "precision" AS weighted_precision,
    recall AS weighted_recall,
    (ci_high - ci_low) / 2 AS weighted_f1_se,
    NULL::DOUBLE AS weighted_precision_se,
    NULL::DOUBLE AS weighted_recall_se,
    macro_f1,
    macro_precision,
    macro_recall,
    micro_f1,
    micro_precision,
    micro_recall,
    n_labels AS n_concepts
FROM summary
WHERE
    dataset = $dataset
    AND model = $model
    AND concept_set = $concept_set
    AND unit = $unit
    AND detector = $detector
    AND layer_choice = 'best'
