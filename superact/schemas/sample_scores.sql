-- sample_scores: the roll-up of token scores that detection reads.
-- room: tables
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, concept, sample, aggregate
CREATE TABLE sample_scores (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer       INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit        VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    concept     VARCHAR NOT NULL, -- name of a scored vector: the label it was learned for, or a cluster id as text
    sample      INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    aggregate   VARCHAR NOT NULL, -- max, mean, last, random (unit token) or cls (unit cls)
    score       FLOAT             -- the aggregate over content tokens; NULL for a sample without any. Method sae: above 0, no row for 0
);
