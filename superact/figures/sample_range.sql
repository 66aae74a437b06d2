-- sample_range: the least and the greatest sample of a dataset, and those of some samples that it has not.
-- grain: one row
-- reads: samples
-- parameters: $dataset; $samples, a list
WITH own AS (
    SELECT sample
    FROM samples
    WHERE dataset = $dataset
),
missing AS (
    SELECT list(w.sample ORDER BY w.sample) AS missing
    FROM (SELECT unnest($samples::BIGINT[]) AS sample) AS w
    WHERE w.sample NOT IN (SELECT o.sample FROM own AS o)
)
SELECT min(own.sample) AS first, max(own.sample) AS last, (SELECT m.missing FROM missing AS m) AS missing
FROM own
