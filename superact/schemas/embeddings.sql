-- embeddings: one raw hidden state a content token (or cls row). Optional: may be dropped after scoring, and rebuilt.
-- room: tables
-- path: dataset, model, layer, unit
-- grain: dataset, model, layer, unit, sample, token
CREATE TABLE embeddings (
    dataset   VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model     VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer     INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    unit      VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    sample    INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token     INTEGER NOT NULL, -- 0-based inside its sample: image patches row-major, text tokens in order; -1 for unit cls
    embedding FLOAT[] NOT NULL  -- x, d values, not centred
);
