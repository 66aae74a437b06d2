-- summary: test measures of every detector at one layer, over labels with a selection and a test positive.
-- grain: detector (one layer, concept set and unit)
-- reads: selection, detection (split test), (one partition)
-- parameters: $unit; $layer, the layer of the partition
-- f1, precision, recall: means weighted by test positives; macro_*: plain means; micro_*: of the summed counts.
-- No such label: NULL measures, 0 labels. The interval is added by the bootstrap.
WITH kinds (detector) AS (
    SELECT k.detector
    FROM detectors() AS k
    WHERE k.unit = $unit
),
chosen AS (
    SELECT d.detector, d.label, d.tp, d.fp, d.fn, d.precision, d.recall, d.f1, d.tp + d.fn AS positives
    FROM selection AS s
    JOIN detection AS d
        ON d.detector = s.detector AND d.label = s.label AND d.concept = s.concept AND d.delta = s.delta
    WHERE d.split = 'test' AND d.tp + d.fn > 0
),
averaged AS (
    SELECT
        detector,
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
        sum(positives)::BIGINT AS n_positive
    FROM chosen
    GROUP BY detector
)
SELECT
    'fixed' AS layer_choice,
    $layer::INTEGER AS layer,
    kinds.detector,
    a.f1,
    a."precision",
    a.recall,
    a.macro_f1,
    a.macro_precision,
    a.macro_recall,
    a.micro_f1,
    a.micro_precision,
    a.micro_recall,
    coalesce(a.n_labels, 0) AS n_labels,
    coalesce(a.n_positive, 0) AS n_positive
FROM kinds
LEFT JOIN averaged AS a ON a.detector = kinds.detector
ORDER BY kinds.detector
