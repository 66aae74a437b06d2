-- compare_prompts: weighted test F1 of every prompted model, which stands in every comparison of its dataset.
-- grain: dataset, model
-- reads: summary, prompt_detection, datasets, models (views of a session: path keys are columns)
-- parameters: $dataset, NULL for any
-- model is the one that answered. note: that at least 95 % of the answers that could be read are the same, or that over 10 % of
-- the replies could not be read; over all test questions about evaluated labels.
WITH counted AS (
    SELECT
        dataset,
        model,
        sum(n_questions) AS n_questions,
        sum(n_unparsed) AS n_unparsed,
        sum(n_yes) AS n_yes,
        sum(n_questions - n_unparsed) AS n_parsed,
        sum(n_questions - n_unparsed - n_yes) AS n_no
    FROM prompt_detection
    GROUP BY dataset, model
),
noted AS (
    SELECT
        dataset,
        model,
        nullif(
            concat_ws(
                ', ',
                CASE
                    WHEN n_parsed > 0 AND 100 * n_yes >= 95 * n_parsed
                        THEN 'answers yes to ' || 100 * n_yes // n_parsed || ' %'
                    WHEN n_parsed > 0 AND 100 * n_no >= 95 * n_parsed
                        THEN 'answers no to ' || 100 * n_no // n_parsed || ' %'
                END,
                CASE WHEN 10 * n_unparsed > n_questions THEN round(100 * n_unparsed / n_questions)::BIGINT || ' % unparsed' END
            ),
            ''
        ) AS note
    FROM counted
)
SELECT
    s.dataset,
    coalesce(d.name, s.dataset) AS dataset_name,
    s.model,
    coalesce(m.name, s.model) AS model_name,
    s.concept_set,
    s.method,
    s.unit,
    s.detector,
    s.layer_choice,
    s.layer,
    s.f1,
    s.ci_low,
    s.ci_high,
    s.n_labels,
    s.n_positive,
    n.note
FROM summary AS s
LEFT JOIN datasets AS d ON d.dataset = s.dataset
LEFT JOIN models AS m ON m.model = s.model
LEFT JOIN noted AS n ON n.dataset = s.dataset AND n.model = s.model
WHERE s.unit = 'sample' AND ($dataset::VARCHAR IS NULL OR s.dataset = $dataset::VARCHAR)
ORDER BY s.dataset, s.model
