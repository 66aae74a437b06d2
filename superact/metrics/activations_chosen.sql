-- activations of a sparse autoencoder for the concepts that detector superactivator chose, where they are not 0.
-- grain: concept, sample, token
-- reads: sae_activations, selection (one partition)
-- parameters: none
-- Stands for `activations` where only tokens above a threshold are asked for: a threshold is above 0.
WITH chosen AS (
    SELECT DISTINCT concept, concept::INTEGER AS feature
    FROM selection
    WHERE detector = 'superactivator' AND concept IS NOT NULL
)
SELECT c.concept, a.sample, a.token, a.activation AS cosine, a.activation AS signed_distance
FROM sae_activations AS a
JOIN chosen AS c ON c.feature = a.feature
