-- sae_units: the features of a sparse autoencoder that are active on cal, and which of them are evaluated.
-- room: metrics
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, concept
CREATE TABLE sae_units (
    dataset         VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model           VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer           INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set     VARCHAR NOT NULL, -- path key: slug of one sparse autoencoder; table concept_sets says which
    unit            VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    method          VARCHAR NOT NULL, -- how the vectors were obtained: sae
    concept         VARCHAR NOT NULL, -- id of the feature as text; features that are never active on cal have no row
    n_active        BIGINT NOT NULL,  -- cal rows (content tokens, or samples for unit cls) on which it is active
    share_active    DOUBLE NOT NULL,  -- n_active / cal rows
    max_activation  FLOAT NOT NULL,   -- over the cal rows on which it is active, and so for the next three
    mean_activation DOUBLE NOT NULL,  -- mean
    p95             DOUBLE NOT NULL,  -- 95 % quantile, linearly interpolated
    p99             DOUBLE NOT NULL,  -- 99 % quantile, linearly interpolated
    status          VARCHAR NOT NULL, -- kept, or by the first rule that drops it: dead, ubiquitous or weak
    run             VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);
