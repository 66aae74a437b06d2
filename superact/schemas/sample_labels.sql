-- sample_labels: positives only: a row says that the sample carries the label.
-- room: tables
-- path: dataset
-- grain: dataset, sample, label
CREATE TABLE sample_labels (
    dataset VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    sample  INTEGER NOT NULL, -- 0-based row of the dataset's metadata.csv
    label   VARCHAR NOT NULL  -- name of a ground-truth concept
);
