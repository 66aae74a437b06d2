-- places: where the content tokens of a few samples stand in their text or on their patch grid.
-- grain: sample, token
-- reads: tokens
-- parameters: $dataset, $model; $samples, a list; $first and $last, its least and greatest
SELECT sample, token, text, char_start, char_end, "row", col
FROM tokens
WHERE
    dataset = $dataset
    AND model = $model
    AND is_content
    AND sample BETWEEN $first AND $last
    AND list_contains($samples::INTEGER[], sample)
ORDER BY sample, token
