-- concepts: one row a concept vector.
-- room: tables
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, concept
CREATE TABLE concepts (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer       INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit        VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    concept     VARCHAR NOT NULL, -- name of a scored vector: the label it was learned for, or a cluster id as text
    method      VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    vector      FLOAT[],          -- v, d values in the normalised space xhat = (x - mu)/rho; NULL unless status is ok
    bias        DOUBLE NOT NULL,  -- 0 where the method has none
    norm        DOUBLE,           -- Euclidean norm of the vector; NULL unless status is ok
    n_positive  BIGINT,           -- train rows used as positives
    n_negative  BIGINT,           -- train rows used as negatives
    epochs      INTEGER,          -- training epochs run; NULL for prototypes
    train_f1    DOUBLE,           -- F1 on the balanced train rows; NULL for prototypes
    seed        BIGINT,           -- seed of this vector; NULL where nothing is random
    status      VARCHAR NOT NULL  -- ok, no_train_positives, no_train_negatives or zero_vector
);
