CREATE OR REPLACE VIEW activations AS SELECT "dataset", "model", "layer", "concept_set", "unit", "concept", "sample",
"token", "cosine", "signed_distance" FROM
read_parquet(['<warehouse>/tables/activations/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/tables/activations/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/tables/activations/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW concept_sets AS SELECT "dataset", "model", "layer", "concept_set", "unit", "method",
"supervised", "score", "k", "seed", "hyperparameters" FROM
read_parquet(['<warehouse>/tables/concept_sets/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/tables/concept_sets/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/tables/concept_sets/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=cls/part-00000.parquet',
'<warehouse>/tables/concept_sets/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW concepts AS SELECT "dataset", "model", "layer", "concept_set", "unit", "concept", "method",
"vector"::FLOAT[4] AS "vector", "bias", "norm", "n_positive", "n_negative", "epochs", "train_f1", "seed", "status" FROM
read_parquet(['<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=cls/part-00000.parquet',
'<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW datasets AS SELECT "dataset", "name", "source", "modality", "licence", "digest" FROM
read_parquet(['<warehouse>/tables/datasets/dataset=toys/part-00000.parquet'], hive_partitioning = true, hive_types =
{'dataset': 'VARCHAR'});

CREATE OR REPLACE VIEW detection AS SELECT "dataset", "model", "layer", "concept_set", "unit", "method", "detector",
"label", "concept", "delta", "split", "tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy", "fpr", "run" FROM
read_parquet(['<warehouse>/metrics/detection/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/metrics/detection/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/metrics/detection/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW distributions AS SELECT "dataset", "model", "layer", "concept_set", "method", "label",
"population", "bin", "lo", "hi", "n", "mass", "run" FROM
read_parquet(['<warehouse>/metrics/distributions/dataset=toys/model=tiny/layer=1/concept_set=avg/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR'});

CREATE OR REPLACE VIEW embeddings AS SELECT "dataset", "model", "layer", "unit", "sample", "token",
"embedding"::FLOAT[4] AS "embedding" FROM
read_parquet(['<warehouse>/tables/embeddings/dataset=toys/model=tiny/layer=1/unit=cls/part-00000.parquet',
'<warehouse>/tables/embeddings/dataset=toys/model=tiny/layer=1/unit=token/part-00000.parquet'], hive_partitioning =
true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW labels AS SELECT "dataset", "label", "source", "evaluated" FROM
read_parquet(['<warehouse>/tables/labels/dataset=toys/part-00000.parquet'], hive_partitioning = true, hive_types =
{'dataset': 'VARCHAR'});

CREATE OR REPLACE VIEW layer_selection AS SELECT "dataset", "model", "concept_set", "unit", "method", "detector",
"label", "layer", "concept", "delta", "f1_cal", "f1_test", "precision_test", "recall_test", "n_positive", "run" FROM
read_parquet(['<warehouse>/metrics/layer_selection/dataset=toys/model=tiny/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'concept_set': 'VARCHAR', 'unit':
'VARCHAR'});

CREATE OR REPLACE VIEW layer_stats AS SELECT "dataset", "model", "layer", "unit", "mean"::FLOAT[4] AS "mean", "rms", "n"
FROM read_parquet(['<warehouse>/tables/layer_stats/dataset=toys/model=tiny/layer=1/unit=cls/part-00000.parquet',
'<warehouse>/tables/layer_stats/dataset=toys/model=tiny/layer=1/unit=token/part-00000.parquet'], hive_partitioning =
true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW localization AS SELECT "dataset", "model", "layer", "concept_set", "method", "label",
"localizer", "split", "quantile", "concept", "delta", "tp", "fp", "fn", "tn", "precision", "recall", "f1", "accuracy",
"iou", "run" FROM
read_parquet(['<warehouse>/metrics/localization/dataset=toys/model=tiny/layer=1/concept_set=avg/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR'});

CREATE OR REPLACE VIEW localization_scores AS SELECT "dataset", "model", "layer", "concept_set", "label", "sample",
"token", "global_cosine", "local_cosine" FROM
read_parquet(['<warehouse>/tables/localization_scores/dataset=toys/model=tiny/layer=1/concept_set=avg/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR'});

CREATE OR REPLACE VIEW models AS SELECT "model", "name", "source", "modality", "licence", "revision", "blocks", "width"
FROM read_parquet(['<warehouse>/tables/models/model=tiny/part-00000.parquet'], hive_partitioning = true, hive_types =
{'model': 'VARCHAR'});

CREATE OR REPLACE VIEW null_summary AS SELECT "dataset", "model", "concept_set", "unit", "layer_choice", "layer",
"method", "detector", "shuffle", "f1_cal", "f1", "n_labels", "n_positive", "run" FROM
read_parquet(['<warehouse>/metrics/null_summary/dataset=toys/model=tiny/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'concept_set': 'VARCHAR', 'unit':
'VARCHAR'});

CREATE OR REPLACE VIEW prompt_answers AS SELECT "dataset", "model", "sample", "label", "answer", "reply",
"localization_reply" FROM
read_parquet(['<warehouse>/tables/prompt_answers/dataset=toys/model=asked/part-00000.parquet'], hive_partitioning =
true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR'});

CREATE OR REPLACE VIEW prompt_detection AS SELECT "dataset", "model", "label", "tp", "fp", "fn", "tn", "precision",
"recall", "f1", "accuracy", "fpr", "n_unparsed", "n_yes", "n_questions", "run" FROM
read_parquet(['<warehouse>/metrics/prompt_detection/dataset=toys/model=asked/part-00000.parquet'], hive_partitioning =
true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR'});

CREATE OR REPLACE VIEW prompt_localization AS SELECT "dataset", "model", "tokens_of", "label", "tp", "fp", "fn", "tn",
"precision", "recall", "f1", "accuracy", "iou", "run" FROM
read_parquet(['<warehouse>/metrics/prompt_localization/dataset=toys/model=asked/tokens_of=tiny/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'tokens_of': 'VARCHAR'});

CREATE OR REPLACE VIEW prompt_tokens AS SELECT "dataset", "model", "tokens_of", "label", "sample", "token" FROM
read_parquet(['<warehouse>/tables/prompt_tokens/dataset=toys/model=asked/tokens_of=tiny/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'tokens_of': 'VARCHAR'});

CREATE OR REPLACE VIEW sae_activations AS SELECT NULL::VARCHAR AS "dataset", NULL::VARCHAR AS "model", NULL::INTEGER AS
"layer", NULL::VARCHAR AS "concept_set", NULL::VARCHAR AS "unit", NULL::INTEGER AS "sample", NULL::INTEGER AS "token",
NULL::INTEGER AS "feature", NULL::FLOAT AS "activation" WHERE false;

CREATE OR REPLACE VIEW sae_stats AS SELECT NULL::VARCHAR AS "dataset", NULL::VARCHAR AS "model", NULL::INTEGER AS
"layer", NULL::VARCHAR AS "concept_set", NULL::VARCHAR AS "unit", NULL::VARCHAR AS "split", NULL::BIGINT AS "n",
NULL::DOUBLE AS "explained_variance", NULL::DOUBLE AS "mse", NULL::DOUBLE AS "l0", NULL::BIGINT AS "n_features",
NULL::BIGINT AS "n_dead", NULL::DOUBLE AS "dead_share" WHERE false;

CREATE OR REPLACE VIEW sae_units AS SELECT NULL::VARCHAR AS "dataset", NULL::VARCHAR AS "model", NULL::INTEGER AS
"layer", NULL::VARCHAR AS "concept_set", NULL::VARCHAR AS "unit", NULL::VARCHAR AS "method", NULL::VARCHAR AS "concept",
NULL::BIGINT AS "n_active", NULL::DOUBLE AS "share_active", NULL::FLOAT AS "max_activation", NULL::DOUBLE AS
"mean_activation", NULL::DOUBLE AS "p95", NULL::DOUBLE AS "p99", NULL::VARCHAR AS "status", NULL::VARCHAR AS "run" WHERE
false;

CREATE OR REPLACE VIEW sample_labels AS SELECT "dataset", "sample", "label" FROM
read_parquet(['<warehouse>/tables/sample_labels/dataset=toys/part-00000.parquet'], hive_partitioning = true, hive_types
= {'dataset': 'VARCHAR'});

CREATE OR REPLACE VIEW sample_scores AS SELECT "dataset", "model", "layer", "concept_set", "unit", "concept", "sample",
"aggregate", "score" FROM
read_parquet(['<warehouse>/tables/sample_scores/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/tables/sample_scores/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/tables/sample_scores/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW samples AS SELECT "dataset", "sample", "path", "split", "modality", "text", "width", "height"
FROM read_parquet(['<warehouse>/tables/samples/dataset=toys/part-00000.parquet'], hive_partitioning = true, hive_types =
{'dataset': 'VARCHAR'});

CREATE OR REPLACE VIEW selection AS SELECT "dataset", "model", "layer", "concept_set", "unit", "method", "detector",
"label", "concept", "delta", "threshold", "f1_cal", "run" FROM
read_parquet(['<warehouse>/metrics/selection/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/metrics/selection/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/metrics/selection/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW separation AS SELECT "dataset", "model", "layer", "concept_set", "method", "label", "concept",
"delta", "overlap", "auc", "cohens_d", "tail_mass", "tail_coverage", "tail_precision", "n_in", "n_out", "run" FROM
read_parquet(['<warehouse>/metrics/separation/dataset=toys/model=tiny/layer=1/concept_set=avg/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR'});

CREATE OR REPLACE VIEW summary AS SELECT "dataset", "model", "concept_set", "unit", "layer_choice", "layer", "method",
"detector", "f1", "precision", "recall", "macro_f1", "macro_precision", "macro_recall", "micro_f1", "micro_precision",
"micro_recall", "n_labels", "n_positive", "ci_low", "ci_high", "run" FROM
read_parquet(['<warehouse>/metrics/summary/dataset=toys/model=asked/concept_set=prompt/unit=sample/part-00000.parquet',
'<warehouse>/metrics/summary/dataset=toys/model=tiny/concept_set=avg/unit=token/part-00000.parquet'], hive_partitioning
= true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'concept_set': 'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW superactivator_ratio AS SELECT "dataset", "model", "layer", "concept_set", "method", "label",
"sample", "n_superactivators", "n_superactivators_in_concept", "n_in_concept", "run" FROM
read_parquet(['<warehouse>/metrics/superactivator_ratio/dataset=toys/model=tiny/layer=1/concept_set=avg/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR'});

CREATE OR REPLACE VIEW thresholds AS SELECT "dataset", "model", "layer", "concept_set", "unit", "method", "detector",
"label", "concept", "delta", "threshold", "n_calibration", "status", "run" FROM
read_parquet(['<warehouse>/metrics/thresholds/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=cls/part-00000.parquet',
'<warehouse>/metrics/thresholds/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet',
'<warehouse>/metrics/thresholds/dataset=toys/model=tiny/layer=1/concept_set=kmeans/unit=token/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR', 'layer': 'INTEGER', 'concept_set':
'VARCHAR', 'unit': 'VARCHAR'});

CREATE OR REPLACE VIEW token_labels AS SELECT "dataset", "model", "sample", "token", "label" FROM
read_parquet(['<warehouse>/tables/token_labels/dataset=toys/model=tiny/part-00000.parquet'], hive_partitioning = true,
hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR'});

CREATE OR REPLACE VIEW tokens AS SELECT "dataset", "model", "sample", "token", "text", "char_start", "char_end", "word",
"row", "col", "is_content" FROM read_parquet(['<warehouse>/tables/tokens/dataset=toys/model=tiny/part-00000.parquet'],
hive_partitioning = true, hive_types = {'dataset': 'VARCHAR', 'model': 'VARCHAR'});

CREATE OR REPLACE VIEW runs AS FROM published_runs;

CREATE OR REPLACE VIEW scores AS
SELECT
    a.dataset,
    a.model,
    a.layer,
    a.concept_set,
    a.unit,
    a.concept,
    a.sample,
    a.token,
    s.split,
    t.text,
    t."row",
    t.col,
    a.cosine,
    a.signed_distance,
    CASE c.score WHEN 'cosine' THEN a.cosine ELSE a.signed_distance END AS score,
    coalesce(tl.label, sl.label) IS NOT NULL AS in_concept
FROM activations AS a
JOIN samples AS s ON s.dataset = a.dataset AND s.sample = a.sample
JOIN concept_sets AS c
    ON c.dataset = a.dataset AND c.model = a.model AND c.layer = a.layer AND c.concept_set = a.concept_set AND c.unit = a.unit
LEFT JOIN tokens AS t
    ON t.dataset = a.dataset AND t.model = a.model AND t.sample = a.sample AND t.token = a.token
LEFT JOIN token_labels AS tl
    ON tl.dataset = a.dataset AND tl.model = a.model AND tl.sample = a.sample AND tl.token = a.token AND tl.label = a.concept
LEFT JOIN sample_labels AS sl
    ON a.token = -1 AND sl.dataset = a.dataset AND sl.sample = a.sample AND sl.label = a.concept;

CREATE OR REPLACE VIEW superactivators AS
WITH chosen AS NOT MATERIALIZED (
    SELECT
        s.dataset,
        s.model,
        s.layer,
        s.concept_set,
        s.unit,
        s.label,
        s.concept,
        s.threshold,
        c.score AS measure
    FROM selection AS s
    JOIN concept_sets AS c
        ON c.dataset = s.dataset AND c.model = s.model AND c.layer = s.layer AND c.concept_set = s.concept_set
        AND c.unit = s.unit
    WHERE s.detector = 'superactivator' AND s.unit = 'token'
),
reached AS NOT MATERIALIZED (
    SELECT
        chosen.dataset,
        chosen.model,
        chosen.layer,
        chosen.concept_set,
        chosen.label,
        a.sample,
        a.token,
        score_of(chosen.measure, a.cosine, a.signed_distance) AS score,
        chosen.threshold
    FROM chosen
    JOIN activations AS a
        ON a.dataset = chosen.dataset AND a.model = chosen.model AND a.layer = chosen.layer
        AND a.concept_set = chosen.concept_set AND a.unit = chosen.unit AND a.concept = chosen.concept
    WHERE score_of(chosen.measure, a.cosine, a.signed_distance) >= chosen.threshold::FLOAT
    UNION ALL
    SELECT
        chosen.dataset,
        chosen.model,
        chosen.layer,
        chosen.concept_set,
        chosen.label,
        f.sample,
        f.token,
        f.activation AS score,
        chosen.threshold
    FROM chosen
    JOIN sae_activations AS f
        ON f.dataset = chosen.dataset AND f.model = chosen.model AND f.layer = chosen.layer
        AND f.concept_set = chosen.concept_set AND f.unit = chosen.unit AND f.feature = try_cast(chosen.concept AS INTEGER)
    WHERE chosen.measure = 'activation' AND f.activation >= chosen.threshold::FLOAT
)
SELECT
    r.dataset,
    r.model,
    r.layer,
    r.concept_set,
    r.label,
    r.sample,
    r.token,
    s.split,
    t.text,
    r.score,
    r.threshold,
    tl.label IS NOT NULL AS in_concept
FROM reached AS r
JOIN samples AS s ON s.dataset = r.dataset AND s.sample = r.sample
LEFT JOIN tokens AS t ON t.dataset = r.dataset AND t.model = r.model AND t.sample = r.sample AND t.token = r.token
LEFT JOIN token_labels AS tl
    ON tl.dataset = r.dataset AND tl.model = r.model AND tl.sample = r.sample AND tl.token = r.token AND tl.label = r.label;

CREATE OR REPLACE VIEW label_floors AS
WITH sizes AS (
    SELECT dataset, count(*) FILTER (split = 'test') AS n_test, count(*) FILTER (split = 'cal') AS n_cal
    FROM samples
    GROUP BY dataset
),
positives AS (
    SELECT
        l.dataset,
        l.label,
        count(*) FILTER (s.split = 'test') AS n_positive,
        count(*) FILTER (s.split = 'cal') AS cal_positives
    FROM labels AS l
    JOIN sample_labels AS sl ON sl.dataset = l.dataset AND sl.label = l.label
    JOIN samples AS s ON s.dataset = sl.dataset AND s.sample = sl.sample
    WHERE l.evaluated
    GROUP BY l.dataset, l.label
),
rates AS (
    SELECT
        p.dataset,
        p.label,
        p.n_positive,
        2.0 * p.n_positive / (p.n_positive + n.n_test) AS always_f1,
        p.n_positive / n.n_test AS p,
        CASE WHEN n.n_cal = 0 THEN 0.0 ELSE p.cal_positives / n.n_cal END AS q
    FROM positives AS p
    JOIN sizes AS n ON n.dataset = p.dataset
    WHERE p.n_positive > 0
)
SELECT dataset, label, always_f1, 2.0 * p * q / (p + q) AS coin_f1, n_positive
FROM rates;

CREATE OR REPLACE VIEW floors AS
SELECT
    dataset,
    fsum(always_f1 * n_positive) / sum(n_positive) AS always_f1,
    fsum(coin_f1 * n_positive) / sum(n_positive) AS coin_f1,
    count(*) AS n_labels,
    sum(n_positive)::BIGINT AS n_positive
FROM label_floors
GROUP BY dataset;

CREATE OR REPLACE VIEW precision_recall AS
WITH tested AS NOT MATERIALIZED (
    SELECT dataset, sample
    FROM samples
    WHERE split = 'test'
),
carried AS NOT MATERIALIZED (
    SELECT sl.dataset, sl.label, sl.sample
    FROM sample_labels AS sl
    JOIN tested AS t ON t.dataset = sl.dataset AND t.sample = sl.sample
),
positives AS (
    SELECT dataset, label, count(*) AS n
    FROM carried
    GROUP BY dataset, label
),
steps AS (
    SELECT
        chosen.dataset,
        chosen.model,
        chosen.layer,
        chosen.concept_set,
        chosen.unit,
        chosen.detector,
        chosen.label,
        ss.score AS threshold,
        count(*) AS n,
        count(c.sample) AS hits
    FROM selection AS chosen
    JOIN detectors() AS d ON d.detector = chosen.detector
    JOIN sample_scores AS ss
        ON ss.dataset = chosen.dataset AND ss.model = chosen.model AND ss.layer = chosen.layer
        AND ss.concept_set = chosen.concept_set AND ss.unit = chosen.unit AND ss.concept = chosen.concept
        AND ss.aggregate = d.aggregate
    JOIN tested AS t ON t.dataset = ss.dataset AND t.sample = ss.sample
    LEFT JOIN carried AS c ON c.dataset = ss.dataset AND c.sample = ss.sample AND c.label = chosen.label
    WHERE ss.score IS NOT NULL
    GROUP BY ALL
),
counted AS (
    SELECT
        steps.* EXCLUDE (n, hits),
        sum(n) OVER reached AS n_detected,
        sum(hits) OVER reached AS tp
    FROM steps
    WINDOW reached AS (
        PARTITION BY dataset, model, layer, concept_set, unit, detector, label
        ORDER BY threshold DESC
    )
)
SELECT
    k.dataset,
    k.model,
    k.layer,
    k.concept_set,
    k.unit,
    k.detector,
    k.label,
    k.threshold,
    ratio(k.tp, k.n_detected) AS precision,
    ratio(k.tp, coalesce(p.n, 0)) AS recall,
    ratio(2 * k.tp, k.n_detected + coalesce(p.n, 0)) AS f1,
    k.n_detected::BIGINT AS n_detected
FROM counted AS k
LEFT JOIN positives AS p ON p.dataset = k.dataset AND p.label = k.label
ORDER BY k.dataset, k.model, k.layer, k.concept_set, k.unit, k.detector, k.label, k.threshold DESC;

CREATE OR REPLACE VIEW delta_histogram AS
WITH choices AS (
    SELECT dataset, model, concept_set, unit, detector, 'fixed' AS layer_choice, layer, delta
    FROM selection
    UNION ALL
    SELECT dataset, model, concept_set, unit, detector, 'best' AS layer_choice, NULL AS layer, delta
    FROM layer_selection
)
SELECT
    c.dataset,
    c.model,
    c.concept_set,
    c.unit,
    c.detector,
    c.layer_choice,
    c.layer,
    g.delta,
    count(*) FILTER (c.delta = g.delta) AS n_labels
FROM choices AS c
CROSS JOIN (SELECT unnest(deltas()) AS delta) AS g
GROUP BY ALL
ORDER BY ALL;

SET allowed_directories = ['<warehouse>/tables/', '<warehouse>/metrics/'];

SET enable_external_access = false;

SET lock_configuration = true;
