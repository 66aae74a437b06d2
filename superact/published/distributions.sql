-- distributions: the histograms of one concept set at one layer, a list of 100 a population.
-- grain: label, population
-- reads: distributions, samples, sample_labels
-- parameters: $dataset, $model, $layer, $concept_set
-- n_with, n_without: test samples that carry the label, and that do not. Labels without any test token have no range.
WITH carriers AS (
    SELECT sl.label, count(*) AS n
    FROM sample_labels AS sl
    JOIN samples AS s ON s.dataset = sl.dataset AND s.sample = sl.sample
    WHERE sl.dataset = $dataset AND s.split = 'test'
    GROUP BY sl.label
),
sizes AS (
    SELECT count(*) AS n
    FROM samples
    WHERE dataset = $dataset AND split = 'test'
)
SELECT
    d.label,
    d.population,
    min(d.lo) AS lo,
    max(d.hi) AS hi,
    list(d.n ORDER BY d.bin) AS counts,
    any_value(coalesce(c.n, 0)) AS n_with,
    any_value(z.n - coalesce(c.n, 0)) AS n_without
FROM distributions AS d
CROSS JOIN sizes AS z
LEFT JOIN carriers AS c ON c.label = d.label
WHERE
    d.dataset = $dataset
    AND d.model = $model
    AND d.layer = $layer
    AND d.concept_set = $concept_set
    AND d.lo IS NOT NULL
GROUP BY d.label, d.population
ORDER BY d.label, d.population
