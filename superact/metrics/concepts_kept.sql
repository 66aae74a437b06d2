-- concepts of a sparse autoencoder that are evaluated: its kept units.
-- grain: concept
-- reads: concepts, sae_units (one partition)
-- parameters: none
-- Stands for `concepts` in every later query.
SELECT c.concept, c.norm, c.status
FROM concepts AS c
WHERE c.status = 'ok' AND c.concept IN (SELECT u.concept FROM sae_units AS u WHERE u.status = 'kept')
ORDER BY c.concept
