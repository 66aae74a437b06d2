-- floors: what a detector without any signal reaches on the test split, averaged like summary.
-- grain: dataset
-- always_f1: every sample detected. coin_f1: a coin that fires with the label's cal prevalence q, independent of the sample,
-- against a test prevalence p: precision p, recall q, F1 = 2pq / (p + q). Both weighted by test positives, over the
-- evaluated labels with a test positive.
WITH sizes AS (
    SELECT dataset, count(*) FILTER (split = 'test') AS n_test, count(*) FILTER (split = 'cal') AS n_cal
    FROM samples
    GROUP BY dataset
),
positives AS (
    SELECT
        l.dataset,
        l.label,
        count(*) FILTER (s.split = 'test') AS test_positives,
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
        p.test_positives,
        2.0 * p.test_positives / (p.test_positives + n.n_test) AS always_f1,
        p.test_positives / n.n_test AS p,
        CASE WHEN n.n_cal = 0 THEN 0.0 ELSE p.cal_positives / n.n_cal END AS q
    FROM positives AS p
    JOIN sizes AS n ON n.dataset = p.dataset
    WHERE p.test_positives > 0
)
SELECT
    dataset,
    fsum(always_f1 * test_positives) / sum(test_positives) AS always_f1,
    fsum(2.0 * p * q / (p + q) * test_positives) / sum(test_positives) AS coin_f1,
    count(*) AS n_labels,
    sum(test_positives)::BIGINT AS n_positive
FROM rates
GROUP BY dataset
