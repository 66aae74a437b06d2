-- tokens: one row a token of a sample under one model.
-- room: tables
-- path: dataset, model
-- grain: dataset, model, sample, token
CREATE TABLE tokens (
    dataset    VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model      VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    sample     INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    token      INTEGER NOT NULL, -- 0-based inside its sample: image patches row-major, text tokens in order; -1 for unit cls
    text       VARCHAR,          -- the token as text; NULL for images
    char_start INTEGER,          -- first character in the text; NULL for images
    char_end   INTEGER,          -- one past the last character; NULL for images
    word       INTEGER,          -- 0-based run of non-blank characters the token belongs to first; NULL for images and special tokens
    "row"      INTEGER,          -- patch row; NULL for texts
    col        INTEGER,          -- patch column; NULL for texts
    is_content BOOLEAN NOT NULL  -- false for padding patches and special tokens, which no statistic, score or threshold sees
);
