-- sample_facts: split, file and text of some samples.
-- grain: sample
-- reads: samples
-- parameters: $dataset; $samples, a list
SELECT sample, split, modality, path, text, width, height
FROM samples
WHERE dataset = $dataset AND list_contains($samples::INTEGER[], sample)
ORDER BY sample
