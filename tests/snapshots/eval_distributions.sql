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

CREATE TEMP VIEW activations AS SELECT "concept", "sample", "token", "cosine", "signed_distance" FROM
read_parquet(['<warehouse>/tables/activations/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP VIEW concepts AS SELECT "concept", "method", "vector", "bias", "norm", "n_positive", "n_negative", "epochs",
"train_f1", "seed", "status" FROM
read_parquet(['<warehouse>/tables/concepts/dataset=toys/model=tiny/layer=1/concept_set=avg/unit=token/part-00000.parquet'],
hive_partitioning = false);

CREATE TEMP TABLE distributions ("method" VARCHAR, "label" VARCHAR, "population" VARCHAR, "bin" INTEGER, "lo" DOUBLE,
"hi" DOUBLE, "n" BIGINT, "mass" DOUBLE, "run" VARCHAR);

CREATE TEMP TABLE separation ("method" VARCHAR, "label" VARCHAR, "concept" VARCHAR, "delta" DOUBLE, "overlap" DOUBLE,
"auc" DOUBLE, "cohens_d" DOUBLE, "tail_mass" DOUBLE, "tail_coverage" DOUBLE, "tail_precision" DOUBLE, "n_in" BIGINT,
"n_out" BIGINT, "run" VARCHAR);

CREATE TEMP TABLE superactivator_ratio ("method" VARCHAR, "label" VARCHAR, "sample" INTEGER, "n_superactivators" BIGINT,
"n_superactivators_in_concept" BIGINT, "n_in_concept" BIGINT, "run" VARCHAR);

SELECT concept FROM concepts WHERE status = 'ok';

SELECT label, concept, delta, threshold FROM selection WHERE detector = 'superactivator' ORDER BY label;

SELECT count(*) FROM tokens WHERE is_content;

CREATE TEMP TABLE chosen_labels AS FROM incoming_rows;

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
    score_of('cosine', a.cosine, a.signed_distance) AS score,
    i.label IS NOT NULL AS in_concept,
    e.carries
FROM activations AS a
JOIN evaluated AS e ON e.concept = a.concept AND e.sample = a.sample
LEFT JOIN inside AS i ON i.label = e.label AND i.sample = a.sample AND i.token = a.token
WHERE a.concept BETWEEN 'blue' AND 'it''s red'
);

INSERT INTO distributions BY NAME FROM (
WITH scored AS (
    SELECT
        label,
        score::DOUBLE AS score,
        CASE WHEN in_concept THEN 'in_concept' WHEN carries THEN 'in_sample_not_token' ELSE 'out_of_concept' END AS population
    FROM label_scores
    WHERE split = 'test'
),
bounds AS (
    SELECT label, min(score) AS low, max(score) AS high
    FROM scored
    GROUP BY label
),
binned AS (
    SELECT s.label, s.population, bin_of(s.score, b.low, b.high) AS bin, count(*) AS n
    FROM scored AS s
    JOIN bounds AS b ON b.label = s.label
    GROUP BY ALL
),
totals AS (
    SELECT label, population, sum(n) AS total
    FROM binned
    GROUP BY label, population
)
SELECT
    c.label,
    p.population,
    g.bin,
    b.low + (b.high - b.low) * g.bin / 100 AS lo,
    b.low + (b.high - b.low) * (g.bin + 1) / 100 AS hi,
    coalesce(n.n, 0)::BIGINT AS n,
    ratio(coalesce(n.n, 0), coalesce(t.total, 0)) AS mass
FROM chosen_labels AS c
CROSS JOIN (VALUES ('in_concept'), ('in_sample_not_token'), ('out_of_concept')) AS p (population)
CROSS JOIN (SELECT unnest(range(100))::INTEGER AS bin) AS g
LEFT JOIN bounds AS b ON b.label = c.label
LEFT JOIN binned AS n ON n.label = c.label AND n.population = p.population AND n.bin = g.bin
LEFT JOIN totals AS t ON t.label = c.label AND t.population = p.population
ORDER BY c.label, p.population, g.bin
);

INSERT INTO separation BY NAME FROM (
WITH scored AS (
    SELECT label, sample, carries, score, in_concept AS inside, NOT in_concept AND NOT carries AS outside
    FROM label_scores
    WHERE split = 'test'
),
bounds AS (
    SELECT label, min(score)::DOUBLE AS low, max(score)::DOUBLE AS high
    FROM scored
    GROUP BY label
),
values_seen AS (
    SELECT label, score, count(*) FILTER (inside) AS n_in, count(*) FILTER (outside) AS n_out
    FROM scored
    GROUP BY label, score
),
ranked AS (
    SELECT
        label,
        score::DOUBLE AS score,
        n_in,
        n_out,
        sum(n_out) OVER (PARTITION BY label ORDER BY score ROWS UNBOUNDED PRECEDING) - n_out AS out_below
    FROM values_seen
),
groups AS (
    SELECT
        label,
        sum(n_in)::BIGINT AS n_in,
        sum(n_out)::BIGINT AS n_out,
        sum(n_in * (2 * out_below + n_out))::DOUBLE / 2 AS wins
    FROM ranked
    GROUP BY label
),
binned AS (
    SELECT r.label, bin_of(r.score, b.low, b.high) AS bin, sum(r.n_in) AS n_in, sum(r.n_out) AS n_out
    FROM ranked AS r
    JOIN bounds AS b ON b.label = r.label
    GROUP BY ALL
),
overlapping AS (
    SELECT b.label, fsum(least(b.n_in / g.n_in, b.n_out / g.n_out)) AS overlap
    FROM binned AS b
    JOIN groups AS g ON g.label = b.label
    WHERE g.n_in > 0 AND g.n_out > 0
    GROUP BY b.label
),
moments AS (
    SELECT
        label,
        favg(score::DOUBLE) FILTER (inside) AS mean_in,
        favg(score::DOUBLE) FILTER (outside) AS mean_out,
        var_samp(score::DOUBLE) FILTER (inside) AS var_in,
        var_samp(score::DOUBLE) FILTER (outside) AS var_out
    FROM scored
    GROUP BY label
),
tail AS (
    SELECT
        s.label,
        count(*) FILTER (s.inside) AS n_in,
        count(*) FILTER (s.outside) AS n_out,
        count(DISTINCT s.sample) FILTER (s.carries) AS n_samples
    FROM scored AS s
    JOIN chosen_labels AS c ON c.label = s.label AND s.score >= c.threshold::FLOAT
    GROUP BY s.label
),
known AS (
    SELECT DISTINCT label
    FROM token_labels
),
carriers AS (
    SELECT sl.label, count(*) AS n
    FROM sample_labels AS sl
    JOIN samples AS s ON s.sample = sl.sample AND s.split = 'test'
    GROUP BY sl.label
)
SELECT
    c.label,
    c.concept,
    c.delta,
    o.overlap,
    CASE WHEN g.n_in > 0 AND g.n_out > 0 THEN g.wins / g.n_in / g.n_out END AS auc,
    (m.mean_in - m.mean_out)
    / nullif(sqrt(((g.n_in - 1) * m.var_in + (g.n_out - 1) * m.var_out) / (g.n_in + g.n_out - 2)), 0) AS cohens_d,
    CASE WHEN c.threshold IS NOT NULL AND i.label IS NOT NULL THEN ratio(coalesce(t.n_in, 0), coalesce(g.n_in, 0)) END
        AS tail_mass,
    CASE WHEN c.threshold IS NOT NULL THEN ratio(coalesce(t.n_samples, 0), coalesce(k.n, 0)) END AS tail_coverage,
    CASE
        WHEN c.threshold IS NOT NULL AND i.label IS NOT NULL
            THEN ratio(coalesce(t.n_in, 0), coalesce(t.n_in + t.n_out, 0))
    END AS tail_precision,
    coalesce(g.n_in, 0) AS n_in,
    coalesce(g.n_out, 0) AS n_out
FROM chosen_labels AS c
LEFT JOIN groups AS g ON g.label = c.label
LEFT JOIN moments AS m ON m.label = c.label
LEFT JOIN tail AS t ON t.label = c.label
LEFT JOIN known AS i ON i.label = c.label
LEFT JOIN carriers AS k ON k.label = c.label
LEFT JOIN overlapping AS o ON o.label = c.label
ORDER BY c.label
);

INSERT INTO superactivator_ratio BY NAME FROM (
SELECT
    s.label,
    s.sample,
    count(*) FILTER (s.score >= c.threshold::FLOAT) AS n_superactivators,
    count(*) FILTER (s.score >= c.threshold::FLOAT AND s.in_concept) AS n_superactivators_in_concept,
    count(*) FILTER (s.in_concept) AS n_in_concept
FROM label_scores AS s
JOIN chosen_labels AS c ON c.label = s.label AND c.threshold IS NOT NULL
WHERE s.split = 'test'
GROUP BY s.label, s.sample
HAVING count(*) FILTER (s.in_concept) > 0
ORDER BY s.label, s.sample
);

SELECT * FROM distributions WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;

SELECT * FROM separation WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;

SELECT * FROM superactivator_ratio WHERE rowid >= 0 AND rowid < 250000 ORDER BY rowid;
