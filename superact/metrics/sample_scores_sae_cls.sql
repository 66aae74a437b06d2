-- sample_scores of a sparse autoencoder, unit cls: the activation of the single cls row, where it is not 0.
-- grain: concept, sample, aggregate (cls)
-- reads: sae_activations, concepts (one partition; those evaluated)
-- parameters: $first and $last, the concept range of this batch
SELECT c.concept, a.sample, 'cls' AS aggregate, a.activation AS score
FROM sae_activations AS a
JOIN concepts AS c ON c.concept::INTEGER = a.feature
WHERE c.status = 'ok' AND c.concept BETWEEN $first AND $last
ORDER BY c.concept, a.sample
