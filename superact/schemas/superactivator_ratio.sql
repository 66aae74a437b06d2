-- superactivator_ratio: superactivators of one test sample that owns a token with the label.
-- room: metrics
-- path: dataset, model, layer, concept_set
-- grain: dataset, model, layer, concept_set, label, sample
CREATE TABLE superactivator_ratio (
    dataset                      VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model                        VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer                        INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set                  VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    method                       VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    label                        VARCHAR NOT NULL, -- name of a ground-truth concept
    sample                       INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    n_superactivators            BIGINT NOT NULL,  -- content tokens that reach the selected threshold
    n_superactivators_in_concept BIGINT NOT NULL,  -- those of them with the label
    n_in_concept                 BIGINT NOT NULL,  -- content tokens with the label
    run                          VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);
