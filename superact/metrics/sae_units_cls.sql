-- sae_units, unit cls: the features that are active on a cal sample; all of them are evaluated.
-- grain: concept
-- reads: sae_statistics (one partition); samples
-- parameters: none
SELECT
    f.feature::VARCHAR AS concept,
    f.n_active,
    ratio(f.n_active, (SELECT count(*) FROM samples WHERE split = 'cal')) AS share_active,
    f.max_activation,
    f.mean_activation,
    f.quantiles[1] AS p95,
    f.quantiles[2] AS p99,
    'kept' AS status
FROM sae_statistics AS f
ORDER BY concept
