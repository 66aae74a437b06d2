-- detection_best: the cal rows of the best concepts of every (detector, label).
-- grain: detector, label, concept, delta, split (cal)
-- reads: detection (split cal), concepts (one partition)
-- parameters: $keep, how many concepts
-- The best by the order of selection: largest F1, then smallest delta, then first name. All pairs of a thousand clusters would
-- be rows that nobody reads. Rows without measures (a label that cannot be calibrated) rank last, in name order.
WITH naming AS (
    SELECT bool_and(regexp_full_match(concept, '0|[1-9][0-9]*')) AS numeric_names
    FROM concepts
    WHERE status = 'ok'
),
best AS (
    SELECT detector, label, concept, delta, f1
    FROM detection
    QUALIFY row_number() OVER (PARTITION BY detector, label, concept ORDER BY f1 DESC NULLS LAST, delta) = 1
),
kept AS (
    SELECT b.detector, b.label, b.concept
    FROM best AS b
    CROSS JOIN naming AS n
    QUALIFY row_number() OVER (
        PARTITION BY b.detector, b.label
        ORDER BY b.f1 DESC NULLS LAST, b.delta, CASE WHEN n.numeric_names THEN length(b.concept) END, b.concept
    ) <= $keep
)
SELECT d.*
FROM detection AS d
JOIN kept AS k ON k.detector = d.detector AND k.label = d.label AND k.concept = d.concept
ORDER BY d.detector, d.label, d.concept, d.delta
