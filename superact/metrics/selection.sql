-- selection: the concept and delta of every (detector, label), chosen on cal and nowhere else.
-- grain: detector, label
-- reads: thresholds, detection (split cal), (one partition); labels, samples, sample_labels
-- parameters: $unit
-- Largest F1, then smallest delta, then first concept in name order (by value when all names are plain decimal integers,
-- else by UTF-8 bytes). A label without a threshold, or without a cal sample that carries it, has one row of NULLs.
WITH selectable AS (
    SELECT DISTINCT sl.label
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample
    WHERE s.split = 'cal'
),
naming AS (
    SELECT bool_and(regexp_full_match(concept, '0|[1-9][0-9]*')) AS numeric_names
    FROM thresholds
),
ranked AS (
    SELECT
        d.detector,
        d.label,
        d.concept,
        d.delta,
        t.threshold,
        d.f1,
        row_number() OVER (
            PARTITION BY d.detector, d.label
            ORDER BY
                d.f1 DESC,
                d.delta,
                CASE WHEN naming.numeric_names THEN length(d.concept) END, -- shorter is smaller, whatever the size
                d.concept
        ) AS place
    FROM detection AS d
    JOIN thresholds AS t
        ON t.detector = d.detector AND t.label = d.label AND t.concept = d.concept AND t.delta = d.delta
    JOIN selectable ON selectable.label = d.label
    CROSS JOIN naming
    WHERE d.split = 'cal' AND d.f1 IS NOT NULL
)
SELECT kinds.detector, l.label, r.concept, r.delta, r.threshold, r.f1 AS f1_cal
FROM labels AS l
JOIN detectors() AS kinds ON kinds.unit = $unit
LEFT JOIN ranked AS r ON r.detector = kinds.detector AND r.label = l.label AND r.place = 1
WHERE l.evaluated
ORDER BY kinds.detector, l.label
