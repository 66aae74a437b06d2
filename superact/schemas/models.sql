-- models: one row a model.
-- room: tables
-- path: model
-- grain: model
CREATE TABLE models (
    model    VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    name     VARCHAR NOT NULL, -- display name
    source   VARCHAR,          -- hub id, folder, or what an import names
    modality VARCHAR NOT NULL, -- text or image
    licence  VARCHAR,          -- licence note, NULL when none is known
    revision VARCHAR,          -- hub commit, or sha256 of the weights
    blocks   INTEGER,          -- transformer blocks executed, T; layers run from 0 to T; NULL for a model behind a server
    width    INTEGER           -- d, the width of a hidden state; NULL for a model behind a server
);
