-- labels: one row a ground-truth concept of a dataset.
-- room: tables
-- path: dataset
-- grain: dataset, label
CREATE TABLE labels (
    dataset   VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    label     VARCHAR NOT NULL, -- name of a ground-truth concept
    source    VARCHAR NOT NULL, -- where the labels come from: metadata, word file, mask or import
    evaluated BOOLEAN NOT NULL  -- true for the labels that eval reports
);
