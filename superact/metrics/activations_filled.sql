-- activations of a sparse autoencoder for the concepts of some labels, on every content token of cal and test: 0 where it has none.
-- grain: concept, sample, token
-- reads: chosen_labels, chosen_activations; samples, tokens
-- parameters: none
-- Stands for `activations` where every token counts. A view over a batch of labels: never stored.
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
