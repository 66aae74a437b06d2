-- prompt_f1: the confusion of a prompted model's answers on test, under the published columns.
-- grain: concept
-- reads: prompt_detection
-- parameters: $dataset, $model
SELECT
    label AS concept,
    fp,
    fn,
    tp,
    tn,
    fpr,
    recall AS tpr,
    ratio(fn, fn + tp) AS fnr,
    ratio(tn, tn + fp) AS tnr,
    f1,
    accuracy
FROM prompt_detection
WHERE dataset = $dataset AND model = $model
ORDER BY label
