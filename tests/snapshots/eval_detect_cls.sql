CREATE TEMP VIEW samples AS SELECT "sample", "path", "split", "modality", "text", "width", "height" FROM
read_parquet(['<warehouse>/tables/samples/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW labels AS SELECT "label", "source", "evaluated" FROM
read_parquet(['<warehouse>/tables/labels/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW sample_labels AS SELECT "sample", "label" FROM
read_parquet(['<warehouse>/tables/sample_labels/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW concepts AS SELECT "concept", "method", "vector", "bias", "norm", "n_positive", "n_negative", "epochs",
"train_f1", "seed", "status" FROM
read_parquet(['<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet'],
hive_partitioning = false);

SELECT concept FROM concepts WHERE status = 'ok' ORDER BY concept;

CREATE TEMP VIEW activations AS SELECT "concept", "sample", "token", "cosine", "signed_distance" FROM
read_parquet(['<warehouse>/tables/activations/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet'],
hive_partitioning = false);

SELECT
    c.concept,
    s.sample,
    'cls' AS aggregate,
    score_of('cosine', a.cosine, a.signed_distance) AS score
FROM concepts AS c
CROSS JOIN samples AS s
LEFT JOIN activations AS a ON a.concept = c.concept AND a.sample = s.sample
WHERE c.status = 'ok' AND c.concept BETWEEN 'blue' AND 'it''s red'
ORDER BY c.concept, s.sample;

CREATE TEMP VIEW sample_scores AS SELECT "concept", "sample", "aggregate", "score" FROM
read_parquet(['<warehouse>/staging/tables/sample_scores/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP TABLE thresholds ("method" VARCHAR, "detector" VARCHAR, "label" VARCHAR, "concept" VARCHAR, "delta" DOUBLE,
"threshold" DOUBLE, "n_calibration" BIGINT, "status" VARCHAR, "run" VARCHAR);

CREATE TEMP TABLE detection ("method" VARCHAR, "detector" VARCHAR, "label" VARCHAR, "concept" VARCHAR, "delta" DOUBLE,
"split" VARCHAR, "tp" BIGINT, "fp" BIGINT, "fn" BIGINT, "tn" BIGINT, "precision" DOUBLE, "recall" DOUBLE, "f1" DOUBLE,
"accuracy" DOUBLE, "fpr" DOUBLE, "run" VARCHAR);

CREATE TEMP TABLE selection ("method" VARCHAR, "detector" VARCHAR, "label" VARCHAR, "concept" VARCHAR, "delta" DOUBLE,
"threshold" DOUBLE, "f1_cal" DOUBLE, "run" VARCHAR);

INSERT INTO thresholds BY NAME FROM (
WITH pairs AS (
    SELECT l.label, c.concept
    FROM labels AS l
    JOIN concepts AS c ON NOT true OR c.concept = l.label
    WHERE l.evaluated AND c.status = 'ok' AND c.concept BETWEEN 'blue' AND 'it''s red'
),
quantiles AS (
    SELECT p.label, p.concept, quantile_cont(ss.score::DOUBLE, levels()) AS thresholds, count(*) AS n_calibration
    FROM pairs AS p
    JOIN sample_labels AS sl ON sl.label = p.label
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'cal'
    JOIN sample_scores AS ss ON ss.concept = p.concept AND ss.sample = sl.sample AND ss.aggregate = 'cls'
    WHERE ss.score IS NOT NULL
    GROUP BY p.label, p.concept
)
SELECT
    'cls' AS detector,
    p.label,
    p.concept,
    deltas()[grid.i] AS delta,
    q.thresholds[grid.i] AS threshold,
    coalesce(q.n_calibration, 0) AS n_calibration,
    CASE WHEN q.n_calibration IS NULL THEN 'no_cal_positives' ELSE 'ok' END AS status
FROM pairs AS p
CROSS JOIN (SELECT unnest(range(1, len(deltas()) + 1)) AS i) AS grid
LEFT JOIN quantiles AS q ON q.label = p.label AND q.concept = p.concept
ORDER BY p.label, p.concept, delta
);

INSERT INTO detection BY NAME FROM (
WITH pairs AS (
    SELECT t.detector, t.label, t.concept, t.delta, t.threshold::FLOAT AS threshold
    FROM thresholds AS t
    WHERE
        t.concept BETWEEN 'blue' AND 'it''s red'
        AND (
            NOT false
            OR (t.detector, t.label, t.concept) IN (SELECT (c.detector, c.label, c.concept) FROM selection AS c)
        )
),
evaluated AS (
    SELECT sample
    FROM samples
    WHERE split = 'cal'
),
carried AS (
    SELECT sl.label, sl.sample
    FROM sample_labels AS sl
    JOIN evaluated AS e ON e.sample = sl.sample
),
scored AS (
    SELECT d.detector, ss.concept, ss.sample, ss.score
    FROM sample_scores AS ss
    JOIN evaluated AS e ON e.sample = ss.sample
    JOIN detectors() AS d ON d.aggregate = ss.aggregate
    WHERE
        ss.score IS NOT NULL
        AND ss.concept BETWEEN 'blue' AND 'it''s red'
        AND ss.concept IN (SELECT p.concept FROM pairs AS p)
),
detected_samples AS (
    SELECT detector, label, concept, delta, sum(counted) OVER above AS n
    FROM (
        SELECT detector, NULL AS label, concept, NULL AS delta, score AS value, 1 AS counted
        FROM scored
        UNION ALL
        SELECT detector, label, concept, delta, threshold AS value, 0 AS counted
        FROM pairs
        WHERE threshold IS NOT NULL
    )
    WINDOW above AS (PARTITION BY detector, concept ORDER BY value DESC RANGE UNBOUNDED PRECEDING)
    QUALIFY label IS NOT NULL
),
detected_positives AS (
    SELECT detector, label, concept, delta, sum(counted) OVER above AS n
    FROM (
        SELECT s.detector, c.label, s.concept, NULL AS delta, s.score AS value, 1 AS counted
        FROM scored AS s
        JOIN carried AS c ON c.sample = s.sample
        JOIN (SELECT DISTINCT detector, label, concept FROM pairs) AS p
            ON p.detector = s.detector AND p.label = c.label AND p.concept = s.concept
        UNION ALL
        SELECT detector, label, concept, delta, threshold AS value, 0 AS counted
        FROM pairs
        WHERE threshold IS NOT NULL
    )
    WINDOW above AS (PARTITION BY detector, label, concept ORDER BY value DESC RANGE UNBOUNDED PRECEDING)
    QUALIFY delta IS NOT NULL
),
positives AS (
    SELECT label, count(*) AS n
    FROM carried
    GROUP BY label
),
confusion AS (
    SELECT
        p.detector,
        p.label,
        p.concept,
        p.delta,
        tp.n::BIGINT AS tp,
        (ds.n - tp.n)::BIGINT AS fp,
        (coalesce(pos.n, 0) - tp.n)::BIGINT AS fn,
        ((SELECT count(*) FROM evaluated) - coalesce(pos.n, 0) - ds.n + tp.n)::BIGINT AS tn
    FROM pairs AS p
    LEFT JOIN detected_samples AS ds
        ON ds.detector = p.detector AND ds.label = p.label AND ds.concept = p.concept AND ds.delta = p.delta
    LEFT JOIN detected_positives AS tp
        ON tp.detector = p.detector AND tp.label = p.label AND tp.concept = p.concept AND tp.delta = p.delta
    LEFT JOIN positives AS pos ON pos.label = p.label
)
SELECT
    detector,
    label,
    concept,
    delta,
    'cal' AS split,
    tp,
    fp,
    fn,
    tn,
    ratio(tp, tp + fp) AS precision,
    ratio(tp, tp + fn) AS recall,
    ratio(2 * tp, 2 * tp + fp + fn) AS f1,
    ratio(tp + tn, tp + fp + fn + tn) AS accuracy,
    ratio(fp, fp + tn) AS fpr
FROM confusion
ORDER BY detector, label, concept, delta
);

INSERT INTO selection BY NAME FROM (
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
                CASE WHEN naming.numeric_names THEN length(d.concept) END,
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
JOIN detectors() AS kinds ON kinds.unit = 'cls'
LEFT JOIN ranked AS r ON r.detector = kinds.detector AND r.label = l.label AND r.place = 1
WHERE l.evaluated
ORDER BY kinds.detector, l.label
);

INSERT INTO detection BY NAME FROM (
WITH pairs AS (
    SELECT t.detector, t.label, t.concept, t.delta, t.threshold::FLOAT AS threshold
    FROM thresholds AS t
    WHERE
        t.concept BETWEEN 'blue' AND 'it''s red'
        AND (
            NOT false
            OR (t.detector, t.label, t.concept) IN (SELECT (c.detector, c.label, c.concept) FROM selection AS c)
        )
),
evaluated AS (
    SELECT sample
    FROM samples
    WHERE split = 'test'
),
carried AS (
    SELECT sl.label, sl.sample
    FROM sample_labels AS sl
    JOIN evaluated AS e ON e.sample = sl.sample
),
scored AS (
    SELECT d.detector, ss.concept, ss.sample, ss.score
    FROM sample_scores AS ss
    JOIN evaluated AS e ON e.sample = ss.sample
    JOIN detectors() AS d ON d.aggregate = ss.aggregate
    WHERE
        ss.score IS NOT NULL
        AND ss.concept BETWEEN 'blue' AND 'it''s red'
        AND ss.concept IN (SELECT p.concept FROM pairs AS p)
),
detected_samples AS (
    SELECT detector, label, concept, delta, sum(counted) OVER above AS n
    FROM (
        SELECT detector, NULL AS label, concept, NULL AS delta, score AS value, 1 AS counted
        FROM scored
        UNION ALL
        SELECT detector, label, concept, delta, threshold AS value, 0 AS counted
        FROM pairs
        WHERE threshold IS NOT NULL
    )
    WINDOW above AS (PARTITION BY detector, concept ORDER BY value DESC RANGE UNBOUNDED PRECEDING)
    QUALIFY label IS NOT NULL
),
detected_positives AS (
    SELECT detector, label, concept, delta, sum(counted) OVER above AS n
    FROM (
        SELECT s.detector, c.label, s.concept, NULL AS delta, s.score AS value, 1 AS counted
        FROM scored AS s
        JOIN carried AS c ON c.sample = s.sample
        JOIN (SELECT DISTINCT detector, label, concept FROM pairs) AS p
            ON p.detector = s.detector AND p.label = c.label AND p.concept = s.concept
        UNION ALL
        SELECT detector, label, concept, delta, threshold AS value, 0 AS counted
        FROM pairs
        WHERE threshold IS NOT NULL
    )
    WINDOW above AS (PARTITION BY detector, label, concept ORDER BY value DESC RANGE UNBOUNDED PRECEDING)
    QUALIFY delta IS NOT NULL
),
positives AS (
    SELECT label, count(*) AS n
    FROM carried
    GROUP BY label
),
confusion AS (
    SELECT
        p.detector,
        p.label,
        p.concept,
        p.delta,
        tp.n::BIGINT AS tp,
        (ds.n - tp.n)::BIGINT AS fp,
        (coalesce(pos.n, 0) - tp.n)::BIGINT AS fn,
        ((SELECT count(*) FROM evaluated) - coalesce(pos.n, 0) - ds.n + tp.n)::BIGINT AS tn
    FROM pairs AS p
    LEFT JOIN detected_samples AS ds
        ON ds.detector = p.detector AND ds.label = p.label AND ds.concept = p.concept AND ds.delta = p.delta
    LEFT JOIN detected_positives AS tp
        ON tp.detector = p.detector AND tp.label = p.label AND tp.concept = p.concept AND tp.delta = p.delta
    LEFT JOIN positives AS pos ON pos.label = p.label
)
SELECT
    detector,
    label,
    concept,
    delta,
    'test' AS split,
    tp,
    fp,
    fn,
    tn,
    ratio(tp, tp + fp) AS precision,
    ratio(tp, tp + fn) AS recall,
    ratio(2 * tp, 2 * tp + fp + fn) AS f1,
    ratio(tp + tn, tp + fp + fn + tn) AS accuracy,
    ratio(fp, fp + tn) AS fpr
FROM confusion
ORDER BY detector, label, concept, delta
);

SELECT * FROM thresholds WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;

SELECT * FROM detection WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;

SELECT * FROM selection WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;
