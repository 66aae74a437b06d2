-- superactivator_ratio: superactivators of each test sample that owns a token with the label.
-- grain: sample
-- reads: label_scores
-- parameters: $threshold, that of the selection
-- n_superactivators counts all content tokens of the sample that reach the threshold, labelled or not.
SELECT
    sample,
    count(*) FILTER (score >= $threshold::FLOAT) AS n_superactivators,
    count(*) FILTER (score >= $threshold::FLOAT AND in_concept) AS n_superactivators_in_concept,
    count(*) FILTER (in_concept) AS n_in_concept
FROM label_scores
WHERE split = 'test'
GROUP BY sample
HAVING count(*) FILTER (in_concept) > 0
ORDER BY sample
