-- layer_selection: the layer of one label and detector, chosen on cal by the detector's own tables.
-- room: metrics
-- path: dataset, model, concept_set, unit
-- grain: dataset, model, concept_set, unit, detector, label
CREATE TABLE layer_selection (
    dataset        VARCHAR NOT NULL, -- path key: slug of the dataset; its display name stands in table datasets
    model          VARCHAR NOT NULL, -- path key: slug of the model; its display name stands in table models
    concept_set    VARCHAR NOT NULL, -- path key: slug of one set of concept vectors; table concept_sets says how it was made
    unit           VARCHAR NOT NULL, -- path key: token, or cls: the CLS token of an image, the mean over content tokens of a text
    method         VARCHAR NOT NULL, -- how the vectors were obtained: avg, linsep, kmeans, kmeans-linsep, sae, imported
    detector       VARCHAR NOT NULL, -- superactivator, max_token, mean_token, last_token, random_token or cls
    label          VARCHAR NOT NULL, -- name of a ground-truth concept
    layer          INTEGER,          -- largest cal F1, ties to the smallest layer; NULL when no layer could be calibrated
    concept        VARCHAR,          -- the concept selected there
    delta          DOUBLE,           -- the delta selected there
    f1_cal         DOUBLE,           -- its F1 on cal
    f1_test        DOUBLE,           -- its F1 on test
    precision_test DOUBLE,           -- its precision on test
    recall_test    DOUBLE,           -- its recall on test
    n_positive     BIGINT NOT NULL,  -- test samples that carry the label
    run            VARCHAR NOT NULL  -- the run that computed this row: joins table runs
);
