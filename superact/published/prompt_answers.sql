-- prompt_answers: what a prompted model answered about the test samples: 1 for yes, and what it said of where.
-- grain: sample, label
-- reads: prompt_answers, prompt_detection, samples
-- parameters: $dataset, $model
SELECT a.sample, a.label, (a.answer = 'yes')::INTEGER AS answer, a.localization_reply AS place
FROM prompt_answers AS a
JOIN prompt_detection AS p ON p.dataset = a.dataset AND p.model = a.model AND p.label = a.label
JOIN samples AS s ON s.dataset = a.dataset AND s.sample = a.sample
WHERE a.dataset = $dataset AND a.model = $model AND s.split = 'test'
ORDER BY a.sample, a.label
