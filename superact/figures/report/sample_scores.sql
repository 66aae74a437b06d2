-- sample_scores: what a detector reads of one concept in a few samples.
-- grain: sample, aggregate
-- reads: the files $paths of one partition of sample_scores
-- parameters: $paths, a list; $concept; $samples, a list; $first and $last, its least and greatest
SELECT sample, aggregate, score
FROM read_parquet($paths, hive_partitioning = false)
WHERE concept = $concept AND sample BETWEEN $first AND $last AND list_contains($samples::INTEGER[], sample)
