CREATE TEMP VIEW samples AS SELECT "sample", "path", "split", "modality", "text", "width", "height" FROM
read_parquet(['<warehouse>/tables/samples/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW labels AS SELECT "label", "source", "evaluated" FROM
read_parquet(['<warehouse>/tables/labels/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW sample_labels AS SELECT "sample", "label" FROM
read_parquet(['<warehouse>/tables/sample_labels/dataset=toys/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW prompt_answers AS SELECT "sample", "label", "answer", "reply", "localization_reply" FROM
read_parquet(['<warehouse>/tables/prompt_answers/dataset=toys/model=asked/part-00000.parquet'], hive_partitioning =
false);

CREATE TEMP TABLE prompt_detection AS FROM (
WITH asked AS (
    SELECT a.label, a.answer, a.answer = 'yes' AS predicted, sl.label IS NOT NULL AS truth
    FROM prompt_answers AS a
    JOIN samples AS s ON s.sample = a.sample AND s.split = 'test'
    JOIN labels AS l ON l.label = a.label AND l.evaluated
    LEFT JOIN sample_labels AS sl ON sl.sample = a.sample AND sl.label = a.label
),
confusion AS (
    SELECT
        label,
        count(*) FILTER (predicted AND truth) AS tp,
        count(*) FILTER (predicted AND NOT truth) AS fp,
        count(*) FILTER (NOT predicted AND truth) AS fn,
        count(*) FILTER (NOT predicted AND NOT truth) AS tn,
        count(*) FILTER (answer = 'unparsed') AS n_unparsed,
        count(*) AS n_questions
    FROM asked
    GROUP BY label
)
SELECT
    label,
    tp,
    fp,
    fn,
    tn,
    ratio(tp, tp + fp) AS "precision",
    ratio(tp, tp + fn) AS recall,
    ratio(2 * tp, 2 * tp + fp + fn) AS f1,
    ratio(tp + tn, n_questions) AS accuracy,
    ratio(fp, fp + tn) AS fpr,
    n_unparsed,
    tp + fp AS n_yes,
    n_questions
FROM confusion
ORDER BY label
);

FROM prompt_detection;

SELECT count(*) FROM samples WHERE split = 'test';

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
FROM measured;

WITH tested AS (
    SELECT sample, row_number() OVER (ORDER BY sample) - 1 AS position
    FROM samples
    WHERE split = 'test'
)
SELECT a.label, s.position, a.answer = 'yes' AS predicted, sl.label IS NOT NULL AS truth
FROM prompt_answers AS a
JOIN tested AS s ON s.sample = a.sample
JOIN labels AS l ON l.label = a.label AND l.evaluated
LEFT JOIN sample_labels AS sl ON sl.sample = a.sample AND sl.label = a.label
WHERE a.answer = 'yes' OR sl.label IS NOT NULL
ORDER BY a.label, s.position;

CREATE TEMP VIEW tokens AS SELECT "sample", "token", "text", "char_start", "char_end", "word", "row", "col",
"is_content" FROM read_parquet(['<warehouse>/tables/tokens/dataset=toys/model=tiny/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW token_labels AS SELECT "sample", "token", "label" FROM
read_parquet(['<warehouse>/tables/token_labels/dataset=toys/model=tiny/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW prompt_tokens AS SELECT "label", "sample", "token" FROM
read_parquet(['<warehouse>/tables/prompt_tokens/dataset=toys/model=asked/tokens_of=tiny/part-00000.parquet'],
hive_partitioning = false);

WITH asked AS (
    SELECT a.label, a.sample
    FROM prompt_answers AS a
    JOIN samples AS s ON s.sample = a.sample AND s.split = 'test'
    JOIN labels AS l ON l.label = a.label AND l.evaluated
),
content AS (
    SELECT sample, token
    FROM tokens
    WHERE is_content
),
placed AS (
    SELECT p.label, p.sample, p.token
    FROM prompt_tokens AS p
    JOIN asked AS a ON a.label = p.label AND a.sample = p.sample
    JOIN content AS c ON c.sample = p.sample AND c.token = p.token
),
carried AS (
    SELECT t.label, t.sample, t.token
    FROM token_labels AS t
    JOIN asked AS a ON a.label = t.label AND a.sample = t.sample
    JOIN content AS c ON c.sample = t.sample AND c.token = t.token
),
sizes AS (
    SELECT a.label, coalesce(sum(c.n), 0)::BIGINT AS n
    FROM asked AS a
    LEFT JOIN (SELECT sample, count(*) AS n FROM content GROUP BY sample) AS c ON c.sample = a.sample
    GROUP BY a.label
),
predicted AS (
    SELECT p.label, count(*) AS n, count(t.token) AS tp
    FROM placed AS p
    LEFT JOIN carried AS t ON t.label = p.label AND t.sample = p.sample AND t.token = p.token
    GROUP BY p.label
),
positives AS (
    SELECT label, count(*) AS n
    FROM carried
    GROUP BY label
),
counted AS (
    SELECT
        s.label,
        s.n,
        coalesce(p.tp, 0) AS tp,
        coalesce(p.n - p.tp, 0) AS fp,
        coalesce(t.n, 0) - coalesce(p.tp, 0) AS fn
    FROM sizes AS s
    LEFT JOIN predicted AS p ON p.label = s.label
    LEFT JOIN positives AS t ON t.label = s.label
),
confusion AS (
    SELECT label, tp, fp, fn, n - tp - fp - fn AS tn
    FROM counted
)
SELECT
    label,
    tp,
    fp,
    fn,
    tn,
    ratio(tp, tp + fp) AS "precision",
    ratio(tp, tp + fn) AS recall,
    ratio(2 * tp, 2 * tp + fp + fn) AS f1,
    ratio(tp + tn, tp + fp + fn + tn) AS accuracy,
    ratio(tp, tp + fp + fn) AS iou
FROM confusion
ORDER BY label;
