-- token_scores_sae: the activations of some features of a sparse autoencoder in a few samples; absent is 0.
-- grain: feature, sample, token
-- reads: the files $paths of one partition of sae_activations
-- parameters: $paths, a list; $concepts, the features as text; $samples, a list; $first and $last, its least and greatest
-- Files are clustered by sample: the range keeps other row groups unread, and one scan serves the features of all labels.
SELECT feature::VARCHAR AS concept, sample, token, activation AS score
FROM read_parquet($paths, hive_partitioning = false)
WHERE
    list_contains($concepts::INTEGER[], feature)
    AND sample BETWEEN $first AND $last
    AND list_contains($samples::INTEGER[], sample)
ORDER BY feature, sample, token
