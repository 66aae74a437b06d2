-- texts: the texts, or the sizes in pixels, of a few samples.
-- grain: sample
-- reads: samples
-- parameters: $dataset; $samples, a list
SELECT sample, text, width, height
FROM samples
WHERE dataset = $dataset AND list_contains($samples::INTEGER[], sample)
ORDER BY sample
