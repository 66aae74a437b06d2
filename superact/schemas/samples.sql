-- samples: one row an image or text of a dataset.
-- room: tables
-- path: dataset
-- grain: dataset, sample
CREATE TABLE samples (
    dataset  VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    sample   INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    path     VARCHAR,          -- relative to the dataset's folder; NULL for imports without files
    split    VARCHAR NOT NULL, -- train (learn vectors), cal (choose), test (report)
    modality VARCHAR NOT NULL, -- text or image
    text     VARCHAR,          -- the text; NULL for images
    width    INTEGER,          -- pixels; NULL for texts
    height   INTEGER           -- pixels; NULL for texts
);
