-- activations: the two scores of one content token for one concept.
-- room: tables
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, concept, sample, token
CREATE TABLE activations (
    dataset         VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model           VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer           INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set     VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit            VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    concept         VARCHAR NOT NULL, -- name of a scored vector: the label it was learned for, or a cluster id as text
    sample          INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token           INTEGER NOT NULL, -- 0-based inside its sample: image patches row-major, text tokens in order; -1 for unit cls
    cosine          FLOAT NOT NULL,   -- <xhat, v> / (max(|xhat|, 1e-8) max(|v|, 1e-8))
    signed_distance FLOAT NOT NULL    -- (<xhat, v> + bias) / max(|v|, 1e-8)
);
