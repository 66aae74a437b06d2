-- layer_selection: the layer of every (detector, label), chosen on cal by the detector's own tables.
-- grain: detector, label
-- reads: layer_choices (all layers of one concept set and unit); labels, samples, sample_labels
-- parameters: $unit
-- Largest cal F1, ties to the smallest layer. A label that no layer could calibrate has one row of NULLs but n_positive.
WITH best AS (
    SELECT *
    FROM layer_choices
    QUALIFY row_number() OVER (PARTITION BY detector, label ORDER BY f1_cal DESC, layer) = 1
),
positives AS (
    SELECT sl.label, count(*) AS n
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'test'
    GROUP BY sl.label
)
SELECT
    d.detector,
    l.label,
    b.layer,
    b.concept,
    b.delta,
    b.f1_cal,
    ratio(2 * b.tp, 2 * b.tp + b.fp + b.fn) AS f1_test,
    ratio(b.tp, b.tp + b.fp) AS precision_test,
    ratio(b.tp, b.tp + b.fn) AS recall_test,
    coalesce(p.n, 0) AS n_positive
FROM labels AS l
JOIN detectors() AS d ON d.unit = $unit
LEFT JOIN best AS b ON b.detector = d.detector AND b.label = l.label
LEFT JOIN positives AS p ON p.label = l.label
WHERE l.evaluated
ORDER BY d.detector, l.label
