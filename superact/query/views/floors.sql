-- floors: what a detector without any signal reaches on the test split, averaged like summary.
-- grain: dataset
-- always_f1: every sample detected. coin_f1: a coin that fires with the label's cal prevalence. Both weighted by test positives,
-- over the evaluated labels with a test positive; label_floors has them label by label.
SELECT
    dataset,
    fsum(always_f1 * n_positive) / sum(n_positive) AS always_f1,
    fsum(coin_f1 * n_positive) / sum(n_positive) AS coin_f1,
    count(*) AS n_labels,
    sum(n_positive)::BIGINT AS n_positive
FROM label_floors
GROUP BY dataset
