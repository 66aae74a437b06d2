-- prompt_localization: the token confusion of the places that a prompted model named, on the test samples it was asked about.
-- grain: label
-- reads: prompt_answers, prompt_tokens (one answering model); samples, labels; tokens, token_labels (of the model whose tokens they are)
-- parameters: none
-- Over the content tokens of every asked sample, those not answered yes included; truth is token_labels. Places on special
-- tokens and padding count for nothing.
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
ORDER BY label
