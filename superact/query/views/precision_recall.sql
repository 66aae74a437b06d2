-- precision_recall: the precision-recall curve on test of the concept that was selected on cal for a label and detector.
-- grain: dataset, model, layer, concept_set, unit, detector, label, threshold
-- One row a distinct sample score, the largest first: what detecting every sample with at least this score would reach. Samples
-- without a score (or, of a sparse autoencoder, whose score is 0) are never detected, and count as missed where they carry the
-- label. Reading a cut off this curve is choosing on test: thresholds come from cal.
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
ORDER BY k.dataset, k.model, k.layer, k.concept_set, k.unit, k.detector, k.label, k.threshold DESC
