-- token_scores: the scores of the tokens of a few samples for one concept.
-- grain: sample, token
-- reads: the files $paths of one partition of activations
-- parameters: $paths, a list; $concept; $measure; $samples, a list; $first and $last, its least and greatest
-- Files are clustered by concept: the equality keeps all other row groups unread.
SELECT sample, token, score_of($measure, cosine, signed_distance) AS score
FROM read_parquet($paths, hive_partitioning = false)
WHERE concept = $concept AND sample BETWEEN $first AND $last AND list_contains($samples::INTEGER[], sample)
ORDER BY sample, token
