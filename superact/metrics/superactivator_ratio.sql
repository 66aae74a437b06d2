-- superactivator_ratio: superactivators of each test sample that owns a token with the label.
-- grain: label, sample
-- reads: chosen_labels, label_scores
-- parameters: none
-- n_superactivators counts all content tokens of the sample that reach the selected threshold, labelled or not. A label without
-- a threshold has no rows.
SELECT
    s.label,
    s.sample,
    count(*) FILTER (s.score >= c.threshold::FLOAT) AS n_superactivators,
    count(*) FILTER (s.score >= c.threshold::FLOAT AND s.in_concept) AS n_superactivators_in_concept,
    count(*) FILTER (s.in_concept) AS n_in_concept
FROM label_scores AS s
JOIN chosen_labels AS c ON c.label = s.label AND c.threshold IS NOT NULL
WHERE s.split = 'test'
GROUP BY s.label, s.sample
HAVING count(*) FILTER (s.in_concept) > 0
ORDER BY s.label, s.sample
