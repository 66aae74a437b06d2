-- prompt_detection: the confusion of a prompted model's answers on the test samples that it was asked about.
-- grain: label
-- reads: prompt_answers (one answering model); samples, labels, sample_labels
-- parameters: none
-- Detected are the samples answered yes: a reply that says neither yes nor no detects nothing. Labels that are evaluated and
-- were asked about on test. Truth is sample_labels.
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
