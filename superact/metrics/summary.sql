-- summary: test measures of every detector at every layer, and at the layer chosen for each label.
-- grain: layer_choice, layer, detector (one concept set and unit)
-- reads: layer_choices (all layers), layer_selection
-- parameters: $unit; $layers, all of them
-- Over labels with a selection and a test positive. f1, precision, recall: means weighted by test positives; macro_*: plain
-- means; micro_*: of the summed counts. No such label: NULL measures, 0 labels. The interval is added by the bootstrap.
WITH kinds AS (
    SELECT k.detector, c.layer_choice, c.layer
    FROM detectors() AS k
    CROSS JOIN (
        SELECT 'fixed' AS layer_choice, unnest($layers)::INTEGER AS layer
        UNION ALL
        SELECT 'best' AS layer_choice, NULL AS layer
    ) AS c
    WHERE k.unit = $unit
),
chosen AS (
    SELECT 'fixed' AS layer_choice, layer, detector, label, tp, fp, fn
    FROM layer_choices
    UNION ALL
    SELECT 'best' AS layer_choice, NULL AS layer, c.detector, c.label, c.tp, c.fp, c.fn
    FROM layer_choices AS c
    JOIN layer_selection AS s ON s.detector = c.detector AND s.label = c.label AND s.layer = c.layer
),
measured AS (
    SELECT
        layer_choice,
        layer,
        detector,
        tp,
        fp,
        fn,
        tp + fn AS positives,
        ratio(2 * tp, 2 * tp + fp + fn) AS f1,
        ratio(tp, tp + fp) AS "precision",
        ratio(tp, tp + fn) AS recall
    FROM chosen
    WHERE tp + fn > 0
),
averaged AS (
    SELECT
        layer_choice,
        layer,
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
    FROM measured
    GROUP BY layer_choice, layer, detector
)
SELECT
    kinds.layer_choice,
    kinds.layer,
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
LEFT JOIN averaged AS a
    ON a.detector = kinds.detector AND a.layer_choice = kinds.layer_choice AND a.layer IS NOT DISTINCT FROM kinds.layer
ORDER BY kinds.detector, kinds.layer_choice, kinds.layer
