-- sae_stats: how well a sparse autoencoder explains the embeddings of one split, and how many of its features ever act.
-- room: tables
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, split
CREATE TABLE sae_stats (
    dataset            VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model              VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer              INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set        VARCHAR NOT NULL, -- path key: slug of one sparse autoencoder; table concept_sets says which
    unit               VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    split              VARCHAR NOT NULL, -- train, cal, test or all
    n                  BIGINT NOT NULL,  -- rows encoded
    explained_variance DOUBLE,           -- 1 - sum |x - xr|^2 / sum |x - mean of these rows|^2; NULL where n is 0 or all rows are one
    mse                DOUBLE,           -- mean |x - xr|^2 / d of raw x and its reconstruction xr; NULL where n is 0
    l0                 DOUBLE,           -- mean number of active features a row; NULL where n is 0
    n_features         BIGINT NOT NULL,  -- features of the autoencoder
    n_dead             BIGINT NOT NULL,  -- features active in no row of this split
    dead_share         DOUBLE            -- n_dead / n_features; NULL where n is 0
);
