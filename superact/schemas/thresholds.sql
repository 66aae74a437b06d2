-- thresholds: one threshold a (detector, label, concept, delta), from cal.
-- room: metrics
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, detector, label, concept, delta
CREATE TABLE thresholds (
    dataset       VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model         VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer         INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set   VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit          VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    method        VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    detector      VARCHAR NOT NULL, -- superactivator, max_token, mean_token, last_token, random_token or cls
    label         VARCHAR NOT NULL, -- name of a ground-truth concept
    concept       VARCHAR NOT NULL, -- name of a scored vector: the label it was learned for, or a cluster id as text
    delta         DOUBLE NOT NULL,  -- fraction of in-concept calibration values kept above the threshold
    threshold     DOUBLE,           -- quantile at level 1 - delta of the calibration values; NULL unless some exist
    n_calibration BIGINT NOT NULL,  -- calibration values
    status        VARCHAR NOT NULL, -- ok, no_cal_positives or sample_labels_only
    run           VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);
