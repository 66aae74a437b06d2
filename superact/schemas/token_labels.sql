-- token_labels: positives only, a set: a row says that the token carries the label.
-- room: tables
-- path: dataset, model
-- grain: dataset, model, sample, token, label
CREATE TABLE token_labels (
    dataset VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model   VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    sample  INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token   INTEGER NOT NULL, -- 0-based inside its sample: image patches row-major, text tokens in order; -1 for unit cls
    label   VARCHAR NOT NULL  -- name of a ground-truth concept
);
