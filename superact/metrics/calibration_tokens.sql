-- calibration_tokens: the cal content tokens that carry a label, from which superactivator thresholds are made.
-- grain: label, sample, token
-- reads: tokens, token_labels (one dataset and model); samples, labels
-- parameters: none
-- Drawn once a dataset and model: every batch of concepts joins these rows, not the tables they come from.
SELECT tl.label, tl.sample, tl.token
FROM token_labels AS tl
JOIN samples AS s ON s.sample = tl.sample AND s.split = 'cal'
JOIN labels AS l ON l.label = tl.label AND l.evaluated
JOIN tokens AS t ON t.sample = tl.sample AND t.token = tl.token AND t.is_content
ORDER BY tl.label, tl.sample, tl.token
