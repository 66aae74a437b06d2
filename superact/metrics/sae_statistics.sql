-- sae_statistics: how some features of a sparse autoencoder are active on the cal rows.
-- grain: feature
-- reads: sae_activations (one partition); samples
-- parameters: $first and $last, the feature range of this batch
-- Only active rows are stored, and only they are counted. Quantiles are exact, interpolated in DOUBLE.
SELECT
    a.feature,
    count(*) AS n_active,
    max(a.activation) AS max_activation,
    favg(a.activation::DOUBLE) AS mean_activation,
    quantile_cont(a.activation::DOUBLE, [0.95, 0.99]) AS quantiles
FROM sae_activations AS a
JOIN samples AS s ON s.sample = a.sample AND s.split = 'cal'
WHERE a.feature BETWEEN $first AND $last
GROUP BY a.feature
