-- detection: sample-level confusion of one threshold on cal or test.
-- room: metrics
-- path: dataset, model, layer, concept_set, unit
-- grain: dataset, model, layer, concept_set, unit, detector, label, concept, delta, split
CREATE TABLE detection (
    dataset     VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model       VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    layer       INTEGER NOT NULL, -- path key: index into Hugging Face hidden_states: 0 = embedding output, k = after block k
    concept_set VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit        VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    method      VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    detector    VARCHAR NOT NULL, -- superactivator, max_token, mean_token, last_token, random_token or cls
    label       VARCHAR NOT NULL, -- name of a ground-truth concept
    concept     VARCHAR NOT NULL, -- name of a scored vector: the label it was learned for, or a cluster id as text
    delta       DOUBLE NOT NULL,  -- fraction of in-concept calibration values kept above the threshold
    split       VARCHAR NOT NULL, -- train (learn vectors), cal (choose), test (report)
    tp          BIGINT,           -- true positives
    fp          BIGINT,           -- false positives
    fn          BIGINT,           -- false negatives
    tn          BIGINT,           -- true negatives
    precision   DOUBLE,           -- tp / (tp + fp), 0 if 0/0; NULL without a threshold
    recall      DOUBLE,           -- tp / (tp + fn)
    f1          DOUBLE,           -- 2 tp / (2 tp + fp + fn)
    accuracy    DOUBLE,           -- (tp + tn) / n
    fpr         DOUBLE,           -- fp / (fp + tn)
    run         VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);
