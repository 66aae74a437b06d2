-- prompt_tokens: positives only, a set: a row says that the answering model points at the token for the label.
-- room: tables
-- path: dataset, model, tokens_of
-- grain: dataset, model, tokens_of, label, sample, token
CREATE TABLE prompt_tokens (
    dataset   VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model     VARCHAR NOT NULL, -- path key: slug of the answering model; its display name stands in table models
    tokens_of VARCHAR NOT NULL, -- path key: slug of the model whose tokens the places were mapped to
    label     VARCHAR NOT NULL, -- name of a ground-truth concept
    sample    INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token     INTEGER NOT NULL  -- 0-based inside its sample: image patches row-major, text tokens in order; content tokens only
);
