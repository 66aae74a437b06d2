CREATE TEMP VIEW samples AS SELECT "sample", "path", "split", "modality", "text", "width", "height" FROM
read_parquet(['<warehouse>/tables/samples/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW labels AS SELECT "label", "source", "evaluated" FROM
read_parquet(['<warehouse>/tables/labels/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW sample_labels AS SELECT "sample", "label" FROM
read_parquet(['<warehouse>/tables/sample_labels/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW tokens AS SELECT "sample", "token", "text", "char_start", "char_end", "word", "row", "col",
"is_content" FROM read_parquet(['<warehouse>/tables/tokens/dataset=toys/model=tiny/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW token_labels AS SELECT "sample", "token", "label" FROM
read_parquet(['<warehouse>/tables/token_labels/dataset=toys/model=tiny/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP TABLE random_tokens AS FROM (
WITH counts AS (
    SELECT sample, count(*)::UBIGINT AS n
    FROM tokens
    WHERE is_content
    GROUP BY sample
),
draws AS (
    SELECT sample, splitmix64(xor(0::UBIGINT, sample::UBIGINT)) % n AS position
    FROM counts
),
numbered AS (
    SELECT sample, token, row_number() OVER (PARTITION BY sample ORDER BY token) - 1 AS position
    FROM tokens
    WHERE is_content
)
SELECT numbered.sample, numbered.token
FROM numbered
JOIN draws ON draws.sample = numbered.sample AND draws.position = numbered.position
ORDER BY numbered.sample
);

CREATE TEMP TABLE calibration_tokens AS FROM (
SELECT tl.label, tl.sample, tl.token
FROM token_labels AS tl
JOIN samples AS s ON s.sample = tl.sample AND s.split = 'cal'
JOIN labels AS l ON l.label = tl.label AND l.evaluated
JOIN tokens AS t ON t.sample = tl.sample AND t.token = tl.token AND t.is_content
ORDER BY tl.label, tl.sample, tl.token
);

SELECT sample, split FROM samples ORDER BY sample;

CREATE TEMP TABLE shuffled_samples AS FROM incoming_rows;

SELECT s.target AS sample, l.label FROM sample_labels AS l JOIN shuffled_samples AS s USING (sample);

CREATE TEMP TABLE sample_labels AS FROM incoming_rows;

WITH content AS (
    SELECT
        sample,
        token,
        row_number() OVER (PARTITION BY sample ORDER BY token) - 1 AS place,
        count(*) OVER (PARTITION BY sample) AS n
    FROM tokens
    WHERE is_content
)
SELECT DISTINCT tl.label, s.target AS sample, there.token
FROM token_labels AS tl
JOIN content AS here ON here.sample = tl.sample AND here.token = tl.token
JOIN shuffled_samples AS s ON s.sample = tl.sample
JOIN content AS there ON there.sample = s.target AND there.place = here.place * there.n // here.n
ORDER BY tl.label, s.target, there.token;

CREATE TEMP TABLE token_labels AS FROM incoming_rows;

SELECT tl.label, tl.sample, tl.token
FROM token_labels AS tl
JOIN samples AS s ON s.sample = tl.sample AND s.split = 'cal'
JOIN labels AS l ON l.label = tl.label AND l.evaluated
JOIN tokens AS t ON t.sample = tl.sample AND t.token = tl.token AND t.is_content
ORDER BY tl.label, tl.sample, tl.token;

CREATE TEMP TABLE calibration_tokens AS FROM incoming_rows;

CREATE TEMP VIEW sample_scores AS SELECT "concept", "sample", "aggregate", "score" FROM
read_parquet(['<warehouse>/tables/sample_scores/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW concepts AS SELECT "concept", "method", "vector", "bias", "norm", "n_positive", "n_negative", "epochs",
"train_f1", "seed", "status" FROM
read_parquet(['<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

SELECT concept FROM concepts WHERE status = 'ok' ORDER BY concept;

CREATE TEMP VIEW activations AS SELECT "concept", "sample", "token", "cosine", "signed_distance" FROM
read_parquet(['<warehouse>/tables/activations/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
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
    SELECT l.label, c.concept, l.label NOT IN (SELECT t.label FROM token_labels AS t) AS weak
    FROM labels AS l
    JOIN concepts AS c ON NOT true OR c.concept = l.label
    WHERE l.evaluated AND c.status = 'ok' AND c.concept BETWEEN 'blue' AND 'it''s red'
),
cal_samples AS (
    SELECT DISTINCT label, sample
    FROM calibration_tokens
    UNION ALL
    SELECT sl.label, sl.sample
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'cal'
    WHERE sl.label NOT IN (SELECT t.label FROM token_labels AS t)
),
calibration AS (
    SELECT
        'superactivator' AS detector,
        ct.label,
        a.concept,
        score_of('cosine', a.cosine, a.signed_distance)::DOUBLE AS score
    FROM activations AS a
    JOIN calibration_tokens AS ct
        ON ct.sample = a.sample AND ct.token = a.token
        AND CASE WHEN true THEN ct.label ELSE '' END = CASE WHEN true THEN a.concept ELSE '' END
    WHERE a.concept BETWEEN 'blue' AND 'it''s red'
    UNION ALL
    SELECT d.detector, p.label, p.concept, ss.score::DOUBLE AS score
    FROM pairs AS p
    JOIN detectors() AS d ON d.unit = 'token' AND (d.detector <> 'superactivator' OR p.weak)
    JOIN cal_samples AS cs ON cs.label = p.label
    JOIN sample_scores AS ss ON ss.concept = p.concept AND ss.sample = cs.sample AND ss.aggregate = d.aggregate
    WHERE ss.score IS NOT NULL AND ss.concept BETWEEN 'blue' AND 'it''s red'
),
quantiles AS (
    SELECT detector, label, concept, quantile_cont(score, levels()) AS thresholds, count(*) AS n_calibration
    FROM calibration
    GROUP BY detector, label, concept
)
SELECT
    d.detector,
    p.label,
    p.concept,
    deltas()[grid.i] AS delta,
    q.thresholds[grid.i] AS threshold,
    coalesce(q.n_calibration, 0) AS n_calibration,
    CASE WHEN q.n_calibration IS NULL THEN 'no_cal_positives' WHEN p.weak THEN 'sample_labels_only' ELSE 'ok' END AS status
FROM pairs AS p
JOIN detectors() AS d ON d.unit = 'token'
CROSS JOIN (SELECT unnest(range(1, len(deltas()) + 1)) AS i) AS grid
LEFT JOIN quantiles AS q ON q.detector = d.detector AND q.label = p.label AND q.concept = p.concept
ORDER BY d.detector, p.label, p.concept, delta
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
JOIN detectors() AS kinds ON kinds.unit = 'token'
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

SELECT 1::INTEGER AS layer, s.detector, s.label, s.concept, s.delta, s.f1_cal, d.tp, d.fp, d.fn
FROM selection AS s
JOIN detection AS d
    ON d.detector = s.detector AND d.label = s.label AND d.concept = s.concept AND d.delta = s.delta AND d.split = 'test'
WHERE s.f1_cal IS NOT NULL;

CREATE TEMP TABLE layer_choices AS FROM incoming_rows;

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
JOIN detectors() AS d ON d.unit = 'token'
LEFT JOIN best AS b ON b.detector = d.detector AND b.label = l.label
LEFT JOIN positives AS p ON p.label = l.label
WHERE l.evaluated
ORDER BY d.detector, l.label;

CREATE TEMP TABLE layer_selection ("method" VARCHAR, "detector" VARCHAR, "label" VARCHAR, "layer" INTEGER, "concept"
VARCHAR, "delta" DOUBLE, "f1_cal" DOUBLE, "f1_test" DOUBLE, "precision_test" DOUBLE, "recall_test" DOUBLE, "n_positive"
BIGINT, "run" VARCHAR);

INSERT INTO layer_selection BY NAME FROM incoming_rows;

WITH kinds AS (
    SELECT k.detector, c.layer_choice, c.layer
    FROM detectors() AS k
    CROSS JOIN (
        SELECT 'fixed' AS layer_choice, unnest([1])::INTEGER AS layer
        UNION ALL
        SELECT 'best' AS layer_choice, NULL AS layer
    ) AS c
    WHERE k.unit = 'token'
),
chosen AS (
    SELECT 'fixed' AS layer_choice, layer, detector, f1_cal, tp, fp, fn
    FROM layer_choices
    UNION ALL
    SELECT 'best' AS layer_choice, NULL AS layer, c.detector, c.f1_cal, c.tp, c.fp, c.fn
    FROM layer_choices AS c
    JOIN layer_selection AS s ON s.detector = c.detector AND s.label = c.label AND s.layer = c.layer
),
averaged AS (
    SELECT
        layer_choice,
        layer,
        detector,
        fsum(f1_cal * (tp + fn)) / sum(tp + fn) AS f1_cal,
        fsum(ratio(2 * tp, 2 * tp + fp + fn) * (tp + fn)) / sum(tp + fn) AS f1,
        count(*) AS n_labels,
        sum(tp + fn)::BIGINT AS n_positive
    FROM chosen
    WHERE tp + fn > 0
    GROUP BY layer_choice, layer, detector
)
SELECT
    kinds.layer_choice,
    kinds.layer,
    kinds.detector,
    0::INTEGER AS shuffle,
    a.f1_cal,
    a.f1,
    coalesce(a.n_labels, 0) AS n_labels,
    coalesce(a.n_positive, 0) AS n_positive
FROM kinds
LEFT JOIN averaged AS a
    ON a.detector = kinds.detector AND a.layer_choice = kinds.layer_choice AND a.layer IS NOT DISTINCT FROM kinds.layer
ORDER BY kinds.detector, kinds.layer_choice, kinds.layer;
