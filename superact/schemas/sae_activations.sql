-- sae_activations: the features of a sparse autoencoder that are active on a content token (or cls row); an absent row is 0.
-- room: tables
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, sample, token, feature
CREATE TABLE sae_activations (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer       INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set VARCHAR NOT NULL, -- path key: slug of one sparse autoencoder; table concept_sets says which
    unit        VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    sample      INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token       INTEGER NOT NULL, -- 0-based inside its sample: image patches row-major, text tokens in order; -1 for unit cls
    feature     INTEGER NOT NULL, -- 0-based feature of the autoencoder; as text, the concept of table concepts
    activation  FLOAT NOT NULL    -- the feature's activation, always > 0
);
