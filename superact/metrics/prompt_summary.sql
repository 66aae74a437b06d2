-- prompt_summary: test measures of a prompted model, averaged over the labels it was asked about as summary averages.
-- grain: layer_choice, layer, detector
-- reads: prompt_detection
-- parameters: none
-- Over labels with a test positive. f1, precision, recall: means weighted by test positives; macro_*: plain means; micro_*: of
-- the summed counts. No such label: NULL measures, 0 labels. The interval is added by the bootstrap.
WITH measured AS (
    SELECT *, tp + fn AS positives
    FROM prompt_detection
    WHERE tp + fn > 0
)
SELECT
    'fixed' AS layer_choice,
    NULL::INTEGER AS layer,
    'prompt' AS detector,
    fsum(f1 * positives) / sum(positives) AS f1,
    fsum("precision" * positives) / sum(positives) AS "precision",
    fsum(recall * positives) / sum(positives) AS recall,
    favg(f1) AS macro_f1,
    favg("precision") AS macro_precision,
    favg(recall) AS macro_recall,
    ratio(2 * sum(tp), 2 * sum(tp) + sum(fp) + sum(fn)) AS micro_f1,
    ratio(sum(tp), sum(tp) + sum(fp)) AS micro_precision,
    ratio(sum(tp), sum(tp) + sum(fn)) AS micro_recall,
    count(*) AS n_labels,
    coalesce(sum(positives), 0)::BIGINT AS n_positive
FROM measured
