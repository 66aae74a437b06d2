-- concept_sets: one row a set of concept vectors at one layer and unit.
-- room: tables
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit
CREATE TABLE concept_sets (
    dataset         VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model           VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer           INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set     VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit            VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    method          VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    supervised      BOOLEAN NOT NULL, -- true when a concept is the label it was learned for
    score           VARCHAR NOT NULL, -- which number scores a token: cosine, signed_distance or activation
    k               INTEGER,          -- number of clusters or features asked for; NULL for supervised methods
    seed            BIGINT,           -- seed of the learner; NULL where nothing is random
    hyperparameters VARCHAR           -- JSON object
);
