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

CREATE TEMP VIEW selection AS SELECT "method", "detector", "label", "concept", "delta", "threshold", "f1_cal", "run"
FROM
read_parquet(['<warehouse>/metrics/selection/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW detection AS SELECT "method", "detector", "label", "concept", "delta", "split", "tp", "fp", "fn", "tn",
"precision", "recall", "f1", "accuracy", "fpr", "run" FROM
read_parquet(['<warehouse>/metrics/detection/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

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
ORDER BY kinds.detector, kinds.layer_choice, kinds.layer;

SELECT detector, label, layer FROM layer_selection;

CREATE TEMP VIEW sample_scores AS SELECT "concept", "sample", "aggregate", "score" FROM
read_parquet(['<warehouse>/tables/sample_scores/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
),
judged AS (
    SELECT label, concept, threshold
    FROM selection
    WHERE detector = 'last_token' AND threshold IS NOT NULL
),
detected_samples AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN detectors() AS d ON d.detector = 'last_token'
    JOIN sample_scores AS ss ON ss.concept = j.concept AND ss.aggregate = d.aggregate
    JOIN tested AS s ON s.sample = ss.sample
    WHERE detected(ss.score, j.threshold)
),
carried AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN sample_labels AS sl ON sl.label = j.label
    JOIN tested AS s ON s.sample = sl.sample
)
SELECT
    coalesce(d.label, c.label) AS label,
    coalesce(d.position, c.position) AS position,
    d.label IS NOT NULL AS predicted,
    c.label IS NOT NULL AS truth
FROM detected_samples AS d
FULL JOIN carried AS c ON c.label = d.label AND c.position = d.position
ORDER BY label, position;

WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
),
judged AS (
    SELECT label, concept, threshold
    FROM selection
    WHERE detector = 'max_token' AND threshold IS NOT NULL
),
detected_samples AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN detectors() AS d ON d.detector = 'max_token'
    JOIN sample_scores AS ss ON ss.concept = j.concept AND ss.aggregate = d.aggregate
    JOIN tested AS s ON s.sample = ss.sample
    WHERE detected(ss.score, j.threshold)
),
carried AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN sample_labels AS sl ON sl.label = j.label
    JOIN tested AS s ON s.sample = sl.sample
)
SELECT
    coalesce(d.label, c.label) AS label,
    coalesce(d.position, c.position) AS position,
    d.label IS NOT NULL AS predicted,
    c.label IS NOT NULL AS truth
FROM detected_samples AS d
FULL JOIN carried AS c ON c.label = d.label AND c.position = d.position
ORDER BY label, position;

WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
),
judged AS (
    SELECT label, concept, threshold
    FROM selection
    WHERE detector = 'mean_token' AND threshold IS NOT NULL
),
detected_samples AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN detectors() AS d ON d.detector = 'mean_token'
    JOIN sample_scores AS ss ON ss.concept = j.concept AND ss.aggregate = d.aggregate
    JOIN tested AS s ON s.sample = ss.sample
    WHERE detected(ss.score, j.threshold)
),
carried AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN sample_labels AS sl ON sl.label = j.label
    JOIN tested AS s ON s.sample = sl.sample
)
SELECT
    coalesce(d.label, c.label) AS label,
    coalesce(d.position, c.position) AS position,
    d.label IS NOT NULL AS predicted,
    c.label IS NOT NULL AS truth
FROM detected_samples AS d
FULL JOIN carried AS c ON c.label = d.label AND c.position = d.position
ORDER BY label, position;

WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
),
judged AS (
    SELECT label, concept, threshold
    FROM selection
    WHERE detector = 'random_token' AND threshold IS NOT NULL
),
detected_samples AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN detectors() AS d ON d.detector = 'random_token'
    JOIN sample_scores AS ss ON ss.concept = j.concept AND ss.aggregate = d.aggregate
    JOIN tested AS s ON s.sample = ss.sample
    WHERE detected(ss.score, j.threshold)
),
carried AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN sample_labels AS sl ON sl.label = j.label
    JOIN tested AS s ON s.sample = sl.sample
)
SELECT
    coalesce(d.label, c.label) AS label,
    coalesce(d.position, c.position) AS position,
    d.label IS NOT NULL AS predicted,
    c.label IS NOT NULL AS truth
FROM detected_samples AS d
FULL JOIN carried AS c ON c.label = d.label AND c.position = d.position
ORDER BY label, position;

WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
),
judged AS (
    SELECT label, concept, threshold
    FROM selection
    WHERE detector = 'superactivator' AND threshold IS NOT NULL
),
detected_samples AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN detectors() AS d ON d.detector = 'superactivator'
    JOIN sample_scores AS ss ON ss.concept = j.concept AND ss.aggregate = d.aggregate
    JOIN tested AS s ON s.sample = ss.sample
    WHERE detected(ss.score, j.threshold)
),
carried AS (
    SELECT j.label, s.position
    FROM judged AS j
    JOIN sample_labels AS sl ON sl.label = j.label
    JOIN tested AS s ON s.sample = sl.sample
)
SELECT
    coalesce(d.label, c.label) AS label,
    coalesce(d.position, c.position) AS position,
    d.label IS NOT NULL AS predicted,
    c.label IS NOT NULL AS truth
FROM detected_samples AS d
FULL JOIN carried AS c ON c.label = d.label AND c.position = d.position
ORDER BY label, position;

SELECT count(*) FROM samples WHERE split = 'test';

FROM layer_selection;
