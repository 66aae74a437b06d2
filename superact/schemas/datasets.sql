-- datasets: one row a dataset.
-- room: tables
-- path: dataset
-- grain: dataset
CREATE TABLE datasets (
    dataset  VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    name     VARCHAR NOT NULL, -- display name
    source   VARCHAR,          -- where it came from: a folder, or what an import names
    modality VARCHAR NOT NULL, -- text or image
    licence  VARCHAR,          -- licence note, NULL when none is known
    digest   VARCHAR NOT NULL  -- sha256 over metadata, label files and sources
);
