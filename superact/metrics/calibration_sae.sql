-- calibration of a sparse autoencoder: the activations of the evaluated features on the cal tokens that carry a label.
-- grain: concept, sample, token
-- reads: sae_activations, concepts (one partition; those evaluated); calibration_tokens
-- parameters: none
-- Stands for `activations` while thresholds are made: only values above 0 enter one, and only they are stored.
SELECT c.concept, a.sample, a.token, a.activation AS cosine, a.activation AS signed_distance
FROM sae_activations AS a
JOIN concepts AS c ON c.status = 'ok' AND c.concept::INTEGER = a.feature
WHERE (a.sample, a.token) IN (SELECT (t.sample, t.token) FROM calibration_tokens AS t)
