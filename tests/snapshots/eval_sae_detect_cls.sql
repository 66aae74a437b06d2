CREATE TEMP VIEW samples AS SELECT "sample", "path", "split", "modality", "text", "width", "height" FROM
read_parquet(['<warehouse>/tables/samples/dataset=d/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW labels AS SELECT "label", "source", "evaluated" FROM
read_parquet(['<warehouse>/tables/labels/dataset=d/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW sample_labels AS SELECT "sample", "label" FROM
read_parquet(['<warehouse>/tables/sample_labels/dataset=d/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW sae_activations AS SELECT "sample", "token", "feature", "activation" FROM
read_parquet(['<warehouse>/tables/sae_activations/dataset=d/model=m/layer=1/concept_set=sae/unit=cls/part-00000.parquet'],
hive_partitioning = false);

SELECT feature, count(*) FROM sae_activations GROUP BY feature ORDER BY feature;

CREATE TEMP TABLE sae_statistics AS FROM (
SELECT
    a.feature,
    count(*) AS n_active,
    max(a.activation) AS max_activation,
    favg(a.activation::DOUBLE) AS mean_activation,
    quantile_cont(a.activation::DOUBLE, [0.95, 0.99]) AS quantiles
FROM sae_activations AS a
JOIN samples AS s ON s.sample = a.sample AND s.split = 'cal'
WHERE a.feature BETWEEN 0 AND -1
GROUP BY a.feature
);

INSERT INTO sae_statistics BY NAME FROM (
SELECT
    a.feature,
    count(*) AS n_active,
    max(a.activation) AS max_activation,
    favg(a.activation::DOUBLE) AS mean_activation,
    quantile_cont(a.activation::DOUBLE, [0.95, 0.99]) AS quantiles
FROM sae_activations AS a
JOIN samples AS s ON s.sample = a.sample AND s.split = 'cal'
WHERE a.feature BETWEEN 5 AND 28
GROUP BY a.feature
);

CREATE TEMP TABLE sae_units ("method" VARCHAR, "concept" VARCHAR, "n_active" BIGINT, "share_active" DOUBLE,
"max_activation" FLOAT, "mean_activation" DOUBLE, "p95" DOUBLE, "p99" DOUBLE, "status" VARCHAR, "run" VARCHAR);

INSERT INTO sae_units BY NAME FROM (
SELECT
    f.feature::VARCHAR AS concept,
    f.n_active,
    ratio(f.n_active, (SELECT count(*) FROM samples WHERE split = 'cal')) AS share_active,
    f.max_activation,
    f.mean_activation,
    f.quantiles[1] AS p95,
    f.quantiles[2] AS p99,
    'kept' AS status
FROM sae_statistics AS f
ORDER BY concept
);

SELECT * FROM sae_units WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;

CREATE TEMP VIEW sae_units AS SELECT "method", "concept", "n_active", "share_active", "max_activation",
"mean_activation", "p95", "p99", "status", "run" FROM
read_parquet(['<warehouse>/staging/metrics/sae_units/dataset=d/model=m/layer=1/concept_set=sae/unit=cls/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW concepts AS SELECT "concept", "method", "vector", "bias", "norm", "n_positive", "n_negative", "epochs",
"train_f1", "seed", "status" FROM
read_parquet(['<warehouse>/tables/concepts/dataset=d/model=m/layer=1/concept_set=sae/unit=cls/part-00000.parquet'],
hive_partitioning = false);

SELECT c.concept, c.norm, c.status
FROM concepts AS c
WHERE c.status = 'ok' AND c.concept IN (SELECT u.concept FROM sae_units AS u WHERE u.status = 'kept')
ORDER BY c.concept;

CREATE TEMP TABLE concepts AS FROM incoming_rows;

SELECT count(*) FROM labels WHERE evaluated;

SELECT c.concept, a.sample, 'cls' AS aggregate, a.activation AS score
FROM sae_activations AS a
JOIN concepts AS c ON c.concept::INTEGER = a.feature
WHERE c.status = 'ok' AND c.concept BETWEEN '10' AND '9'
ORDER BY c.concept, a.sample;

CREATE TEMP VIEW sample_scores AS SELECT "concept", "sample", "aggregate", "score" FROM
read_parquet(['<warehouse>/staging/tables/sample_scores/dataset=d/model=m/layer=1/concept_set=sae/unit=cls/part-00000.parquet'],
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
    JOIN concepts AS c ON NOT false OR c.concept = l.label
    WHERE l.evaluated AND c.status = 'ok' AND c.concept BETWEEN '10' AND '9'
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
        t.concept BETWEEN '10' AND '9'
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
        AND ss.concept BETWEEN '10' AND '9'
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
    ) <= 20
)
SELECT d.*
FROM detection AS d
JOIN kept AS k ON k.detector = d.detector AND k.label = d.label AND k.concept = d.concept
ORDER BY d.detector, d.label, d.concept, d.delta;

INSERT INTO detection BY NAME FROM incoming_rows;

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

SELECT DISTINCT concept FROM selection WHERE concept IS NOT NULL ORDER BY concept;

INSERT INTO detection BY NAME FROM (
WITH pairs AS (
    SELECT t.detector, t.label, t.concept, t.delta, t.threshold::FLOAT AS threshold
    FROM thresholds AS t
    WHERE
        t.concept BETWEEN '5' AND '5'
        AND (
            NOT true
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
        AND ss.concept BETWEEN '5' AND '5'
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
