-- floors: the test confusion of the localizers without any signal, of one dataset and model.
-- grain: localizer, label
-- reads: localization
-- parameters: $dataset, $model
-- They are the same for every layer and concept set that has the label: those of the first one are taken.
SELECT
    localizer,
    label AS concept,
    "precision",
    recall,
    accuracy,
    f1,
    ratio(fp, fp + tn) AS fpr,
    recall AS tpr,
    ratio(tn, tn + fp) AS tnr,
    ratio(fn, fn + tp) AS fnr,
    tp,
    tn,
    fp,
    fn
FROM localization
WHERE dataset = $dataset AND model = $model AND split = 'test' AND localizer IN ('random', 'always', 'never')
QUALIFY row_number() OVER (PARTITION BY localizer, label ORDER BY layer, concept_set) = 1
ORDER BY localizer, label
