CREATE TEMP VIEW samples AS SELECT "sample", "path", "split", "modality", "text", "width", "height" FROM
read_parquet(['<warehouse>/tables/samples/dataset=d/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW labels AS SELECT "label", "source", "evaluated" FROM
read_parquet(['<warehouse>/tables/labels/dataset=d/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW sample_labels AS SELECT "sample", "label" FROM
read_parquet(['<warehouse>/tables/sample_labels/dataset=d/part-00000.parquet'], hive_partitioning = false);

CREATE TEMP VIEW tokens AS SELECT "sample", "token", "text", "char_start", "char_end", "word", "row", "col",
"is_content" FROM read_parquet(['<warehouse>/tables/tokens/dataset=d/model=m/part-00000.parquet'], hive_partitioning =
false);

CREATE TEMP VIEW token_labels AS SELECT "sample", "token", "label" FROM
read_parquet(['<warehouse>/tables/token_labels/dataset=d/model=m/part-00000.parquet'], hive_partitioning = false);

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

CREATE TEMP TABLE token_draws AS FROM (
WITH seeds AS (
    SELECT sample, split, splitmix64(xor(0::UBIGINT, sample::UBIGINT)) AS seed
    FROM samples
    WHERE split IN ('cal', 'test')
)
SELECT t.sample, t.token, s.split, splitmix64(xor(s.seed, t.token::UBIGINT)) AS draw
FROM tokens AS t
JOIN seeds AS s ON s.sample = t.sample
WHERE t.is_content
);

CREATE TEMP TABLE localization_floors AS FROM (
WITH sizes AS (
    SELECT split, count(*) AS n
    FROM token_draws
    GROUP BY split
),
labelled AS (
    SELECT l.label, d.split, d.draw
    FROM labels AS l
    JOIN token_labels AS tl ON tl.label = l.label
    JOIN token_draws AS d ON d.sample = tl.sample AND d.token = tl.token
    WHERE l.evaluated
),
known AS (
    SELECT DISTINCT l.label
    FROM labels AS l
    JOIN token_labels AS tl ON tl.label = l.label
    WHERE l.evaluated
),
rates AS (
    SELECT k.label, ratio(count(g.label), any_value(coalesce(c.n, 0))) AS p
    FROM known AS k
    LEFT JOIN labelled AS g ON g.label = k.label AND g.split = 'cal'
    LEFT JOIN sizes AS c ON c.split = 'cal'
    GROUP BY k.label
),
bounds AS (
    SELECT label, p, ceil(p * 18446744073709551616)::UHUGEINT AS bound
    FROM rates
),
drawn AS (
    SELECT b.label, d.split, count(*) AS n
    FROM bounds AS b
    JOIN token_draws AS d ON d.draw::UHUGEINT < b.bound
    GROUP BY b.label, d.split
),
positives AS (
    SELECT
        g.label,
        g.split,
        count(*) AS n,
        count(*) FILTER (g.draw::UHUGEINT < b.bound) AS drawn
    FROM labelled AS g
    JOIN bounds AS b ON b.label = g.label
    GROUP BY g.label, g.split
),
counted AS (
    SELECT
        b.label,
        b.p,
        s.split,
        coalesce(p.n, 0) AS positives,
        coalesce(c.n, 0) AS n,
        coalesce(d.n, 0) AS drawn,
        coalesce(p.drawn, 0) AS drawn_positives
    FROM bounds AS b
    CROSS JOIN (VALUES ('cal'), ('test')) AS s (split)
    LEFT JOIN sizes AS c ON c.split = s.split
    LEFT JOIN drawn AS d ON d.label = b.label AND d.split = s.split
    LEFT JOIN positives AS p ON p.label = b.label AND p.split = s.split
)
SELECT
    c.label,
    f.localizer,
    c.split,
    CASE f.localizer WHEN 'always' THEN 0.0 WHEN 'never' THEN 1.0 ELSE 1.0 - c.p END AS quantile,
    CASE f.localizer WHEN 'always' THEN c.positives WHEN 'never' THEN 0 ELSE c.drawn_positives END AS tp,
    CASE f.localizer WHEN 'always' THEN c.n - c.positives WHEN 'never' THEN 0 ELSE c.drawn - c.drawn_positives END AS fp,
    c.positives,
    c.n
FROM counted AS c
CROSS JOIN (VALUES ('always'), ('never'), ('random')) AS f (localizer)
ORDER BY c.label, f.localizer, c.split
);

CREATE TEMP VIEW thresholds AS SELECT "method", "detector", "label", "concept", "delta", "threshold", "n_calibration",
"status", "run" FROM
read_parquet(['<warehouse>/metrics/thresholds/dataset=d/model=m/layer=1/concept_set=sae/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW selection AS SELECT "method", "detector", "label", "concept", "delta", "threshold", "f1_cal", "run"
FROM
read_parquet(['<warehouse>/metrics/selection/dataset=d/model=m/layer=1/concept_set=sae/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW sample_scores AS SELECT "concept", "sample", "aggregate", "score" FROM
read_parquet(['<warehouse>/tables/sample_scores/dataset=d/model=m/layer=1/concept_set=sae/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW sae_activations AS SELECT "sample", "token", "feature", "activation" FROM
read_parquet(['<warehouse>/tables/sae_activations/dataset=d/model=m/layer=1/concept_set=sae/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP TABLE chosen_activations AS FROM (
WITH chosen AS (
    SELECT DISTINCT concept, concept::INTEGER AS feature
    FROM selection
    WHERE detector = 'superactivator' AND concept IS NOT NULL
)
SELECT c.concept, a.sample, a.token, a.activation AS cosine, a.activation AS signed_distance
FROM sae_activations AS a
JOIN chosen AS c ON c.feature = a.feature
);

CREATE TEMP VIEW activations AS FROM chosen_activations;

CREATE TEMP VIEW concepts AS SELECT "concept", "method", "vector", "bias", "norm", "n_positive", "n_negative", "epochs",
"train_f1", "seed", "status" FROM
read_parquet(['<warehouse>/tables/concepts/dataset=d/model=m/layer=1/concept_set=sae/unit=token/part-00000.parquet'],
hive_partitioning = false);

SELECT
    c.label,
    c.concept,
    c.threshold::FLOAT AS threshold,
    CASE 'activation' WHEN 'signed_distance' THEN any_value(v.norm) ELSE 1.0 END AS scale,
    max(ss.score::DOUBLE) * CASE 'activation' WHEN 'signed_distance' THEN any_value(v.norm) ELSE 1.0 END AS peak
FROM selection AS c
JOIN concepts AS v ON v.concept = c.concept
JOIN sample_scores AS ss ON ss.concept = c.concept AND ss.aggregate = 'max'
JOIN samples AS s ON s.sample = ss.sample AND s.split IN ('train', 'cal')
WHERE c.detector = 'superactivator' AND c.threshold IS NOT NULL AND c.label IN (SELECT t.label FROM token_labels AS t)
GROUP BY c.label, c.concept, c.threshold
ORDER BY c.label;

CREATE TEMP TABLE localization_labels AS FROM incoming_rows;

SELECT sample, count(*) AS n FROM tokens WHERE is_content GROUP BY sample ORDER BY sample;

WITH reached AS (
    SELECT
        l.label,
        a.sample,
        a.token,
        s.split,
        score_of('activation', a.cosine, a.signed_distance)::DOUBLE * l.scale AS logit,
        l.peak
    FROM activations AS a
    JOIN localization_labels AS l
        ON l.concept = a.concept AND score_of('activation', a.cosine, a.signed_distance) >= l.threshold
    JOIN samples AS s ON s.sample = a.sample
    WHERE a.sample BETWEEN 3 AND 56
)
SELECT
    label,
    sample,
    token,
    CASE WHEN split IN ('train', 'cal') THEN exp(logit - peak) ELSE 0.0 END AS global_weight,
    CASE
        WHEN split IN ('cal', 'test') THEN exp(logit - max(logit) OVER (PARTITION BY label, sample))
        ELSE 0.0
    END AS local_weight
FROM reached;

CREATE TEMP VIEW localization_scores AS SELECT "label", "sample", "token", "global_cosine", "local_cosine" FROM
read_parquet(['<warehouse>/staging/tables/localization_scores/dataset=d/model=m/layer=1/concept_set=sae/part-00000.parquet'],
hive_partitioning = false);

SELECT label, concept, delta, threshold FROM selection WHERE detector = 'superactivator' ORDER BY label;

SELECT count(*) FROM tokens WHERE is_content;

CREATE TEMP TABLE chosen_labels AS FROM incoming_rows;

CREATE TEMP VIEW activations AS FROM (
WITH features AS (
    SELECT DISTINCT concept
    FROM chosen_labels
),
content AS (
    SELECT t.sample, t.token
    FROM tokens AS t
    JOIN samples AS s ON s.sample = t.sample AND s.split IN ('cal', 'test')
    WHERE t.is_content
)
SELECT
    f.concept,
    c.sample,
    c.token,
    coalesce(a.cosine, 0)::FLOAT AS cosine,
    coalesce(a.signed_distance, 0)::FLOAT AS signed_distance
FROM features AS f
CROSS JOIN content AS c
LEFT JOIN chosen_activations AS a ON a.concept = f.concept AND a.sample = c.sample AND a.token = c.token
);

CREATE TEMP TABLE label_scores AS FROM (
WITH evaluated AS (
    SELECT c.label, c.concept, s.sample, s.split::ENUM('cal', 'test') AS split, sl.label IS NOT NULL AS carries
    FROM chosen_labels AS c
    CROSS JOIN samples AS s
    LEFT JOIN sample_labels AS sl ON sl.sample = s.sample AND sl.label = c.label
    WHERE s.split IN ('cal', 'test')
),
inside AS (
    SELECT tl.label, tl.sample, tl.token
    FROM token_labels AS tl
    WHERE tl.label IN (SELECT c.label FROM chosen_labels AS c)
)
SELECT
    e.label,
    a.sample,
    a.token,
    e.split,
    score_of('activation', a.cosine, a.signed_distance) AS score,
    i.label IS NOT NULL AS in_concept,
    e.carries
FROM activations AS a
JOIN evaluated AS e ON e.concept = a.concept AND e.sample = a.sample
LEFT JOIN inside AS i ON i.label = e.label AND i.sample = a.sample AND i.token = a.token
WHERE a.concept BETWEEN '18' AND '9'
);

WITH grid AS (
    SELECT c.label, levels()[list_position(deltas(), t.delta)] AS quantile, t.threshold::FLOAT AS threshold
    FROM chosen_labels AS c
    JOIN thresholds AS t ON t.label = c.label AND t.concept = c.concept AND t.delta >= c.delta
    WHERE t.detector = 'superactivator'
),
lowest AS (
    SELECT label, min(threshold) AS threshold
    FROM grid
    GROUP BY label
),
detected_samples AS (
    SELECT DISTINCT s.label, s.sample
    FROM label_scores AS s
    JOIN chosen_labels AS c ON c.label = s.label AND s.score >= c.threshold::FLOAT
),
candidates AS (
    SELECT s.label, s.split, s.score, s.in_concept
    FROM label_scores AS s
    JOIN lowest AS l ON l.label = s.label AND s.score >= l.threshold
    JOIN detected_samples AS d ON d.label = s.label AND d.sample = s.sample
),
hits AS (
    SELECT c.label, c.split, g.quantile, count(*) FILTER (c.in_concept) AS tp, count(*) FILTER (NOT c.in_concept) AS fp
    FROM candidates AS c
    JOIN grid AS g ON g.label = c.label AND c.score >= g.threshold
    GROUP BY c.label, c.split, g.quantile
),
totals AS (
    SELECT label, split, count(*) FILTER (in_concept) AS positives, count(*) AS n
    FROM label_scores
    GROUP BY label, split
)
SELECT
    g.label,
    'concept_vector' AS localizer,
    s.split,
    g.quantile,
    coalesce(h.tp, 0) AS tp,
    coalesce(h.fp, 0) AS fp,
    coalesce(t.positives, 0) AS positives,
    coalesce(t.n, 0) AS n
FROM (VALUES ('cal'), ('test')) AS s (split)
CROSS JOIN grid AS g
LEFT JOIN totals AS t ON t.label = g.label AND t.split = s.split
LEFT JOIN hits AS h ON h.label = g.label AND h.split = s.split AND h.quantile = g.quantile
ORDER BY g.label, s.split, g.quantile;

WITH inside AS (
    SELECT label, sample, token
    FROM label_scores
    WHERE in_concept
),
aligned AS (
    SELECT l.label, s.split, l.global_cosine, l.local_cosine, i.label IS NOT NULL AS in_concept
    FROM localization_scores AS l
    JOIN samples AS s ON s.sample = l.sample
    LEFT JOIN inside AS i ON i.label = l.label AND i.sample = l.sample AND i.token = l.token
    WHERE l.label IN (SELECT c.label FROM chosen_labels AS c)
),
cosines AS (
    SELECT label, 'superactivator_global' AS localizer, split, global_cosine AS cosine, in_concept
    FROM aligned
    UNION ALL
    SELECT label, 'superactivator_local' AS localizer, split, local_cosine AS cosine, in_concept
    FROM aligned
),
cuts AS (
    SELECT
        label,
        localizer,
        split,
        unnest(deltas()) AS quantile,
        unnest(quantile_cont(cosine::DOUBLE, deltas()))::FLOAT AS cut
    FROM cosines
    GROUP BY label, localizer, split
),
hits AS (
    SELECT
        c.label,
        c.localizer,
        c.split,
        u.quantile,
        count(*) FILTER (c.in_concept) AS tp,
        count(*) FILTER (NOT c.in_concept) AS fp
    FROM cosines AS c
    JOIN cuts AS u ON u.label = c.label AND u.localizer = c.localizer AND u.split = c.split AND c.cosine >= u.cut
    GROUP BY c.label, c.localizer, c.split, u.quantile
),
totals AS (
    SELECT label, split, count(*) FILTER (in_concept) AS positives, count(*) AS n
    FROM label_scores
    GROUP BY label, split
)
SELECT
    b.label,
    k.localizer,
    s.split,
    g.quantile,
    coalesce(h.tp, 0) AS tp,
    coalesce(h.fp, 0) AS fp,
    coalesce(t.positives, 0) AS positives,
    coalesce(t.n, 0) AS n
FROM chosen_labels AS b
CROSS JOIN (VALUES ('superactivator_global'), ('superactivator_local')) AS k (localizer)
CROSS JOIN (VALUES ('cal'), ('test')) AS s (split)
CROSS JOIN (SELECT unnest(deltas()) AS quantile) AS g
LEFT JOIN totals AS t ON t.label = b.label AND t.split = s.split
LEFT JOIN hits AS h ON h.label = b.label AND h.localizer = k.localizer AND h.split = s.split AND h.quantile = g.quantile
ORDER BY b.label, k.localizer, s.split, g.quantile;

CREATE TEMP TABLE localization_counts AS FROM incoming_rows;

CREATE TEMP TABLE localization ("method" VARCHAR, "label" VARCHAR, "localizer" VARCHAR, "split" VARCHAR, "quantile"
DOUBLE, "concept" VARCHAR, "delta" DOUBLE, "tp" BIGINT, "fp" BIGINT, "fn" BIGINT, "tn" BIGINT, "precision" DOUBLE,
"recall" DOUBLE, "f1" DOUBLE, "accuracy" DOUBLE, "iou" DOUBLE, "run" VARCHAR);

INSERT INTO localization BY NAME FROM (
WITH selected AS (
    SELECT label, concept, delta
    FROM selection
    WHERE detector = 'superactivator' AND threshold IS NOT NULL
),
counted AS (
    SELECT c.label, c.localizer, c.split, c.quantile, s.concept, s.delta, c.tp, c.fp, c.positives, c.n
    FROM localization_counts AS c
    JOIN selected AS s ON s.label = c.label
    UNION ALL
    SELECT f.label, f.localizer, f.split, f.quantile, NULL AS concept, NULL AS delta, f.tp, f.fp, f.positives, f.n
    FROM localization_floors AS f
    JOIN selected AS s ON s.label = f.label
),
measured AS (
    SELECT
        label,
        localizer,
        split,
        quantile,
        concept,
        delta,
        tp,
        fp,
        positives - tp AS fn,
        n - positives - fp AS tn,
        ratio(2 * tp, tp + fp + positives) AS f1
    FROM counted
),
chosen AS (
    SELECT label, localizer, quantile
    FROM measured
    WHERE split = 'cal'
    QUALIFY row_number() OVER (
        PARTITION BY label, localizer
        ORDER BY f1 DESC, CASE localizer WHEN 'concept_vector' THEN -quantile ELSE quantile END
    ) = 1
)
SELECT
    m.label,
    m.localizer,
    m.split,
    m.quantile,
    m.concept,
    m.delta,
    m.tp,
    m.fp,
    m.fn,
    m.tn,
    ratio(m.tp, m.tp + m.fp) AS "precision",
    ratio(m.tp, m.tp + m.fn) AS recall,
    m.f1,
    ratio(m.tp + m.tn, m.tp + m.fp + m.fn + m.tn) AS accuracy,
    ratio(m.tp, m.tp + m.fp + m.fn) AS iou
FROM measured AS m
WHERE m.split = 'cal' OR (m.label, m.localizer, m.quantile) IN (SELECT (c.label, c.localizer, c.quantile) FROM chosen AS c)
ORDER BY m.label, m.localizer, m.split, m.quantile
);

SELECT * FROM localization WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;
