-- label_floors: what a detector without any signal reaches on the test split, label by label.
-- grain: dataset, label
-- Of the evaluated labels with a test positive.
-- always_f1: every sample detected. coin_f1: a coin that fires with the label's cal prevalence q, independent of the sample,
-- against a test prevalence p: precision p, recall q, F1 = 2pq / (p + q). n_positive: test samples with the label.
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
FROM rates
