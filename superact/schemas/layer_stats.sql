-- layer_stats: mean and RMS norm of the raw train embeddings of one layer and unit.
-- room: tables
-- path: dataset, model, layer, unit
-- grain: dataset, model, layer, unit
CREATE TABLE layer_stats (
    dataset VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model   VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer   INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    unit    VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    mean    FLOAT[] NOT NULL, -- mu, d values: mean over train content rows
    rms     DOUBLE NOT NULL,  -- rho = sqrt(mean of squared norms), uncentred
    n       BIGINT NOT NULL   -- train content rows
);
